package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/boxregistry"
	blobfs "github.com/boxkiln/boxkiln/boxregistry/blob/fs"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
	"github.com/boxkiln/boxkiln/boxregistry/static"
	boxstore "github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/daemon/api"
)

// exportOptions are the switches of `boxkiln box export`.
type exportOptions struct {
	static.Options
	version string
	quiet   bool
}

func newBoxExportCommand(env *environment) *cobra.Command {
	o := &exportOptions{}
	cmd := &cobra.Command{
		Use: "export --static DIR [ORG/BOX...]", Short: "Write boxes as a tree that a plain web server or bucket can serve to Vagrant",
		Long: `Write the released versions of boxes, of all public ones unless some are named, as catalogs and box files that nginx, Apache,
Caddy or a bucket can serve to Vagrant. DIR/README.md says how. Beside the boxes of own builds lie their signatures, their
provenance and the lists of their packages, for "boxkiln box verify". Box files are linked to those of the data directory where
that is on the same file system. A second run writes only what has changed, and removes nothing without --prune.

It reads the data directory, whether a daemon runs or not.` + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error { return runBoxExport(cmd.Context(), env, o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "static", "", "write the tree to this `DIR`")
	f.StringVar(&o.version, "version", "", "only versions that meet this `REQUIREMENT`, such as \"~> 1.2\"")
	f.StringVar(&o.BaseURL, "base-url", "", "`URL` at which the tree will be served; without it catalogs name files of this machine")
	f.BoolVar(&o.Prune, "prune", false, "remove what earlier exports wrote and this one does not")
	f.BoolVar(&o.quiet, "quiet", false, "do not list what is written")
	_ = cmd.MarkFlagRequired("static") // the flag is there
	return cmd
}

func runBoxExport(ctx context.Context, env *environment, o *exportOptions, args []string) (err error) {
	if env.remote() {
		return errors.New("box export reads the data directory of this machine: leave --server away, or run it on the daemon's machine")
	}
	if o.Requirement, err = boxregistry.ParseRequirement(o.version); err != nil {
		return err
	}
	registry, done, err := env.openRegistry(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	names, err := exported(ctx, registry, args)
	if err != nil {
		return err
	}
	if !o.quiet {
		o.Tell = func(verb, name string) { fmt.Fprintf(env.stdout, "==> %s %s\n", verb, name) }
	}
	if err := env.attach(registry, &o.Options); err != nil {
		return err
	}
	r, err := static.Export(ctx, registry, names, o.Options)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.stdout, "%d boxes in %s: %d files written (%s of boxes), %d as they were, %d removed\n",
		r.Boxes, o.Dir, r.Written, sizeFlag(r.Bytes), r.Kept, r.Removed)
	return err
}

// attach has the files exported too that lie beside the boxes of our own builds. Without a signing key no daemon has run here.
func (e *environment) attach(registry *boxstore.Registry, o *static.Options) error {
	data, err := e.data()
	if err != nil {
		return err
	}
	if _, err := os.Stat(data.SigningKey()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	key, err := signing.Load(data.SigningKey())
	if err != nil {
		return err
	}
	o.PublicKey, o.Beside = key.Public().File(), api.Beside{Known: registry, Key: key.Public()}.Files
	return nil
}

// exported is the boxes that are named, or all public ones.
func exported(ctx context.Context, r *boxstore.Registry, args []string) (names []boxregistry.Name, err error) {
	for _, text := range args {
		name, nameErr := boxregistry.ParseName(text)
		names, err = append(names, name), errors.Join(err, nameErr)
	}
	if len(args) > 0 || err != nil {
		return names, err
	}
	const page = 500
	for {
		list, total, err := r.List(ctx, boxregistry.ListQuery{Limit: page, Offset: len(names)})
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			names = append(names, s.Name)
		}
		if len(list) == 0 || len(names) >= total {
			return names, nil
		}
	}
}

// openRegistry opens the registry of the data directory to read it, beside a daemon that may run. Blobs never change once
// they are there; the folder for new ones is one of our own, since that of the daemon is swept by whoever opens it.
func (e *environment) openRegistry(ctx context.Context) (r *boxstore.Registry, done func() error, err error) {
	data, err := e.data()
	if err != nil {
		return nil, nil, err
	}
	db, err := e.openDB(ctx)
	if err != nil {
		return nil, nil, err
	}
	staging, err := os.MkdirTemp("", "boxkiln-export-")
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	done = func() error { return errors.Join(db.Close(), os.RemoveAll(staging)) }
	blobs, err := blobfs.Open(data.Blobs(), staging)
	if err == nil {
		r, err = boxstore.New(ctx, db, blobs, nil)
	}
	if err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return r, done, nil
}
