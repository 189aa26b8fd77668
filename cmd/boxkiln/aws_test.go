package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/sshtest"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

// awsKey is a secret of the templates of these tests, which nobody must find anywhere.
const awsKey = "canary/of+the=template"

// sshPort is where the guests of these tests answer: not all who test may take port 22.
const sshPort = "2222"

// servers are guests that answer SSH and have no machine.
type servers struct {
	mu   sync.Mutex
	live map[string]*sshtest.Server
	done map[string]chan struct{}
}

func (g *servers) Start(_ context.Context, guest cloud.Guest) error {
	s, err := sshtest.New(sshtest.Options{NoAuth: true, User: "admin", Addr: net.JoinHostPort(guest.Address, sshPort)})
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.live[guest.ID], g.done[guest.ID] = s, make(chan struct{})
	return nil
}

func (g *servers) Stop(ctx context.Context, id string) error { return g.Kill(ctx, id) }

func (g *servers) Kill(_ context.Context, id string) error {
	g.mu.Lock()
	s := g.live[id]
	delete(g.live, id)
	g.mu.Unlock()
	if s == nil {
		return nil
	}
	close(g.done[id])
	s.Close()
	return nil
}

func (g *servers) Wait(ctx context.Context, id string) error {
	g.mu.Lock()
	done := g.done[id]
	g.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ec2 is a cloud with an image, for a bench. killAt is the call at which the process that calls is killed, after the cloud has
// acted and before it is told.
type ec2 struct {
	*cloud.Cloud
	url string

	mu     sync.Mutex
	killAt int
	kill   func()
	calls  []string // that change something
}

func newEC2(t *testing.T) *ec2 {
	t.Helper()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(disk, bytes.Repeat([]byte("disk"), 1<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &ec2{Cloud: cloud.New(cloud.Config{Dir: dir, Guests: &servers{live: map[string]*sshtest.Server{}, done: map[string]chan struct{}{}}, Pace: time.Millisecond})}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := e.AddImage(t.Context(), "us-east-1", "debian-12", disk); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(s.Close)
	e.url = s.URL
	return e
}

func (e *ec2) serve(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	action := cmp.Or(r.Form.Get("Action"), r.Method+" "+r.URL.Path) // EBS direct is REST
	if !strings.HasPrefix(action, "Describe") && !strings.HasPrefix(action, "Get") {
		e.calls = append(e.calls, action)
		if len(e.calls) == e.killAt {
			e.Cloud.ServeHTTP(httptest.NewRecorder(), r)
			e.kill()
			e.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
	}
	e.mu.Unlock()
	e.Cloud.ServeHTTP(w, r)
}

// template writes a template like those of the articles.
func (e *ec2) template(b *bench) string {
	return b.write("ami.json", fmt.Sprintf(`{
  "builders": [{"name": "golden", "type": "amazon-ebs", "region": "us-east-1", "custom_endpoint_ec2": %q,
    "access_key": "AKIACANARY", "secret_key": %q, "skip_metadata_api_check": true,
    "source_ami_filter": {"filters": {"name": "debian-*"}, "owners": ["self"], "most_recent": true},
    "ami_regions": ["eu-west-1"], "instance_type": "t3.micro", "associate_public_ip_address": true,
    "ssh_username": "admin", "ssh_port": %s, "user_data_file": %q, "force_deregister": true,
    "ami_name": "golden", "ami_description": "from {{.SourceAMI}}", "tags": {"Base": "{{.SourceAMI}}"}}],
  "provisioners": [{"type": "shell", "inline": ["echo provisioned over SSH"]}]
}`, e.url, awsKey, sshPort, b.write("cloud.cfg", "#cloud-config")))
}

// awsEnv has the driver ask often, and has it find nothing of the account of whoever runs the tests.
func awsEnv() []string {
	return []string{"AWS_POLL_DELAY_SECONDS=0.01", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/nonexistent", "AWS_SHARED_CREDENTIALS_FILE=/nonexistent"}
}

// TestAmazonEBS builds an image, from the command to the summary, and looks for what must not be seen and what must not be left.
func TestAmazonEBS(t *testing.T) {
	b, e := newBench(t), newEC2(t)
	p := b.spawn(awsEnv(), "build", "-color=false", e.template(b))
	r := p.wait()
	r.wants(t, exitOK, "provisioned over SSH", "--> golden: AMIs were created:\neu-west-1: ami-", "us-east-1: ami-")
	if n := e.Count(); n["images"] != 2 || n["snapshots"] != 2 || len(n) != 2 {
		t.Errorf("left is %v", n)
	}
	if strings.Contains(r.stdout+r.stderr, awsKey) || b.holds(awsKey) {
		t.Errorf("the secret key is told:\n%s%s", r.stdout, r.stderr)
	}
	list := b.spawn(append(awsEnv(), "AWS_ENDPOINT_URL_EC2="+e.url, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_REGION=us-east-1"), "serve", "--listen", "127.0.0.1:0")
	list.stdout.await(" on http://")
	b.run("aws", "orphans").wants(t, exitOK, "Nothing in EC2 belongs to no build.")
}

// holds tells whether a text is in any file of the data directory.
func (b *bench) holds(text string) bool {
	found := false
	err := filepath.WalkDir(b.data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || bytes.Contains(data, []byte(text))
		return err
	})
	if err != nil {
		b.t.Error(err)
	}
	return found
}

// TestAmazonEBSKilled kills the daemon at every call that changes something, when the cloud has acted and nobody knows. The next
// one has the ledger alone, in which the template's secret is sealed, and leaves nothing but what was handed over.
func TestAmazonEBSKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts some forty daemons")
	}
	for n := 1; ; n++ {
		action := ""
		t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) { action = awsKilledAt(t, n, (*ec2).template) })
		if t.Failed() {
			return
		}
		if action == "" {
			if n < 10 {
				t.Errorf("a build changes something %d times: the test does not see it all", n-1)
			}
			return
		}
	}
}

// awsKilledAt kills a build at its n-th call and returns what it was, or nothing if the build came to its end before.
func awsKilledAt(t *testing.T, n int, template func(*ec2, *bench) string) string {
	t.Helper()
	b, e := newBench(t), newEC2(t)
	e.mu.Lock()
	p := b.spawn(awsEnv(), "build", "-color=false", template(e, b))
	e.killAt, e.kill = n, func() { _ = p.Process.Kill() }
	e.mu.Unlock()
	r := p.wait()
	e.mu.Lock()
	calls := slices.Clone(e.calls)
	e.killAt = 0
	e.mu.Unlock()
	if r.code == exitOK {
		return ""
	}
	if len(calls) < n {
		t.Fatalf("the build failed by itself after %v:\n%s%s", calls, r.stdout, r.stderr)
	}
	action := calls[n-1]
	if b.holds(awsKey) {
		t.Errorf("killed at %s: the secret key is in the data directory", action)
	}
	d := b.spawn(awsEnv(), "serve", "--listen", "127.0.0.1:0")
	d.stdout.await(" on http://") // by then it has cleaned up
	n2 := e.Count()
	if slices.Contains(calls, "TerminateInstances") { // the images were handed over
		delete(n2, "images")
		delete(n2, "snapshots")
	}
	if len(n2) > 0 {
		t.Errorf("killed at call %d, %s: left is %v after %v\n%s", n, action, n2, e.calls, d.stderr.text())
	}
	b.nothingHeld()
	return action
}
