package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// oneDash is a switch as Packer's users write it: -var-file=x. A single letter is a shorthand and left alone.
var oneDash = regexp.MustCompile(`^-[A-Za-z][A-Za-z0-9-]+(=|$)`)

// normalize gives every long switch its second dash, because Packer's switches have one and pflag wants two. What follows
// "--" and the values of switches stay as they are.
func normalize(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil {
		cmd = root
	}
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if oneDash.MatchString(arg) {
			arg = "-" + arg
		}
		out = append(out, arg)
		if takesNext(cmd, arg) && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out
}

// takesNext tells whether a switch is followed by its value.
func takesNext(cmd *cobra.Command, arg string) bool {
	name, found := strings.CutPrefix(arg, "--")
	if !found || strings.Contains(name, "=") {
		return false
	}
	var flag *pflag.Flag
	for c := cmd; c != nil && flag == nil; c = c.Parent() {
		if flag = c.Flags().Lookup(name); flag == nil {
			flag = c.PersistentFlags().Lookup(name)
		}
	}
	return flag != nil && flag.NoOptDefVal == ""
}
