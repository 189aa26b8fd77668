// Package steps holds the stages of a build, one file each, in the order in which a build runs them: fetch-media,
// make-key, make-media, serve-seed, create-machine, type-boot, wait-guest, provision, shutdown, export, post-process,
// publish. Each is a function over the build's session; [Set.List] puts together those that a plan needs. Steps have no
// clean-up: what they do outside the process they first write to the ledger.
package steps

import (
	"context"
	"io"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/iso"
)

// Registry is what the steps need of the box registry. Its contract is that of boxregistry/store.
type Registry interface {
	Check(ctx context.Context, p boxregistry.Publication) error
	OpenWriter(ctx context.Context) (blob.Writer, error)
	OpenBlob(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error)
	Publish(ctx context.Context, p boxregistry.Publication) error
	Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error
	SetSmoke(ctx context.Context, name boxregistry.Name, v boxregistry.Version, p boxregistry.Provider, a boxregistry.Architecture, s boxregistry.Smoke) error
	Resolve(ctx context.Context, name boxregistry.Name, r boxregistry.Requirement, p boxregistry.Provider, a boxregistry.Architecture) (boxregistry.Resolved, error)
}

// Set is what the steps of all builds share.
type Set struct {
	Media    *iso.Cache
	MediaDir string // where disks of boxes are unpacked
	Parts    build.Parts
	Registry Registry
	Gate     ReleaseGate
	Now      func() time.Time
}

// List returns the steps of a plan.
func (t *Set) List(p *build.Plan) ([]build.Step, error) {
	list := []build.Step{
		{Name: "prepare", Do: t.prepare},
		{Name: "fetch-media", Do: t.fetchMedia},
		{Name: "make-key", Do: t.makeKey},
		{Name: "serve-seed", Do: t.serveSeed},
		{Name: "make-media", Do: t.makeMedia},
		{Name: "create-machine", Timeout: createTimeout, Do: t.createMachine},
		{Name: "type-boot", Do: t.typeBoot},
	}
	if p.Communicator.Kind() != build.CommunicatorNone {
		list = append(list, build.Step{Name: "wait-guest", Do: t.waitGuest})
		for i := range p.Provisioners {
			list = append(list, t.provisionStep(i, p.Provisioners[i]))
		}
		list = append(list, build.Step{Name: "clean-guest", Timeout: cleanTimeout, Do: t.cleanGuest})
	}
	return append(list,
		build.Step{Name: "shutdown", Do: t.shutdown},
		build.Step{Name: "export", Do: t.export},
		build.Step{Name: "post-process", Do: t.postProcess},
		build.Step{Name: "publish", Do: t.publish},
	), nil
}

const (
	// createTimeout covers making disks; a machine that takes longer to be defined hangs.
	createTimeout = 5 * time.Minute
	cleanTimeout  = time.Minute
)
