package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
)

// maxTyped bounds what is read from standard input, in bytes; the daemon takes less at once.
const maxTyped = 64 << 10

func newKeysCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "keys BUILD TEXT", Short: "Type at the machine of a build",
		Long: `Type at the machine of a build, with the tokens of boot commands: 'root<enter>', '<f2>', '<leftCtrlOn>c<leftCtrlOff>',
'<wait5s>'. With - for TEXT it is read from standard input, for what other users of this host must not see.

The log tells that something was typed, and not what.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := env.typed(args[1])
			if err != nil {
				return err
			}
			return env.withDaemon(cmd.Context(), func(c *client.Client) error {
				n, err := c.Type(cmd.Context(), build.ID(args[0]), text)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(env.stdout, "typed %d key events\n", n)
				return err
			})
		},
	}
}

// typed is the text to type, with warnings about what was hardly meant.
func (e *environment) typed(text string) (string, error) {
	if text == "-" {
		data, err := io.ReadAll(io.LimitReader(e.stdin, maxTyped))
		if err != nil {
			return "", fmt.Errorf("read what to type: %w", err)
		}
		text = strings.TrimSuffix(string(data), "\n")
	}
	if text == "" {
		return "", errors.New("there is nothing to type: give a text such as 'root<enter>'")
	}
	_, warnings, err := bootcmd.Parse(text)
	for _, w := range warnings {
		fmt.Fprintf(e.stderr, "Warning: %s\n", w)
	}
	return text, err
}
