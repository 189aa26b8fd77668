// Package steps holds the stages of a build, one file each, in the order in which a build runs them: fetch-media,
// make-key, make-media, serve-seed, create-machine, type-boot, wait-guest, upload-tools, provision, record-packages, check-guest,
// shutdown, export, post-process, package, publish. Each is a function over the build's session; [Set.List] puts together those
// that a plan needs.
// Steps have no clean-up: what they do outside the process they first write to the ledger.
package steps

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/iso"
)

// Registry is what the steps need of the box registry. Its contract is that of boxregistry/store.
type Registry interface {
	Publisher
	Knower
	Resolve(ctx context.Context, name boxregistry.Name, r boxregistry.Requirement, p boxregistry.Provider, a boxregistry.Architecture) (boxregistry.Resolved, error)
}

// Publisher takes boxes in.
type Publisher interface {
	Check(ctx context.Context, p boxregistry.Publication) error
	OpenWriter(ctx context.Context) (blob.Writer, error)
	OpenBlob(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error)
	Publish(ctx context.Context, p boxregistry.Publication) error
	Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version, channels ...boxregistry.Channel) error
	SetSmoke(ctx context.Context, name boxregistry.Name, v boxregistry.Version, p boxregistry.Provider, a boxregistry.Architecture, s boxregistry.Smoke) error
}

// Knower keeps what is known of bytes, by their digest.
type Knower interface {
	SetContents(ctx context.Context, d blob.Digest, s boxfile.Summary) error
	SetPackages(ctx context.Context, d blob.Digest, sbom json.RawMessage) error
	Signatures(ctx context.Context, d blob.Digest) (string, error)
	AddSignatures(ctx context.Context, d blob.Digest, files string) error
}

// Set is what the steps of all builds share.
type Set struct {
	Media    *iso.Cache
	MediaDir string // where disks of boxes are unpacked
	Parts    build.Parts
	Drivers  map[string]hypervisor.Driver // for images that another driver keeps than the one that made the machine
	Registry Registry
	Gate     ReleaseGate
	Now      func() time.Time

	// Signer signs what is published; nil signs nothing.
	Signer *signing.Key
	// History tells provenance how long the steps took; nil tells nothing.
	History History
	Version string // of Boxkiln

	// Checkpoints keeps stages for later builds; nil keeps nothing.
	Checkpoints *checkpoint.Store
	// SecretKey of this installation hides secrets in fingerprints.
	SecretKey []byte
	// MaxAge is how old a kept stage may be where nobody says otherwise; 0 for build.DefaultCacheMaxAge.
	MaxAge time.Duration
}

// List returns the steps of a plan, for one attempt.
func (t *Set) List(p *build.Plan) ([]build.Step, error) {
	k := &kept{set: t}
	list := []build.Step{
		{Name: "prepare", Do: t.prepare},
		{Name: "fetch-media", Do: t.fetchMedia},
		{Name: "find-checkpoint", Do: k.find},
		{Name: "restore-artifact", Do: k.restoreArtifact, Needed: func(*build.Session) bool { return k.artifact() }},
		{Name: "make-key", Do: k.makeKey, Needed: k.machineNeeded},
		{Name: "serve-seed", Do: t.serveSeed, Needed: k.machineNeeded},
		{Name: "make-media", Do: t.makeMedia, Needed: k.machineNeeded},
		{Name: "create-machine", Timeout: createTimeout, Do: k.createMachine, Needed: k.machineNeeded},
		{Name: "type-boot", Do: t.typeBoot, Cached: k.cached(0)},
	}
	if p.Communicator.Kind() != build.CommunicatorNone {
		list = append(list, t.guestSteps(k, p)...)
	}
	list = append(list,
		build.Step{Name: "shutdown", Do: t.shutdown, Needed: k.machineNeeded},
		build.Step{Name: "export", Do: t.export, Cached: k.artifactCached},
		build.Step{Name: "post-process", Do: t.postProcess, Cached: k.artifactCached},
		build.Step{Name: "package", Do: t.makePackages, Cached: k.artifactCached,
			Needed: func(s *build.Session) bool { return len(s.Plan.Packages.Package) > 0 }},
		build.Step{Name: "keep-artifact", Do: k.keepArtifact, Needed: k.artifactWanted},
		build.Step{Name: "publish", Do: func(ctx context.Context, s *build.Session) error {
			err := t.publish(ctx, s)
			if err == nil {
				k.detach(ctx, s)
			}
			return err
		}},
	)
	return list, nil
}

// guestSteps are those for which somebody logs in, with a checkpoint after each stage.
func (t *Set) guestSteps(k *kept, p *build.Plan) []build.Step {
	list := []build.Step{
		{Name: "wait-guest", Do: k.waitGuest, Needed: k.machineNeeded},
		{Name: "upload-tools", Do: t.uploadTools, Needed: uploads, Cached: k.cached(0)},
		k.freezeStep(0, build.StageInstalled),
	}
	for i := range p.Provisioners {
		step := t.provisionStep(i, p.Provisioners[i], k.spoil)
		step.Cached, step.Rewind = k.cached(i+1), k.rewindTo(i)
		list = append(list, step, k.freezeStep(i+1, step.Name))
	}
	list = append(list, build.Step{Name: "record-packages", Do: t.recordPackages, Needed: k.packagesWanted},
		build.Step{Name: "check-guest", Do: t.checkGuest, Needed: k.guestWanted})
	return append(list, build.Step{Name: "clean-guest", Timeout: cleanTimeout, Do: t.cleanGuest,
		Needed: func(s *build.Session) bool { return k.machineNeeded(s) && s.Key.Authorized != "" }})
}

const (
	// createTimeout covers making disks; a machine that takes longer to be defined hangs.
	createTimeout = 5 * time.Minute
	cleanTimeout  = time.Minute
)
