// Package ovftool is the simulator's ovftool.
package ovftool

import (
	"context"
	"fmt"
	"io"
)

// Main runs the program with its arguments, and returns its exit code.
func Main(ctx context.Context, args []string, out io.Writer) int {
	fmt.Fprintln(out, "Error: not yet")
	return 1
}
