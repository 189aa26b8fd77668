package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/daemon/client"
)

func newBoxCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "box", Short: "List, publish, release, compare, check and delete boxes",
		Long: `A box is a series of versions. A version begins as a draft, which only its makers see, into which a file is published
for each provider and architecture. Released, it is seen by the clients of its channels and never changes again.
What is deleted can be restored for a week. With no daemon running, each verb brings its own.`,
	}
	cmd.AddCommand(
		newBoxLsCommand(env),
		newBoxShowCommand(env),
		newBoxCreateCommand(env),
		newBoxEditCommand(env),
		newBoxPublishCommand(env),
		newBoxReleaseCommand(env),
		newBoxRevokeCommand(env),
		newBoxPromoteCommand(env),
		newBoxDemoteCommand(env),
		newBoxPinCommand(env),
		newBoxUnpinCommand(env),
		newBoxDescribeCommand(env),
		newBoxRetentionCommand(env),
		newBoxDeleteCommand(env),
		newBoxRestoreCommand(env),
		newBoxPurgeCommand(env),
		newBoxImportCommand(env),
		newBoxExportCommand(env),
		newBoxFsckCommand(env),
		newBoxVerifyCommand(env),
		newBoxDiffCommand(env),
		newBoxParityCommand(env),
	)
	return cmd
}

// withBoxes calls fn with a client of a daemon: of one that ends with the command when none runs.
func (e *environment) withBoxes(ctx context.Context, fn func(*client.Client) error) error {
	return e.changeCache(ctx, fn)
}

// boxAnd takes arguments of which the first is the name of a box.
func boxAnd(count cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := count(cmd, args); err != nil {
			return err
		}
		_, err := boxregistry.ParseName(args[0])
		return err
	}
}

// versionOrBox is the box and the version, if there is one, of the arguments.
func versionOrBox(args []string) (box, version, shown string) {
	if len(args) > 1 {
		return args[0], args[1], args[0] + " " + args[1]
	}
	return args[0], "", args[0]
}

// newVersionVerb makes a verb that does one thing to a version and says so.
func newVersionVerb(env *environment, use, short, said string, do func(ctx context.Context, c *client.Client, box, version string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: boxAnd(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withBoxes(cmd.Context(), func(c *client.Client) error {
				if err := do(cmd.Context(), c, args[0], args[1]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(env.stdout, "%s %s %s\n", args[0], args[1], said)
				return err
			})
		},
	}
}

// textOrFile is the value of a switch, or the content of the file that it names as @FILE.
func textOrFile(value string) (string, error) {
	path, isFile := strings.CutPrefix(value, "@")
	if !isFile {
		return value, nil
	}
	data, err := os.ReadFile(path)
	return string(data), err
}

// confirm asks on the terminal. Without one the answer is no, and the error names the switch.
func (e *environment) confirm(question string) error {
	if !isTerminal(e.stdin) {
		return errors.New("nobody is there to confirm it: add --yes")
	}
	fmt.Fprintf(e.stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(e.stdin).ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
