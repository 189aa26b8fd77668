// Package shelllocal runs scripts on the host of the daemon between the provisioners of a guest, as Packer's shell-local
// provisioner does. The work is that of internal/localshell, which the post-processor shares.
package shelllocal

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/boxkiln/boxkiln/internal/localshell"
	"github.com/boxkiln/boxkiln/provisioners"
)

// Args are the arguments of shell-local.
type Args = localshell.Args

// Check finds all that is wrong with the arguments, without looking at files.
func Check(raw json.RawMessage) error { return localshell.Check(raw) }

// Uncached tells why it runs in every build: what it does is not in the guest.
func Uncached(json.RawMessage) string { return "runs on the daemon's host" }

// Inputs are the local paths of the scripts.
func Inputs(raw json.RawMessage) ([]string, error) { return localshell.Inputs(raw) }

type provisioner struct {
	args Args
	env  provisioners.Env
}

// New makes a provisioner that runs scripts in the directory of env. It is a provisioners.Factory.
func New(raw json.RawMessage, env provisioners.Env) (provisioners.Provisioner, error) {
	a, err := localshell.Decode(raw)
	if err == nil {
		err = a.Validate()
	}
	if err != nil {
		return nil, err
	}
	return &provisioner{args: a, env: env}, nil
}

// Provision runs the scripts. The guest is not touched.
func (p *provisioner) Provision(ctx context.Context, _ provisioners.Guest, out io.Writer) error {
	r := localshell.Runner{
		Dir: p.env.Cwd, Vars: p.env.Vars.Environment(), Out: out, Render: p.env.Render,
		Open: func(path string) (io.ReadCloser, error) { return p.env.Files.Open(path) },
	}
	err := r.Run(ctx, p.args)
	var status *localshell.StatusError
	if errors.As(err, &status) {
		return &provisioners.ExitError{Command: "local shell script " + status.Script, Status: status.Status, Valid: status.Valid}
	}
	return err
}
