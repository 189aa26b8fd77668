package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

func newSSHCommand(env *environment) *cobra.Command {
	var tty bool
	cmd := &cobra.Command{
		Use: "ssh BUILD [-- COMMAND...]", Short: "Work in the guest of a running build, or run a command there",
		Long: `Work in the guest of a running build, through the daemon and over the connection that the build has itself.

Without a command it is a login shell; without a terminal its input is read to the end. The exit status is that of the
shell or the command.` + exitHelp,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withDaemon(cmd.Context(), func(c *client.Client) error {
				return runSSH(cmd.Context(), env, c, tty, build.ID(args[0]), strings.Join(args[1:], " "))
			})
		},
	}
	cmd.Flags().BoolVarP(&tty, "tty", "t", false, "run a command on a terminal too")
	return cmd
}

func runSSH(ctx context.Context, env *environment, c *client.Client, tty bool, id build.ID, command string) error {
	sh := client.Shell{Command: command, Stdin: env.stdin, Stdout: env.stdout, Stderr: env.stderr}
	end := func() error { return nil }
	if terminals := isTerminal(env.stdin) && isTerminal(env.stdout); terminals && (tty || command == "") {
		if _, err := c.Get(ctx, id); err != nil { // before the terminal is changed
			return err
		}
		var err error
		if end, err = rawTerminal(env, &sh); err != nil {
			return err
		}
	}
	exit, err := c.Shell(ctx, id, sh)
	err = errors.Join(err, end())
	if err == nil && exit != 0 {
		return silentError{exit}
	}
	return err
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// rawTerminal hands the user's terminal to the shell, until the returned function is called.
func rawTerminal(env *environment, sh *client.Shell) (end func() error, err error) {
	sh.Term = env.getenv("TERM")
	if sh.Term == "" {
		sh.Term = "xterm"
	}
	size, err := terminalSize(env.stdout)
	if err != nil {
		return nil, err
	}
	before, err := term.MakeRaw(int(env.stdin.Fd()))
	if err != nil {
		return nil, fmt.Errorf("take the terminal: %w", err)
	}
	sizes := make(chan wire.ShellSize, 1)
	sh.Size, sh.Resize = size, sizes
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	done := make(chan struct{})
	go tellSize(env.stdout, changed, sizes, done)
	return func() error {
		signal.Stop(changed)
		close(done)
		return term.Restore(int(env.stdin.Fd()), before)
	}, nil
}

func terminalSize(f *os.File) (wire.ShellSize, error) {
	cols, rows, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return wire.ShellSize{}, fmt.Errorf("find out the size of the terminal: %w", err)
	}
	return wire.ShellSize{Rows: max(1, rows), Cols: max(1, cols)}, nil // serial lines say 0
}

// tellSize sends the size of the terminal each time that it changes.
func tellSize(f *os.File, changed <-chan os.Signal, sizes chan<- wire.ShellSize, done <-chan struct{}) {
	for {
		select {
		case <-changed:
		case <-done:
			return
		}
		size, err := terminalSize(f)
		if err != nil {
			continue
		}
		select {
		case sizes <- size:
		case <-done:
			return
		}
	}
}
