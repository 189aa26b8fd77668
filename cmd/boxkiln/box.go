package main

import "github.com/spf13/cobra"

func newBoxCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "box", Short: "Manage the boxes of the registry, compare and check them"}
	cmd.AddCommand(
		newBoxImportCommand(env),
		newBoxExportCommand(env),
		newBoxFsckCommand(env),
		newBoxVerifyCommand(env),
		newBoxDiffCommand(env),
		newBoxParityCommand(env),
	)
	return cmd
}
