// Package localshell runs scripts on this host, as Packer's shell-local does for a provisioner and for a post-processor.
//
// A script is copied to a private folder, from wherever the caller keeps it, and run from there in the caller's
// directory, in a process group of its own that ends when the context does.
package localshell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/internal/lines"
	"github.com/boxkiln/boxkiln/internal/scriptenv"
)

// Runner is where and with what scripts run.
type Runner struct {
	Dir  string            // working directory; empty for that of the process
	Vars map[string]string // variables that every script gets, such as PACKER_BUILD_NAME
	Out  io.Writer         // gets the output of scripts, line by line
	// Open reads a script by the path that the template gave; nil for the file system.
	Open func(path string) (io.ReadCloser, error)
	// Render fills in {{ }} actions; data are extra fields.
	Render func(text string, data map[string]string) (string, error)
}

// StatusError says that a script ended with a status that is not among the valid ones.
type StatusError struct {
	Script string
	Status int
	Valid  []int
}

// Error names the script and the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("local shell script %s ended with exit status %d; valid_exit_codes are %v", e.Script, e.Status, e.Valid)
}

// endGrace is how long the output of a script may be kept open by what it left in the background.
const endGrace = 5 * time.Second

// Run runs all scripts of checked arguments, one after the other, until one fails.
func (r *Runner) Run(ctx context.Context, a Args) error {
	if len(a.OnlyOn) > 0 && !slices.Contains(a.OnlyOn, runtime.GOOS) {
		_, err := fmt.Fprintf(r.Out, "Skipping shell-local: only_on does not name %s\n", runtime.GOOS)
		return err
	}
	vars, err := r.variables(a)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "boxkiln-shell-local-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	scripts, err := r.prepare(dir, a)
	if err != nil {
		return err
	}
	for _, s := range scripts {
		if err := r.runScript(ctx, a, s, vars); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) variables(a Args) (string, error) {
	vars := make([]string, len(a.EnvironmentVars))
	for i, text := range a.EnvironmentVars {
		var err error
		if vars[i], err = r.Render(text, nil); err != nil {
			return "", fmt.Errorf("environment_vars[%d]: %w", i, err)
		}
	}
	if err := scriptenv.Check(vars, ""); err != nil {
		return "", err
	}
	env := make(map[string]string, len(a.Env))
	for name, value := range a.Env {
		var err error
		if env[name], err = r.Render(value, nil); err != nil {
			return "", fmt.Errorf("env %s: %w", name, err)
		}
	}
	format := a.EnvVarFormat
	if format == "" {
		format = scriptenv.Prefix
	}
	return scriptenv.Flatten(format, r.Vars, scriptenv.Split(vars), env), nil
}

// script is a file that can be run.
type script struct {
	name string // for the log
	path string // absolute
}

// prepare puts the scripts into dir.
func (r *Runner) prepare(dir string, a Args) ([]script, error) {
	if commands := a.inline(); len(commands) > 0 {
		path, err := r.writeInline(dir, a, commands)
		return []script{{"inline", path}}, err
	}
	var all []script
	for i, name := range a.scripts() {
		path := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(name)))
		if err := r.copyScript(path, name); err != nil {
			return nil, fmt.Errorf("script %q: %w", name, err)
		}
		all = append(all, script{name, path})
	}
	return all, nil
}

func (r *Runner) writeInline(dir string, a Args, commands []string) (string, error) {
	shebang := a.InlineShebang
	if shebang == "" {
		shebang = "/bin/sh -e"
	}
	text := "#!" + shebang + "\n"
	for i, c := range commands {
		c, err := r.Render(c, nil)
		if err != nil {
			return "", fmt.Errorf("inline[%d]: %w", i, err)
		}
		text += c + "\n"
	}
	path := filepath.Join(dir, "inline")
	if ext := strings.TrimPrefix(a.TempfileExtension, "."); ext != "" {
		path += "." + ext
	}
	return path, writeProgram(path, strings.NewReader(text))
}

// writeProgram writes a file that will be run. No child is forked while it is open: a child that inherited the
// descriptor would make the kernel refuse to run the file ("text file busy", golang.org/issue/22315).
func writeProgram(path string, src io.Reader) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	dst, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

func (r *Runner) copyScript(path, name string) error {
	open := r.Open
	if open == nil {
		open = func(path string) (io.ReadCloser, error) { return os.Open(path) }
	}
	src, err := open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	return writeProgram(path, src)
}

func (r *Runner) runScript(ctx context.Context, a Args, s script, vars string) error {
	words := a.ExecuteCommand
	if len(words) == 0 {
		words = []string{"/bin/sh", "-c", "{{.Vars}} {{.Script}}"}
	}
	argv := make([]string, len(words))
	for i, w := range words {
		var err error
		argv[i], err = r.Render(w, map[string]string{"Vars": vars, "Script": s.path, "Command": s.path})
		if err != nil {
			return fmt.Errorf("execute_command[%d]: %w", i, err)
		}
	}
	if _, err := fmt.Fprintf(r.Out, "Running local shell script: %s\n", s.name); err != nil {
		return err
	}
	status, err := r.exec(ctx, argv)
	if err != nil {
		return fmt.Errorf("local shell script %s: %w", s.name, err)
	}
	valid := a.ValidExitCodes
	if len(valid) == 0 {
		valid = []int{0}
	}
	if !slices.Contains(valid, status) {
		return &StatusError{Script: s.name, Status: status, Valid: valid}
	}
	return nil
}

// exec runs a program and returns its exit status.
func (r *Runner) exec(ctx context.Context, argv []string) (int, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out, _ := lines.Pair(r.Out)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.Dir, out, out // one pipe, which keeps the order
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = endGrace
	err := cmd.Run()
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	case errors.As(err, &exit):
		status, _ := exit.Sys().(syscall.WaitStatus)
		return 128 + int(status.Signal()), nil // as a shell reports it
	case errors.Is(err, exec.ErrWaitDelay):
		return 0, nil // it ended well; only something in the background still held its output
	}
	return 0, err
}
