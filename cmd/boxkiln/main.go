// Command boxkiln fires golden VM images and serves them.
//
// `boxkiln serve` is the daemon; every other verb is its client, and `boxkiln build` brings a daemon of its own when none
// answers. There is one file per verb; parts.go is the only place that names all drivers, communicators, provisioners
// and post-processors.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], &environment{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ,
		parts: newParts, drivers: newDrivers,
	})
	stop()
	os.Exit(code)
}

// run is the whole command, for main and for tests.
func run(ctx context.Context, args []string, env *environment) int {
	root := newRoot(env)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.SetArgs(normalize(root, args))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var quiet silentError
	if !errors.As(err, &quiet) {
		fmt.Fprintf(env.stderr, "Error: %v\n", err)
	}
	return exitCode(err)
}
