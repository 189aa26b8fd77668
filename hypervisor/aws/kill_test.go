package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
)

// victimVariable holds what a process that is killed has to do.
const victimVariable = "BOXKILN_TEST_AWS_VICTIM"

// imageRow is a file that stands for the ledger's row of the image: it is there before the image is begun.
const imageRow = "image-row"

// victim is a process that makes a machine and its image.
type victim struct {
	Spec     hypervisor.Spec
	Endpoint string
}

// access is that of the victim, and of whoever comes after it.
func (v victim) access() account.Access {
	return account.Access{Region: region, Endpoint: v.Endpoint, SkipMetadata: true, MaxPause: time.Millisecond,
		Polling: account.Polling{Delay: time.Millisecond, Grace: 500 * time.Millisecond}, Keys: account.NewKeys("id", "secret", "", "")}
}

// flow is what a build does with the driver.
func (v victim) flow(ctx context.Context) error {
	spec := v.Spec
	spec.Options = v.options()
	m, err := New(Options{Install: install}).Create(ctx, spec)
	if err != nil {
		return err
	}
	if err := m.Start(ctx); err != nil {
		return err
	}
	if _, err := m.Guest(ctx, 22); err != nil {
		return err
	}
	if err := errors.Join(m.Shutdown(ctx), m.Wait(ctx)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(v.Spec.Dir, imageRow), nil, 0o600); err != nil {
		return err
	}
	_, err = m.Export(ctx, "", hypervisor.ExportOptions{})
	return err
}

// options are those of the spec, with who asks in them: a spec that was planned has no pauses as short as these.
func (v victim) options() json.RawMessage {
	var set settings
	err := json.Unmarshal(v.Spec.Options, &set)
	if err == nil {
		set.URI, err = formatPlace(v.access(), set.Image.Regions)
	}
	data, again := json.Marshal(set)
	if err != nil || again != nil {
		panic(errors.Join(err, again)) // they were made by us
	}
	return data
}

// TestVictim is the process that TestKilled kills.
func TestVictim(t *testing.T) {
	text := os.Getenv(victimVariable)
	if text == "" {
		t.Skip("it is started by TestKilled")
	}
	var v victim
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	if err := v.flow(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// trap passes calls on to a cloud, until the one at which a process is to be killed: before the cloud sees it, or when the cloud
// has done it and nobody was told.
type trap struct {
	cloud http.Handler
	at    int
	after bool

	mu     sync.Mutex
	calls  int
	action string
	kill   func()
}

func (k *trap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	k.calls++
	mine := k.calls == k.at
	kill := k.kill
	k.mu.Unlock()
	if !mine {
		k.cloud.ServeHTTP(w, r)
		return
	}
	if k.after {
		k.cloud.ServeHTTP(httptest.NewRecorder(), r)
	}
	k.mu.Lock()
	k.action = r.FormValue("Action")
	k.mu.Unlock()
	kill()
	panic(http.ErrAbortHandler) // there is nobody to answer
}

// TestKilled kills a process at every call that it makes, before and after the cloud has acted. Whoever comes after it knows the
// handle alone, and finds and removes everything.
func TestKilled(t *testing.T) {
	t.Parallel()
	most := 200 // more than there are calls
	if testing.Short() {
		most = 20
	}
	for _, after := range []bool{false, true} {
		for n := 1; n <= most; n++ {
			action := killAt(t, n, after)
			if action == "" { // it came to its end
				if n < 25 {
					t.Errorf("the flow has %d calls: the test does not see them all", n-1)
				}
				break
			}
		}
	}
}

// killAt kills a process at its n-th call and returns what that was, or nothing if there are fewer.
func killAt(t *testing.T, n int, after bool) string {
	t.Helper()
	// By time, well within the driver's grace: whoever cleans up late on a busy host does not ask twice.
	r := newRigOf(t, cloud.Config{HiddenFor: 100 * time.Millisecond})
	k := &trap{cloud: r.cloud, at: n, after: after}
	s := httptest.NewServer(k)
	defer s.Close()
	spec := r.spec(t, map[string]any{"ami_regions": []string{"eu-west-1"}, "tags": map[string]string{"a": "b"}})
	spec.Name, spec.Tag.Build = fmt.Sprintf("killed-%d", n), fmt.Sprintf("killed-%d", n)
	v := victim{spec, s.URL}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.count=1")
	cmd.Env = append(os.Environ(), victimVariable+"="+string(text), "AWS_EC2_METADATA_DISABLED=true")
	var out strings.Builder
	cmd.Stdout = &out
	k.mu.Lock()
	k.kill = func() { _ = cmd.Process.Kill() }
	err = cmd.Start()
	k.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	k.mu.Lock()
	action := k.action
	k.mu.Unlock()
	if action == "" && err != nil {
		t.Fatalf("the flow failed by itself: %v\n%s", err, out.String())
	}
	v.Endpoint = r.access.Endpoint
	v.reap(t, fmt.Sprintf("call %d (%s), after it: %t", n, action, after))
	if left := r.left(); len(left) > 0 {
		t.Errorf("killed at call %d (%s), after it: %t: left is %v", n, action, after, left)
	}
	return action
}

// reap removes what a process left, as the daemon does by its ledger.
func (v victim) reap(t *testing.T, when string) {
	t.Helper()
	d := New(Options{Install: install})
	h := hypervisor.Handle{Driver: Name, Name: v.Spec.Name, Tag: v.Spec.Tag, Dir: v.Spec.Dir}
	set, err := decodeSettings(v.options())
	if err != nil {
		t.Fatal(err)
	}
	h.URI = set.URI
	if _, err := os.Stat(filepath.Join(v.Spec.Dir, imageRow)); err == nil {
		if err := d.RemoveImages(t.Context(), h); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	m, err := d.Open(t.Context(), h)
	switch {
	case errors.Is(err, hypervisor.ErrNotFound):
	case err != nil:
		t.Errorf("%s: %v", when, err)
	default:
		if err := m.Destroy(t.Context()); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
}
