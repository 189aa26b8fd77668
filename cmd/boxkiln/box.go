package main

import "github.com/spf13/cobra"

func newBoxCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "box", Short: "Manage the boxes of the registry"}
	cmd.AddCommand(
		newBoxImportCommand(env),
		newBoxExportCommand(env),
		newBoxFsckCommand(env),
	)
	return cmd
}
