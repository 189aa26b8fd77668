package main

import "github.com/spf13/cobra"

func newBoxCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "box", Short: "Look at boxes, compare and check them"}
	cmd.AddCommand(newBoxVerifyCommand(env), newBoxDiffCommand(env), newBoxParityCommand(env))
	return cmd
}
