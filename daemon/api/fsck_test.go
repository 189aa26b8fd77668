package api_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	boxstore "github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// ailing is a store whose check tells these steps and ends so.
type ailing struct {
	steps   []boxstore.FsckStep
	err     error
	options *boxstore.FsckOptions
	block   chan struct{} // closed when the check begins to wait for its context's end
}

func (a ailing) Fsck(ctx context.Context, o boxstore.FsckOptions, tell func(boxstore.FsckStep) error) (boxstore.FsckReport, error) {
	*a.options = o
	for _, s := range a.steps {
		if err := tell(s); err != nil {
			return boxstore.FsckReport{}, err
		}
	}
	if a.block != nil {
		close(a.block)
		<-ctx.Done()
		return boxstore.FsckReport{}, context.Cause(ctx)
	}
	return boxstore.FsckReport{Blobs: 2, Bytes: 20, Counts: map[boxstore.FsckKind]int{boxstore.FsckDamaged: 1}}, a.err
}

func TestFsck(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	var got boxstore.FsckOptions
	finding := &boxstore.FsckFinding{Kind: boxstore.FsckDamaged, Digest: "abc", Size: 7, Files: []string{"ops/deb 1.0 libvirt/amd64"}, Quarantined: true}
	k.server.BoxStore = ailing{options: &got, steps: []boxstore.FsckStep{{Done: 5, Total: 20}, {Done: 10, Total: 20}, {Done: 12, Total: 20, Finding: finding}}}
	var events []wire.FsckEvent
	err := k.local(t).Fsck(t.Context(), wire.FsckRequest{Repair: true, Rate: 1000}, func(e wire.FsckEvent) error {
		events = append(events, e)
		return nil
	})
	if err != nil || got != (boxstore.FsckOptions{Repair: true, Rate: 1000}) {
		t.Fatal(err, got)
	}
	last := events[len(events)-1]
	if last.Report == nil || last.Report.Blobs != 2 || last.Report.Counts["damaged"] != 1 || last.Report.Healthy() || last.Done != 12 {
		t.Errorf("the last event: %+v", last)
	}
	found := events[len(events)-2].Finding
	if found == nil || found.Kind != "damaged" || !found.Quarantined || found.Files[0] != "ops/deb 1.0 libvirt/amd64" {
		t.Errorf("the finding: %+v", found)
	}
	if logs := k.logs.String(); !strings.Contains(logs, "not whole") || !strings.Contains(logs, "blob=abc") {
		t.Errorf("the log says nothing: %s", logs)
	}
}

func TestFsckErrors(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	ignore := func(wire.FsckEvent) error { return nil }
	var got boxstore.FsckOptions
	k.server.BoxStore = ailing{options: &got, err: boxstore.ErrFsckRuns}
	if err := k.local(t).Fsck(t.Context(), wire.FsckRequest{}, ignore); code(t, err) != wire.CodeConflict {
		t.Errorf("a second check: %v", err)
	}
	if err := k.local(t).Fsck(t.Context(), wire.FsckRequest{Rate: -1}, ignore); code(t, err) != wire.CodeBadRequest {
		t.Errorf("a negative rate: %v", err)
	}
	if err := k.remote(t, k.token(t, auth.Write)).Fsck(t.Context(), wire.FsckRequest{}, ignore); code(t, err) != wire.CodeForbidden {
		t.Errorf("with a write token: %v", err)
	}
	steps := []boxstore.FsckStep{{Done: 5, Total: 20}}
	k.server.BoxStore = ailing{options: &got, steps: steps, err: errors.New("the bucket is gone")}
	if err := k.local(t).Fsck(t.Context(), wire.FsckRequest{}, ignore); err == nil || !strings.Contains(err.Error(), "the bucket is gone") {
		t.Errorf("a check that breaks: %v", err)
	}
	enough := errors.New("enough")
	waits := make(chan struct{})
	k.server.BoxStore = ailing{options: &got, steps: steps, block: waits}
	err := k.local(t).Fsck(t.Context(), wire.FsckRequest{}, func(wire.FsckEvent) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("a reader who has enough: %v", err)
	}
	<-waits // and the check ends with the test's connections
}
