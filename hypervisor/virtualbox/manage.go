package virtualbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/internal/netx"
)

// program is VBoxManage, without the suffix that Windows wants.
const program = "VBoxManage"

// ErrNoProgram is returned when VirtualBox is not installed.
var ErrNoProgram = errors.New("VBoxManage is not installed: install VirtualBox from https://www.virtualbox.org, or put the folder of VBoxManage into PATH or VBOX_INSTALL_PATH")

// manager runs VBoxManage, which is the only way this driver talks to VirtualBox.
//
// A session lock lingers for some seconds after a machine went off and while another program looks at it. What it refuses
// has not been begun, so every call is tried again, at growing intervals, until patience is over.
type manager struct {
	find     func() (string, error)
	log      *slog.Logger
	env      []string // beside our own
	patience time.Duration
	pause    time.Duration // before the second try
}

// The time that a lock may take. Packer waits a minute between two tries; here the first comes after firstPause.
const (
	defaultPatience = 45 * time.Second
	firstPause      = 200 * time.Millisecond
	longestPause    = 3 * time.Second
)

// findProgram looks for VBoxManage in PATH, and then where the installers of Windows say it is: the second variable may
// name several folders. Source: packer-plugin-virtualbox builder/virtualbox/common/driver.go.
func findProgram(getenv func(string) string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, variable := range []string{"VBOX_INSTALL_PATH", "VBOX_MSI_INSTALL_PATH"} {
		for _, dir := range strings.FieldsFunc(getenv(variable), func(r rune) bool { return r == ';' || r == os.PathListSeparator && runtime.GOOS != "windows" }) {
			if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
				return path, nil
			}
		}
	}
	return "", ErrNoProgram
}

// run runs VBoxManage and returns what it wrote to standard output.
func (m *manager) run(ctx context.Context, args ...string) (string, error) {
	return m.watched(ctx, nil, args...)
}

// watched is run with an eye on the progress that VBoxManage writes to standard error; progress may be nil.
func (m *manager) watched(ctx context.Context, progress func(percent int), args ...string) (string, error) {
	over := time.Now().Add(m.patience)
	for pause := m.pause; ; pause = min(pause*3/2, longestPause) {
		out, err := m.once(ctx, progress, args)
		if !isCode(err, codeInvalidObjectState) {
			return out, err
		}
		if time.Now().Add(pause).After(over) {
			return out, fmt.Errorf("%w; it stayed so for %s: close what else has the machine open, such as its window", err, m.patience)
		}
		m.log.Debug("the machine is locked, trying again", "command", args[0], "pause", pause)
		if err := netx.Pause(ctx, pause); err != nil {
			return out, err
		}
	}
}

// interruptDelay is how long VBoxManage may take to cancel what it asked for before it is killed.
const interruptDelay = 10 * time.Second

func (m *manager) once(ctx context.Context, progress func(int), args []string) (string, error) {
	path, err := m.find()
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(append(os.Environ(), m.env...), "LANG=C.UTF-8", "LC_ALL=C.UTF-8") // 7.x translates its messages
	cmd.Stdout, cmd.Stderr = &stdout, io.Writer(&stderr)
	if progress != nil {
		cmd.Stderr = io.MultiWriter(&stderr, &percents{tell: progress})
	}
	// An interrupt makes VBoxManage cancel the operation in VirtualBox's service; killed, it would leave it running.
	cmd.Cancel = func() error {
		if cmd.Process.Signal(os.Interrupt) != nil { // not on Windows
			return cmd.Process.Kill()
		}
		return nil
	}
	cmd.WaitDelay = interruptDelay
	detach(cmd)
	// The kernel ties "when we are killed" to the thread that started the process, so keep it until the end.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	exit := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		exit = e.ExitCode()
	} else if err != nil {
		return "", fmt.Errorf("run %s: %w", path, err)
	}
	return strings.ReplaceAll(stdout.String(), "\r\n", "\n"), parseError(args, exit, stderr.String())
}

// percents reads progress such as "0%...10%...20%" as it is written.
type percents struct {
	tell   func(int)
	number int
	digits int
}

func (p *percents) Write(b []byte) (int, error) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9' && p.digits < 3:
			p.number, p.digits = p.number*10+int(c-'0'), p.digits+1
			continue
		case c == '%' && p.digits > 0 && p.number <= 100:
			p.tell(p.number)
		}
		p.number, p.digits = 0, 0
	}
	return len(b), nil
}
