package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
)

// Choices of a build that failed, as the user reads them.
const (
	retryIt  = "retry step (build may fail even if retry succeeds)"
	removeIt = "remove the machine"
)

var errSeen = errors.New("seen")

// question waits until a build asks something.
func (b *bench) question(c *client.Client, id build.ID) build.Event {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	var asked build.Event
	err := c.Events(ctx, id, func(e build.Event) error {
		if e.Kind == build.EventQuestion {
			asked = e
			return errSeen
		}
		return nil
	})
	if !errors.Is(err, errSeen) {
		b.t.Fatalf("build %s asks nothing: %v", id, err)
	}
	return asked
}

// ended waits for the end of a build and returns its log as text.
func (b *bench) ended(c *client.Client, id build.ID) (last build.State, log string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	var text strings.Builder
	err := c.Events(ctx, id, func(e build.Event) error {
		text.WriteString(e.Text + "\n")
		if e.Kind == build.EventState {
			last = e.State
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return last, text.String()
}

// TestRetryOfAStep: the machine is put back to where it was before the step that failed.
func TestRetryOfAStep(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mended := b.path("mended")
	flaky := b.write("web.sh", "#!/bin/sh\nif [ -e \"$HOME/tried\" ]; then echo the marker is still there; fi\n"+
		"touch \"$HOME/tried\"\ncat \"$HOME/base\"\n[ -e "+mended+" ] || exit 3\n")
	base := b.write("base.sh", "#!/bin/sh\necho base runs; echo from the base > \"$HOME/base\"\n")
	d := b.serve()
	c := b.client()
	id := b.submit(c, b.scripted(nil, base, flaky), func(p *build.Plan) { p.Options.OnError = build.OnErrorAsk })
	asked := b.question(c, id)
	if diff := cmp.Diff([]string{"clean up and exit", "abort without cleanup", retryIt}, asked.Choices); diff != "" || asked.Step != "provision[2] shell" {
		t.Errorf("%+v: %s", asked, diff)
	}
	b.write("mended", "")
	if err := c.Answer(t.Context(), id, retryIt); err != nil {
		t.Fatal(err)
	}
	state, log := b.ended(c, id)
	if state != build.Succeeded || strings.Contains(log, "marker is still there") || strings.Count(log, "from the base") != 2 ||
		strings.Count(log, "base runs") != 1 || strings.Count(log, "Thawing the machine") != 1 {
		t.Errorf("%s:\n%s", state, log)
	}
	d.stop()
	b.nothingHeld()
	b.run("build", "-force", b.path("solo.pkr.hcl")).wants(t, exitOK, "Nothing changed")
}

// TestRetryWithoutACheckpoint: the step is tried again on the machine as it is.
func TestRetryWithoutACheckpoint(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	flaky := b.write("web.sh", "#!/bin/sh\n[ -e \"$HOME/tried\" ] && exit 0\ntouch \"$HOME/tried\"\nexit 3\n")
	d := b.serve()
	c := b.client()
	id := b.submit(c, b.scripted(nil, flaky), func(p *build.Plan) {
		p.Options.OnError, p.Options.NoCache = build.OnErrorAsk, []string{"*"}
	})
	b.question(c, id)
	if err := c.Answer(t.Context(), id, retryIt); err != nil {
		t.Fatal(err)
	}
	if state, log := b.ended(c, id); state != build.Succeeded || !strings.Contains(log, "there is no checkpoint before this step") {
		t.Errorf("%s:\n%s", state, log)
	}
	d.stop()
	b.nothingHeld()
}

// TestAskWithoutATerminal takes the first choice at once.
func TestAskWithoutATerminal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("build", "-on-error=ask", b.twoScripts(nil, "ends; exit 3")).wants(t, exitFailed, "status 3")
	b.nothingHeld()
}

// TestKeep: the machine of a failed build stays until somebody lets it go, and the user is told how to get in.
func TestKeep(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *bench, c *running, id string){
		"answer": func(b *bench, _ *running, id string) {
			if err := b.client().Answer(b.t.Context(), build.ID(id), removeIt); err != nil {
				b.t.Error(err)
			}
		},
		"cancel":    func(b *bench, _ *running, id string) { b.run("builds", "cancel", id).wants(b.t, exitOK) },
		"interrupt": func(_ *bench, c *running, _ string) { c.cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			d := b.serve()
			c := b.start("build", "-color=false", "--keep", b.twoScripts(nil, "ends; exit 3"))
			c.stderr.await("The machine of the failed build is kept (--keep)")
			id := string(b.builds()[0].ID)
			for _, how := range []string{"`boxkiln ssh " + id + "`", "`boxkiln builds cancel " + id + "`"} {
				c.stderr.await(how)
			}
			if asked := b.question(b.client(), build.ID(id)); !asked.Hold {
				t.Errorf("%+v, want a question that waits", asked)
			}
			if names := b.machines(); len(names) != 1 {
				t.Errorf("%v, want the machine of the failed build", names)
			}
			end(b, c, id)
			c.wait().wants(t, exitFailed, "status 3")
			d.stop()
			b.nothingHeld()
		})
	}
}

// TestKeepOfAKilledDaemon: what was kept goes when nobody can let it go any more.
func TestKeepOfAKilledDaemon(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.spawn(nil, "build", "--keep", b.twoScripts(nil, "ends; exit 3"))
	p.stderr.await("is kept (--keep)")
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait()
	b.sound()
}

// TestBreakpoint: the question says how to get in.
func TestBreakpoint(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	c := b.client()
	id := b.submit(c, b.solo(nil, "  provisioner \"breakpoint\" {\n    note = \"look around\"\n  }\n"+inline("echo goes on")), nil)
	asked := b.question(c, id)
	for _, want := range []string{"look around: ", "The guest answers at 127.0.0.1:", `for user "root"`, "`boxkiln ssh " + string(id) + "`"} {
		if !strings.Contains(asked.Text, want) {
			t.Errorf("%q does not say %q", asked.Text, want)
		}
	}
	if err := c.Answer(t.Context(), id, asked.Choices[0]); err != nil {
		t.Fatal(err)
	}
	if state, log := b.ended(c, id); state != build.Succeeded || !strings.Contains(log, "goes on") {
		t.Errorf("%s:\n%s", state, log)
	}
	d.stop()
	b.nothingHeld()
}
