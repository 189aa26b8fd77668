package main

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/layout"
)

// tellFirstToken hands over the token of the first administrator: on standard output if somebody reads that now, and else in a
// file of the data directory, since a log is kept for long and read by many.
func (e *environment) tellFirstToken(data layout.Dir, token string) error {
	if hasReader(e.stdout) {
		_, err := fmt.Fprintf(e.stdout, "The token of the first administrator, shown only now: %s\n", token)
		return err
	}
	if err := fsx.WriteFile(data.FirstToken(), []byte(token+"\n"), layout.SecretMode); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "The token of the first administrator is in %s: keep it elsewhere, and remove that file\n", data.FirstToken())
	return err
}

// hasReader tells an output that somebody reads now, a terminal or a pipe, from one that is kept, a file or the socket by which
// systemd collects what services print, and from the one that swallows all.
func hasReader(f *os.File) bool {
	info, err := f.Stat()
	return isTerminal(f) || err == nil && info.Mode()&fs.ModeNamedPipe != 0
}
