package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Exit codes (RTEXITCODE_FAILURE, RTEXITCODE_SYNTAX).
const (
	exitOK      = 0
	exitFailure = 1
	exitSyntax  = 2
)

// call is one run of the command.
type call struct {
	ctx      context.Context
	self     string // "VBoxManage", the prefix of errors
	profile  profile
	faults   []fault
	home     string // the folder of the state
	out, err *bufio.Writer
	command  string // for the list of faults: "controlvm poweroff"
	linger   time.Duration
}

func newCall(self string) (*call, error) {
	c := &call{ctx: context.Background(), self: self, linger: 1500 * time.Millisecond}
	c.faults = parseFaults(os.Getenv("BOXKILN_SIM_FAULTS"))
	c.out, c.err = c.stream(os.Stdout), c.stream(os.Stderr)
	home, err := os.UserHomeDir()
	c.home = cmp.Or(os.Getenv("VBOX_USER_HOME"), filepath.Join(home, ".config", "VirtualBox"))
	if text := os.Getenv("BOXKILN_SIM_LINGER"); text != "" {
		var bad error
		c.linger, bad = time.ParseDuration(text)
		err = errors.Join(err, bad)
	}
	var bad error
	c.profile, bad = profileFromEnv()
	return c, errors.Join(err, bad)
}

func (c *call) stream(w io.Writer) *bufio.Writer {
	if c.has("crlf") {
		w = crlf{w}
	}
	return bufio.NewWriter(w)
}

// crlf writes lines as Windows ends them.
type crlf struct{ w io.Writer }

func (c crlf) Write(p []byte) (int, error) {
	_, err := c.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

// flush shows what was printed; those who read both streams see errors after results.
func (c *call) flush() {
	c.out.Flush()
	c.err.Flush()
}

// printf prints a result.
func (c *call) printf(format string, args ...any) { fmt.Fprintf(c.out, format, args...) }

// progress shows a finished operation as VBoxManage does, on standard error.
func (c *call) progress() {
	c.flush()
	fmt.Fprint(c.err, "0%...10%...20%...30%...40%...50%...60%...70%...80%...90%...100%\n")
}

// withProgress does something that takes time, and shows how it went.
func (c *call) withProgress(do func() error) error {
	c.flush()
	fmt.Fprint(c.err, "0%...")
	c.err.Flush()
	err := c.progressFault()
	if err == nil {
		err = do()
	}
	if err != nil {
		code := "NS_ERROR_FAILURE"
		if e := (*comError)(nil); errors.As(err, &e) {
			code = e.code
		}
		fmt.Fprintf(c.err, "\nProgress state: %s\n", code)
		return err
	}
	fmt.Fprint(c.err, "10%...20%...30%...40%...50%...60%...70%...80%...90%...100%\n")
	return nil
}

// command is one of VBoxManage's.
type command struct {
	do   func(c *call, args []string) error
	subs int // how many of its arguments name it further, for faults: 2 of "snapshot VM take"
}

// main splits off the global options and runs a command.
func (c *call) main(args []string) int {
	if len(args) == 0 {
		c.printf("%s%s", c.logo(), c.usage(""))
		return exitFailure
	}
	for len(args) > 0 {
		switch args[0] {
		case "-q", "--nologo", "-d", "--detailed-progress":
			args = args[1:]
			continue
		case "-v", "-V", "--version":
			c.version()
			return exitOK
		case "--settingspw", "--settingspwfile":
			args = args[min(2, len(args)):]
			continue
		case "help", "--help", "-h", "-?":
			c.printf("%s%s", c.logo(), c.usage(""))
			return exitOK
		}
		break
	}
	if len(args) == 0 {
		return exitOK
	}
	return c.report(c.dispatch(args))
}

func (c *call) dispatch(args []string) error {
	cmd, ok := commands()[args[0]]
	if !ok {
		return &syntaxError{text: fmt.Sprintf("Invalid command '%s'", args[0])}
	}
	c.command = args[0]
	if cmd.subs > 0 && len(args) > cmd.subs {
		c.command += " " + args[cmd.subs]
	}
	if err := c.startFault(args[1:]); err != nil {
		return err
	}
	return cmd.do(c, args[1:])
}

func (c *call) version() {
	if c.has("vboxdrv") {
		c.printf("WARNING: The vboxdrv kernel module is not loaded. Either there is no module\n" +
			"         available for the current kernel (6.1.0-50-amd64) or it failed to\n" +
			"         load. Please recompile the kernel module and install it by\n\n" +
			"           sudo /sbin/vboxconfig\n\n" +
			"         You will not be able to start VMs until this problem is fixed.\n")
	}
	c.printf("%s\n", c.profile.version)
}

func (c *call) logo() string {
	version, _, _ := strings.Cut(c.profile.version, "r")
	years, owner := "2005-2022", "Oracle Corporation"
	if c.profile.seven() {
		years, owner = "2005-2023", "Oracle and/or its affiliates"
	}
	return fmt.Sprintf("Oracle VM VirtualBox Command Line Management Interface Version %s\n(C) %s %s\nAll rights reserved.\n\n", version, years, owner)
}

// usage is a short list of what there is, far from VirtualBox's pages.
func (c *call) usage(name string) string {
	var b strings.Builder
	b.WriteString("Usage:\n\n")
	names := []string{name}
	if name == "" {
		names = names[:0]
		for n := range commands() {
			names = append(names, n)
		}
		slices.Sort(names)
	}
	for _, n := range names {
		fmt.Fprintf(&b, "  %s %s ...\n", c.self, n)
	}
	return b.String() + "\n"
}
