package vmware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// The programs that the driver runs.
const (
	vmrun       = "vmrun"
	diskManager = "vmware-vdiskmanager"
	ovfTool     = "ovftool"
)

// product is what vmrun's -T takes.
type product string

const (
	workstation product = "ws"
	fusion      product = "fusion"
	player      product = "player"
)

// Errors that callers look for in a ToolError.
var (
	errNotPoweredOn = errors.New("the machine is not powered on")
	errNoTools      = errors.New("VMware Tools do not run in the guest")
	errInUse        = errors.New("a file of the machine is in use")
	errDialog       = errors.New("VMware asked something that nobody answered")
)

// ErrNotInstalled says that VMware's programs are not on this host.
var ErrNotInstalled = errors.New("VMware is not installed: install Workstation Pro or Fusion, which are free, and see that vmrun is in PATH")

// ToolError is what one of VMware's programs answered when it failed. It wraps what is known of the cause.
type ToolError struct {
	Program string
	Verb    string
	Status  int
	Output  string // what it wrote to standard output, where VMware's programs put their errors, or else to standard error
}

func (e *ToolError) Error() string {
	text := strings.TrimSpace(strings.TrimPrefix(e.Output, "Error: "))
	if text == "" {
		text = fmt.Sprintf("it ended with exit status %d and no word", e.Status)
	}
	return fmt.Sprintf("%s %s: %s", e.Program, e.Verb, text)
}

// causes are the texts of VMware's programs by which an error is told.
var causes = []struct {
	text  string
	cause error
}{
	{"is not powered on", errNotPoweredOn},
	{"VMware Tools are not running", errNoTools},
	{"Unable to get the IP address", hypervisor.ErrNoAddress},
	{"The virtual machine cannot be found", hypervisor.ErrNotFound},
	{"already in use", errInUse},
	{"Failed to lock the file", errInUse},
	{"The operation was canceled", errDialog},
	{"No space left on device", syscall.ENOSPC},
	{"not enough space", syscall.ENOSPC},
	{"Insufficient permissions", os.ErrPermission},
	{"already exists", os.ErrExist},
}

// Unwrap tells the cause, nil if it is not known.
func (e *ToolError) Unwrap() error {
	for _, c := range causes {
		if strings.Contains(e.Output, c.text) {
			return c.cause
		}
	}
	return nil
}

// tools finds and runs VMware's programs.
type tools struct {
	// fusion is where Fusion is installed; empty for its usual place.
	fusion string
	// dir is where programs are looked for before all else, and env is added to their environment. Tests set them.
	dir string
	env []string
}

// usual are the folders in which VMware installs programs without putting them into PATH.
func (t tools) usual() []string {
	switch runtime.GOOS {
	case "darwin":
		app := t.fusion
		if app == "" {
			app = "/Applications/VMware Fusion.app"
		}
		library := filepath.Join(app, "Contents", "Library")
		return []string{library, filepath.Join(library, "VMware OVF Tool")}
	case "windows":
		var dirs []string
		for _, variable := range []string{"ProgramFiles(x86)", "ProgramFiles"} {
			if root := os.Getenv(variable); root != "" {
				dirs = append(dirs, filepath.Join(root, "VMware", "VMware Workstation"),
					filepath.Join(root, "VMware", "VMware Player"), filepath.Join(root, "VMware", "VMware Workstation", "OVFTool"))
			}
		}
		return dirs
	}
	return []string{"/usr/bin", "/usr/local/bin", "/usr/lib/vmware/bin", "/usr/lib/vmware-ovftool"}
}

// find returns the path of a program.
func (t tools) find(program string) (string, error) {
	if t.dir != "" {
		return exec.LookPath(filepath.Join(t.dir, program))
	}
	if t.fusion == "" {
		if path, err := exec.LookPath(program); err == nil {
			return path, nil
		}
	}
	for _, dir := range t.usual() {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: there is no %s in PATH or in %s", ErrNotInstalled, program, strings.Join(t.usual(), ", "))
}

// product tells which of VMware's products is installed. Player has no program called vmware.
func (t tools) product() product {
	if runtime.GOOS == "darwin" {
		return fusion
	}
	if _, err := t.find("vmware"); err != nil {
		if _, err := t.find("vmplayer"); err == nil {
			return player
		}
	}
	return workstation
}

// vmrun runs a command of vmrun and returns what it printed.
func (t tools) vmrun(ctx context.Context, args ...string) (string, error) {
	return t.run(ctx, vmrun, args[0], append([]string{"-T", string(t.product())}, args...), nil)
}

// run runs a program to its end. Standard error is not looked at when it succeeds: VMware's programs complain there on many
// hosts about files that they can do without. progress takes what it prints as it prints it; it may be nil.
//
// What it prints goes through a file, not through a pipe: the process of a machine that vmrun starts inherits it, and a pipe would
// be at its end only when that is.
func (t tools) run(ctx context.Context, program, verb string, args []string, progress func(text string)) (string, error) {
	path, err := t.find(program)
	if err != nil {
		return "", err
	}
	out, err := newOutput(progress)
	if err != nil {
		return "", err
	}
	defer out.close()
	complaints, err := newOutput(nil)
	if err != nil {
		return "", err
	}
	defer complaints.close()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), t.env...) // ToolError looks for English words
	cmd.Stdout, cmd.Stderr = out.file, complaints.file
	err = out.watch(cmd.Run)
	text := out.text()
	if err == nil {
		return text, nil
	}
	if ctx.Err() != nil {
		return text, context.Cause(ctx)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if strings.TrimSpace(text) == "" {
			text = complaints.text()
		}
		return text, &ToolError{Program: program, Verb: verb, Status: exit.ExitCode(), Output: lastError(text)}
	}
	return text, fmt.Errorf("run %s: %w", path, err)
}

// lastError is the line of a program's output that tells the error, without the progress before it.
func lastError(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "Error: ") || strings.HasPrefix(lines[i], "Failed to ") {
			return strings.Join(lines[i:], " ")
		}
	}
	return strings.TrimSpace(strings.Join(lines[max(0, len(lines)-3):], " "))
}

// version asks for the product's version, such as "VMware Workstation 17.6.2 build-24409262". It is printed to standard error
// by some versions and to standard output by others.
func (t tools) version(ctx context.Context) (string, error) {
	var last error
	for _, program := range []string{"vmware", "vmware-vmx", "vmplayer"} {
		path, err := t.find(program)
		if err != nil {
			last = err
			continue
		}
		out, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
		if v := versionLine.FindString(string(out)); v != "" {
			return strings.TrimSpace(v), nil
		}
		last = fmt.Errorf("%s -v prints no version: %q (%w)", path, truncate(string(out)), errors.Join(err, ctx.Err()))
	}
	return "", last
}

var versionLine = regexp.MustCompile(`VMware (?:Workstation|Fusion|Player) (?:Pro )?\d+(?:\.\d+)+(?: build-\d+)?`)

func truncate(s string) string { return s[:min(len(s), 200)] }

// maxOutput is how much of a program's output is read, in bytes.
const maxOutput = 1 << 20

func readOutput(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxOutput))
	if err != nil {
		return ""
	}
	return string(b)
}
