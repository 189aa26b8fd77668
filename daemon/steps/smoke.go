package steps

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/provisioners"
)

// insecureKey is the private key that every Vagrant box trusts until its first `vagrant up` (hashicorp/vagrant keys/).
// It is public on purpose.
//
//go:embed vagrant_insecure_key
var insecureKey []byte

// smokeTimeout bounds the smoke test. Under emulation a boot takes half a minute.
const smokeTimeout = 10 * time.Minute

// smoke boots the packed box once, on fresh overlays of its disks, and logs in as Vagrant will, if the plan asks for it. The
// result goes into the publication.
func (t *Set) smoke(ctx context.Context, s *build.Session, pub *boxregistry.Publication) error {
	if !s.Plan.Publish.Smoke {
		return nil
	}
	if string(pub.File.Provider) != vagrantProvider(s.Plan.Driver) {
		s.Log.Message("the box for %s is not booted: this build has a driver for %s alone", pub.File.Provider, s.Plan.Driver)
		return nil
	}
	if pub.File.Provider == boxfile.AWS {
		s.Log.Message("the box for %s is not booted: it names images in a cloud, and the machine that they were made of has run already", pub.File.Provider)
		return nil
	}
	s.Log.Say("Smoke test: booting the packed box...")
	began := t.Now()
	err := t.bootBox(ctx, s, *pub)
	result := boxregistry.Smoke{Passed: err == nil, At: t.Now()}
	if err != nil {
		result.Detail = err.Error()
	} else {
		result.Detail = fmt.Sprintf("logged in %.0f s after power-on", t.Now().Sub(began).Seconds())
		s.Log.Message("%s", result.Detail)
	}
	pub.File.Smoke = result
	return err
}

// noteSmoke keeps the result of the smoke test, if there was one, with the published file. A failure ends the build, and the
// version stays a draft.
func (t *Set) noteSmoke(ctx context.Context, pub boxregistry.Publication, failure error) error {
	if !pub.File.Smoke.Tried() {
		return nil
	}
	err := t.Registry.SetSmoke(context.WithoutCancel(ctx), pub.Box, pub.Version, pub.File.Provider, pub.File.Architecture, pub.File.Smoke)
	if failure != nil {
		failure = fmt.Errorf("the packed box failed its smoke test and stays a draft: %w", failure)
	}
	return errors.Join(failure, err)
}

func (t *Set) bootBox(ctx context.Context, s *build.Session, pub boxregistry.Publication) (err error) {
	dir := filepath.Join(s.Dirs.Machine, "smoke")
	if err := os.Mkdir(dir, 0o711); err != nil {
		return err
	}
	r, err := t.openBox(ctx, pub.File.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	images, err := boxfile.ExtractDisks(ctx, r, dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, smokeTimeout, fmt.Errorf("no login within %s", smokeTimeout))
	defer cancel()
	machine, err := t.smokeMachine(ctx, s, dir, images)
	if err != nil {
		return build.OurFault(err)
	}
	defer func() { err = errors.Join(err, machine.Destroy(context.WithoutCancel(ctx))) }()
	return t.smokeLogin(ctx, s, machine)
}

// smokeMachine makes and starts a machine like the build's, over overlays of the box's disks.
func (t *Set) smokeMachine(ctx context.Context, s *build.Session, dir string, images []string) (hypervisor.Machine, error) {
	spec := t.spec(s)
	spec.Name += "-smoke"
	spec.Dir = filepath.Join(dir, "machine")
	spec.CDs, spec.Floppy, spec.HTTPPort = nil, "", 0
	if err := os.Mkdir(spec.Dir, 0o711); err != nil {
		return nil, err
	}
	for i := range spec.Disks {
		if i < len(images) {
			spec.Disks[i].Image, spec.Disks[i].ImageFormat = images[i], "qcow2"
			spec.Disks[i].Format, spec.Disks[i].Backing, spec.Disks[i].KeepSize = "qcow2", true, true
		}
	}
	row := s.Resource(build.KindMachine, spec.Name)
	var err error
	row.Data, err = json.Marshal(hypervisor.Handle{Driver: s.Driver.Name(), Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir, URI: handleURI(spec)})
	if err != nil {
		return nil, err
	}
	if err := s.Ledger.Intend(ctx, row); err != nil {
		return nil, err
	}
	machine, err := s.Driver.Create(ctx, spec)
	if err != nil {
		return nil, err
	}
	return machine, machine.Start(ctx)
}

func (t *Set) smokeLogin(ctx context.Context, s *build.Session, machine hypervisor.Machine) error {
	args := build.Communicator{SSH: provisioners.SSHArgs{Username: "vagrant", Timeout: schema.Duration(smokeTimeout),
		HandshakeAttempts: 100, Port: s.Plan.Communicator.SSH.Port}}
	guest, err := t.Parts.Communicator.Connect(ctx, build.ConnectRequest{
		Args: args, PrivateKey: insecureKey, Files: s.Files,
		Find: func(ctx context.Context) (string, error) {
			e, err := machine.Guest(ctx, guestPort(args.SSH.Port))
			return e.String(), err
		},
		Report: func(text string) { s.Log.Message("%s", text) },
	})
	if err != nil {
		return err
	}
	exit, err := guest.Run(ctx, provisioners.Command{Line: "true"})
	if err == nil && exit != 0 {
		err = &provisioners.ExitError{Command: "true", Status: exit}
	}
	return errors.Join(err, guest.Close())
}
