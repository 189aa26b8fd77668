package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// importOptions are the switches of `boxkiln box import`.
type importOptions struct {
	wire.ImportRequest
	tokenFile string
	json      bool
}

func newBoxImportCommand(env *environment) *cobra.Command {
	o := &importOptions{}
	cmd := &cobra.Command{
		Use: "import URL|DIR|FILE", Short: "Bring boxes here from Vagrant Cloud, another registry, a folder or a file",
		Long: `Bring boxes here, with all their versions or some of them:

  boxkiln box import https://vagrantcloud.com/bento/debian-12    a box of Vagrant Cloud, by any address of its pages
  boxkiln box import https://vagrantcloud.com/bento              all boxes of an organisation there (also hcp://bento)
  boxkiln box import https://boxes.example.org/ops/web           any catalog that Vagrant can read
  boxkiln box import /srv/vagrancy                               a folder: vagrancy, vagrantshadow, catalogs, ~/.vagrant.d
  boxkiln box import web.box --as ops/web --version 1.2.0        a single box file

Every file is compared with the announced checksum and inspected. Versions keep their numbers and descriptions, and are
released when all their files are here. What is here already is not fetched again, so an import that was interrupted goes
on when it is run again. The daemon does the work: a client that is lost does not stop it, an interrupt does.` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runBoxImport(cmd.Context(), env, o, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.As, "as", "", "put the boxes into this organisation, or give the only one this name: `ORG[/BOX]`")
	f.StringVar(&o.Version, "version", "", "only versions that meet this `REQUIREMENT`, such as \"~> 1.2\"; of a single box file its version")
	f.StringVar(&o.Provider, "provider", "", "only files for this provider")
	f.StringVar(&o.Architecture, "architecture", "", "only files for this architecture")
	f.IntVar(&o.Latest, "latest", 0, "only so many versions of each box, the highest; 0 for all")
	f.StringVar(&o.UnknownAs, "unknown-as", "", "the architecture of files of which nobody says it")
	f.StringVar(&o.Channel, "channel", "", "release the versions into this channel instead of stable")
	f.BoolVar(&o.Private, "private", false, "make new boxes private")
	f.BoolVar(&o.DryRun, "dry-run", false, "tell what would be done, and do nothing")
	f.StringVar(&o.tokenFile, "upstream-token-file", "", "file with the token for the server that the boxes come from")
	f.BoolVar(&o.json, "json", false, "print each event as a JSON object on a line")
	return cmd
}

func runBoxImport(ctx context.Context, env *environment, o *importOptions, from string) (err error) {
	if o.From, err = absolute(from); err != nil {
		return err
	}
	if o.tokenFile != "" {
		data, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return fmt.Errorf("--upstream-token-file: %w", err)
		}
		o.Token = strings.TrimSpace(string(data))
	}
	c, done, err := env.buildDaemon(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	err = importThrough(ctx, env, c, o)
	if doneErr := done(); err == nil {
		err = doneErr
	}
	return err
}

// absolute makes a path mean the same to the daemon; addresses stay as they are.
func absolute(from string) (string, error) {
	p, err := upstream.ParsePlace(from)
	if err != nil || p.Remote() {
		return from, err
	}
	return p.Base, nil
}

// boxUploader is a client that can send boxes of this machine to a daemon that does not read them in place.
type boxUploader interface {
	UploadBoxes(ctx context.Context, offer upstream.Offer, job upstream.Job, tell func(upstream.Event)) (upstream.Summary, error)
}

func importThrough(ctx context.Context, env *environment, c *client.Client, o *importOptions) error {
	show := newImportPrinter(env, o.json)
	defer show.close()
	if filepath.IsAbs(o.From) {
		info, err := c.Info(ctx)
		if err != nil {
			return err
		}
		if !info.SameUser {
			return uploadBoxes(ctx, c, o, show)
		}
	}
	started, err := c.StartImport(ctx, o.ImportRequest)
	if err != nil {
		return err
	}
	err = c.ImportEvents(ctx, started.ID, func(e wire.ImportEvent) error { return show.event(e) })
	if ctx.Err() != nil {
		// The user asked for the end; the daemon would go on without this.
		if cancelErr := c.CancelImport(context.WithoutCancel(ctx), started.ID); cancelErr != nil {
			return cancelErr
		}
		return fmt.Errorf("canceled: %w; run it again to go on", context.Cause(ctx))
	}
	if err != nil {
		return err
	}
	ended, err := c.Import(ctx, started.ID)
	if err != nil {
		return err
	}
	return show.end(ended, o.DryRun)
}

// uploadBoxes sends boxes of this machine to a daemon of somebody else.
func uploadBoxes(ctx context.Context, c *client.Client, o *importOptions, show *importPrinter) error {
	up, ok := any(c).(boxUploader)
	if !ok {
		return fmt.Errorf("%s is on this machine, and the daemon runs elsewhere or as another user, whose files are not yours: "+
			"run the command on its machine as its user, or give a URL", o.From)
	}
	p, err := upstream.ParsePlace(o.From)
	if err != nil {
		return err
	}
	job, number, err := o.job()
	if err != nil {
		return err
	}
	offer, err := upstream.Reader{Local: true, Number: number}.Read(ctx, p)
	if err != nil {
		return err
	}
	sum, err := up.UploadBoxes(ctx, offer, job, func(e upstream.Event) { _ = show.event(e) })
	if err != nil {
		return err
	}
	return show.end(wire.Import{State: wire.ImportDone, Summary: &sum}, false)
}

// job is what the switches ask for, for an import that the client does itself.
func (o *importOptions) job() (upstream.Job, boxregistry.Version, error) {
	req, err := boxregistry.ParseRequirement(o.Version)
	if err != nil {
		return upstream.Job{}, boxregistry.Version{}, err
	}
	number, err := boxregistry.ParseVersion(o.Version)
	if err != nil { // then it is a requirement
		number = boxregistry.Version{}
	}
	return upstream.Job{As: o.As, Requirement: req, Provider: boxregistry.Provider(o.Provider), Architecture: boxregistry.Architecture(o.Architecture),
		Latest: o.Latest, UnknownAs: boxregistry.Architecture(o.UnknownAs), Channel: boxregistry.Channel(o.Channel), Private: o.Private}, number, nil
}

// printEvent prints an event as JSON.
func printEvent(env *environment, e wire.ImportEvent) error {
	return json.NewEncoder(env.stdout).Encode(e)
}
