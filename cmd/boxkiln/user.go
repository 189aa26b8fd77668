package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/boxkiln/boxkiln/internal/auth"
)

func newUserCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Make, list and remove users, who log in with a password"}
	cmd.AddCommand(
		newUserCreateCommand(env),
		newAccessList(env, "ls", "List users", func(ctx context.Context, a access) ([]auth.User, error) { return a.Users(ctx) },
			"NAME\tSCOPE\tORGS\tPASSWORD\tCREATED", func(u auth.User) string {
				has := map[bool]string{true: "yes", false: "no"}[u.Password]
				return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", u.Name, dash(string(u.Scope)), dash(grants(u.Orgs)), has, date(u.Created))
			}),
		newAccessVerb(env, "rm NAME", "Remove a user and end his tokens; his boxes stay", 1, func(ctx context.Context, a access, args []string) error {
			return a.RemoveUser(ctx, args[0])
		}),
		newAccessVerb(env, "passwd NAME", "Give a user another password, from the terminal or standard input", 1, func(ctx context.Context, a access, args []string) error {
			password, err := env.password(args[0])
			if err != nil {
				return err
			}
			return a.SetPassword(ctx, args[0], password)
		}),
	)
	return cmd
}

func newUserCreateCommand(env *environment) *cobra.Command {
	var scope string
	cmd := newAccessVerb(env, "create NAME", "Make a user, with a password from the terminal or standard input", 1, func(ctx context.Context, a access, args []string) error {
		password, err := env.password(args[0])
		if err != nil {
			return err
		}
		return a.CreateUser(ctx, args[0], password, auth.Scope(scope))
	})
	cmd.Long = `Make a user, with a password from the terminal or standard input; an empty one makes a user who has tokens only.

A user may do everything in the organisation of his own name, in others what "boxkiln org member set" says, and everywhere
what --scope says.`
	cmd.Flags().StringVar(&scope, "scope", "", "what the user may do everywhere: read, write or admin; empty for nothing")
	return cmd
}

// maxPassword bounds what is read of standard input, in bytes; the store says how long a password may be.
const maxPassword = 4 << 10

// password asks for a user's password, or reads it from standard input when that is no terminal. It is never an argument,
// which other users of this host could see.
func (e *environment) password(user string) (string, error) {
	if !isTerminal(e.stdin) {
		data, err := io.ReadAll(io.LimitReader(e.stdin, maxPassword))
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return strings.TrimRight(string(data), "\r\n"), nil
	}
	first, err := e.askHidden("Password of " + user + ": ")
	if err != nil {
		return "", err
	}
	again, err := e.askHidden("Once more: ")
	if err == nil && again != first {
		err = errors.New("the two passwords differ: nothing was changed")
	}
	return first, err
}

// askHidden asks on the terminal for a line that is not shown.
func (e *environment) askHidden(question string) (string, error) {
	fmt.Fprint(e.stderr, question)
	line, err := term.ReadPassword(int(e.stdin.Fd()))
	fmt.Fprintln(e.stderr)
	return string(line), err
}
