package main

import "github.com/spf13/cobra"

func newBoxCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "box", Short: "Look after boxes"}
	cmd.AddCommand(newBoxFsckCommand(env))
	return cmd
}
