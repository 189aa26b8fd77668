package main

import (
	"errors"

	"github.com/boxkiln/boxkiln/daemon"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// The exit statuses of every verb; exitHelp shows them.
const (
	exitOK       = 0
	exitFailed   = 1  // a build failed or was cancelled, a template is wrong, or anything else went wrong
	exitLocked   = 11 // another daemon owns the data directory
	exitNewer    = 12 // the database was written by a newer boxkiln
	exitNoDaemon = 13 // no daemon answers, and the verb needs one
)

const exitHelp = `

Exit status:
  0   done
  1   a build failed or was cancelled, a template is wrong, or anything else went wrong
  11  another daemon owns the data directory
  12  the database was written by a newer boxkiln
  13  no daemon answers, and the verb needs one`

// silentError ends the command with a status after everything was said.
type silentError struct{ code int }

func (e silentError) Error() string { return "failed" }

func exitCode(err error) int {
	var quiet silentError
	var locked *daemon.LockedError
	switch {
	case errors.As(err, &quiet):
		return quiet.code
	case errors.As(err, &locked):
		return exitLocked
	case errors.Is(err, sqlitedb.ErrNewerSchema):
		return exitNewer
	case errors.Is(err, client.ErrNoDaemon):
		return exitNoDaemon
	}
	return exitFailed
}
