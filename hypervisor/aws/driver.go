package aws

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
)

// Options configure a Driver.
type Options struct {
	// Install is the id of this installation: only machines that carry it are touched.
	Install string
	// Log takes what the driver decides. Default: nothing is logged.
	Log *slog.Logger
	// Access is what holds where a template says nothing about the account: zero for the environment.
	Access account.Access
}

// Driver makes machines in EC2. It may be used from several goroutines.
type Driver struct {
	install string
	log     *slog.Logger
	access  account.Access
	// whatIsMyIP is a service that answers with the address of who asks.
	whatIsMyIP string
	client     *http.Client

	mu       sync.Mutex
	accounts map[string]*account.Account // by place
	tunnels  map[string]*tunnel          // by machine
}

var (
	_ hypervisor.Driver = (*Driver)(nil)
	_ hypervisor.Imager = (*Driver)(nil)
)

// checkIP is Amazon's own service for that, as in Packer.
const checkIP = "https://checkip.amazonaws.com"

// New returns a driver. It asks nobody before it is first needed.
func New(o Options) *Driver {
	d := &Driver{install: o.Install, log: o.Log, access: o.Access, whatIsMyIP: checkIP, client: &http.Client{Timeout: 10 * time.Second},
		accounts: map[string]*account.Account{}, tunnels: map[string]*tunnel{}}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d
}

// Name returns "aws".
func (d *Driver) Name() string { return Name }

// Probe tries the credentials of the environment, if there is a sign of any.
func (d *Driver) Probe(ctx context.Context) (hypervisor.Capabilities, error) {
	if !d.configured() {
		return hypervisor.Capabilities{Absent: true}, nil
	}
	acc, err := d.account(ctx, "")
	if err != nil {
		return hypervisor.Capabilities{}, err
	}
	number, arn, err := acc.In("").Whoami(ctx)
	if err != nil {
		return hypervisor.Capabilities{}, err
	}
	return hypervisor.Capabilities{Available: true, Version: "account " + number, Notes: []string{arn + " in " + acc.Region()}}, nil
}

// configured tells whether anybody has told the AWS tools who asks. Looking for credentials where there are none takes seconds:
// the metadata service of a host that is no instance does not answer.
func (d *Driver) configured() bool {
	if !d.access.IsZero() {
		return true
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return false
	}
	return slices.ContainsFunc([]string{"credentials", "config"}, func(name string) bool {
		_, err := os.Stat(filepath.Join(home, ".aws", name))
		return err == nil
	})
}

// account opens the account of a place, once.
func (d *Driver) account(ctx context.Context, uri string) (*account.Account, error) {
	p, err := parsePlace(uri)
	if err != nil {
		return nil, err
	}
	if p.Access.IsZero() {
		p.Access = d.access
	}
	d.mu.Lock()
	acc := d.accounts[uri]
	d.mu.Unlock()
	if acc != nil {
		return acc, nil
	}
	if acc, err = account.Open(ctx, p.Access); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accounts[uri] = acc
	return acc, nil
}

// Open finds a machine by what is written beside it, or else by its tags.
func (d *Driver) Open(ctx context.Context, h hypervisor.Handle) (hypervisor.Machine, error) {
	if h.Tag.Install != d.install {
		return nil, fmt.Errorf("%w: %w: %q", hypervisor.ErrNotFound, hypervisor.ErrForeign, h.Name)
	}
	acc, err := d.account(ctx, h.URI)
	if err != nil {
		return nil, err
	}
	r, found, err := readRecord(h.Dir)
	if err != nil {
		return nil, err
	}
	if found && (r.Name != h.Name || r.Tag != h.Tag) {
		return nil, fmt.Errorf("%w: %q", hypervisor.ErrNotFound, h.Name)
	}
	m := &Machine{driver: d, uri: h.URI, in: acc.In, record: r}
	if !found {
		m.record = record{Name: h.Name, Tag: h.Tag, Dir: h.Dir, Region: acc.Region()}
	}
	m.region = acc.In(m.record.Region)
	if found {
		return m, nil
	}
	things, err := find(ctx, m.region, h.Tag, h.Name)
	if err != nil {
		return nil, err
	}
	if things.none() {
		return nil, fmt.Errorf("%w: %q", hypervisor.ErrNotFound, h.Name)
	}
	return m, nil
}

// List returns the machines of this installation in the account and the region of the environment. One for which nothing was made
// yet, because it brings its own key and security group, is not seen before it starts.
func (d *Driver) List(ctx context.Context) ([]hypervisor.Handle, error) {
	if !d.configured() {
		return nil, nil
	}
	acc, err := d.account(ctx, "")
	if err != nil {
		return nil, err
	}
	things, err := find(ctx, acc.In(""), hypervisor.Tag{Install: d.install}, "")
	if err != nil {
		return nil, err
	}
	return things.machines(), nil
}

// RemoveImages implements hypervisor.Imager.
func (d *Driver) RemoveImages(ctx context.Context, h hypervisor.Handle) error {
	if h.Tag.Install != d.install {
		return fmt.Errorf("%w: images of %q", hypervisor.ErrForeign, h.Name)
	}
	p, err := parsePlace(h.URI)
	if err != nil {
		return err
	}
	acc, err := d.account(ctx, h.URI)
	if err != nil {
		return err
	}
	maker := ami.Maker{In: acc.In, Home: acc.Region(), Owner: h.Tag}
	return maker.Sweep(ctx, ami.Wanted{Regions: p.Regions}.Touched(acc.Region()))
}

// nothingMade is an error before anything was made. It is the port's ErrUnreachable, so that nobody looks for what is left, and says
// what is wrong alone.
type nothingMade struct{ error }

// Unwrap tells both.
func (e nothingMade) Unwrap() []error { return []error{e.error, hypervisor.ErrUnreachable} }

// Patience implements hypervisor.Imager: an instance takes minutes to end, and its network interface some more to let go of its
// security group.
func (d *Driver) Patience() time.Duration { return 15 * time.Minute }
