package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

// The installations of the tests, and the region that everything is in.
const (
	install = "0a1b2c3d"
	foreign = "9f8e7d6c"
	region  = "us-east-1"
)

// canary is in every credential of these tests and must never be seen.
const canary = "canary"

// rig is a cloud with an image, and what is known of its guests.
type rig struct {
	*testing.T
	cloud  *cloud.Cloud
	guests *guests
	image  string
	access account.Access
}

// guests are machines in name only. One whose user data is "ending" powers itself off at once.
type guests struct {
	mu    sync.Mutex
	ended map[string]chan struct{} // closed when the machine is off
	seen  map[string]cloud.Guest
}

func (g *guests) Start(_ context.Context, guest cloud.Guest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen[guest.ID], g.ended[guest.ID] = guest, make(chan struct{})
	if string(guest.UserData) == "ending" {
		close(g.ended[guest.ID])
	}
	return nil
}

func (g *guests) Stop(ctx context.Context, id string) error { return g.Kill(ctx, id) }

func (g *guests) Kill(_ context.Context, id string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ch := g.ended[id]; ch != nil {
		select {
		case <-ch:
		default:
			close(ch)
		}
	}
	return nil
}

func (g *guests) Wait(ctx context.Context, id string) error {
	g.mu.Lock()
	ch := g.ended[id]
	g.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newRig makes a cloud; hidden is how often what was made is not found at first.
func newRig(t *testing.T, hidden int) *rig { return newRigOf(t, cloud.Config{Hidden: hidden}) }

// newRigOf makes a cloud with guests that are none.
func newRigOf(t *testing.T, c cloud.Config) *rig {
	t.Helper()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(disk, bytes.Repeat([]byte("disk"), 1<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &guests{ended: map[string]chan struct{}{}, seen: map[string]cloud.Guest{}}
	c.Dir, c.Guests, c.Pace = dir, g, time.Millisecond
	aws := cloud.New(c)
	t.Cleanup(func() {
		if err := aws.Close(); err != nil {
			t.Error(err)
		}
	})
	image, err := aws.AddImage(t.Context(), region, "base", disk)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(aws)
	t.Cleanup(s.Close)
	return &rig{t, aws, g, image, account.Access{
		Region: region, Endpoint: s.URL, SkipMetadata: true, MaxPause: time.Millisecond,
		Polling: account.Polling{Delay: time.Millisecond, Grace: time.Second},
		Keys:    account.NewKeys(canary+"-id", canary+"-secret", canary+"-token", ""),
	}}
}

func (r *rig) driver(of string) *Driver {
	return New(Options{Install: of, Access: r.access})
}

// spec plans a machine with some more arguments.
func (r *rig) spec(t *testing.T, more map[string]any) hypervisor.Spec {
	t.Helper()
	args := map[string]any{"source_ami": r.image, "instance_type": "t3.small", "ami_name": "made-" + clean(t.Name()), "ssh_username": "debian"}
	maps.Copy(args, more)
	data, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Planner{}.Plan(data)
	if err != nil {
		t.Fatal(err)
	}
	spec.Name, spec.Dir = "boxkiln-"+clean(t.Name()), t.TempDir()
	spec.Tag = hypervisor.Tag{Install: install, Build: clean(t.Name()), Attempt: 1}
	spec.AuthorizedKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5vbnNlbnNlbm9uc2Vuc2Vub25zZW5zZW5vbnNlbnNl test"
	return spec
}

func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' || r == '_' {
			return '-'
		}
		return r
	}, strings.ToLower(name))
}

// left is what was made in the cloud and is there.
func (r *rig) left() map[string]int { return r.cloud.Count() }

func (r *rig) wantNothing(t *testing.T) {
	t.Helper()
	if n := r.left(); len(n) > 0 {
		t.Errorf("left is %v", n)
	}
}
