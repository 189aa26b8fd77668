package post

import (
	"context"
	"encoding/json"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/provisioners"
)

// NewShellLocal makes the post-processor shell-local of the provisioner of that name: the same commands with the same
// arguments and environment, run when the artifact is there. The provisioner gets no guest.
func NewShellLocal(provisioner provisioners.Factory) build.PostFactory {
	return func(args json.RawMessage, env build.PostEnv) (build.PostProcessor, error) {
		p, err := provisioner(args, provisioners.Env{Files: env.Files, Outputs: env.Outputs, Vars: env.Vars, Cwd: env.Cwd, Render: env.Render})
		if err != nil {
			return nil, err
		}
		return &shellLocal{run: p, env: env}, nil
	}
}

type shellLocal struct {
	keepsAlways
	run provisioners.Provisioner
	env build.PostEnv
}

// Process runs the commands and returns the artifact as it is.
func (s *shellLocal) Process(ctx context.Context, a hypervisor.Artifact) (hypervisor.Artifact, error) {
	return a, s.run.Provision(ctx, nil, s.env.Out)
}
