package imports

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var admin = auth.Principal{Name: "admin", Scope: auth.Admin}

// bench is a manager over a real registry, and a server with one box whose file waits for a word.
type bench struct {
	*Manager
	registry *store.Registry
	there    *httptest.Server
	goOn     chan struct{}
	asked    chan struct{}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db := must(sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "db")))
	t.Cleanup(func() { _ = db.Close() })
	b := &bench{registry: must(store.New(t.Context(), db, &mem.Store{}, nil)), goOn: make(chan struct{}), asked: make(chan struct{}, 100)}
	var box bytes.Buffer
	must(boxfile.Write(t.Context(), &box, boxfile.Contents{Metadata: boxfile.Metadata{Provider: "qemu", Architecture: "amd64"}}, boxfile.Options{}))
	b.there = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/org/box" {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(upstream.Catalog{Name: "org/box", Versions: []upstream.CatalogVersion{
				{Version: "1", Providers: []upstream.CatalogProvider{{Name: "qemu", URL: b.there.URL + "/file", Architecture: "amd64"}}}, {Version: "bad_one"}}})
			return
		}
		b.asked <- struct{}{}
		select {
		case <-b.goOn:
			_, _ = w.Write(box.Bytes())
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(b.there.Close)
	f := &upstream.Fetcher{Dir: t.TempDir()}
	b.Manager = New(Config{Target: b.registry, Fetcher: f, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		b.Close()
		f.Close()
	})
	return b
}

func (b *bench) start(t *testing.T, who auth.Principal, change ...func(*wire.ImportRequest)) wire.Import {
	t.Helper()
	req := wire.ImportRequest{From: b.there.URL + "/org/box"}
	for _, c := range change {
		c(&req)
	}
	return must(b.Start(t.Context(), who, req))
}

// follow reads an import to its end: "kind what", and the last place.
func (b *bench) follow(t *testing.T, id string, place int64) (events []string, last int64) {
	t.Helper()
	err := b.Follow(t.Context(), id, place, func(next int64, e upstream.Event) error {
		last = next
		if e.Kind != upstream.EventProgress {
			events = append(events, strings.TrimSpace(string(e.Kind)+" "+e.What))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, last
}

func TestAnImportGoesOnWithoutItsClient(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, leave := context.WithCancel(t.Context())
	i := must(b.Start(ctx, admin, wire.ImportRequest{From: b.there.URL + "/org/box"}))
	leave()
	<-b.asked
	gone := errors.New("the reader left")
	if err := b.Follow(t.Context(), i.ID, 0, func(int64, upstream.Event) error { return gone }); !errors.Is(err, gone) {
		t.Error(err)
	}
	close(b.goOn)
	all, last := b.follow(t, i.ID, 0)
	want := "plan org/box 1,skipped org/box bad_one,imported org/box 1 qemu/amd64,released org/box 1,summary"
	if got := strings.Join(all, ","); got != want || last != 5 {
		t.Errorf("%s at %d, want %s", got, last, want)
	}
	imported := must(b.registry.Box(t.Context(), must(boxregistry.ParseName("org/box")))).Releases[0].Files[0]
	if known, err := b.registry.Contents(t.Context(), imported.Digest); err != nil || known.Metadata.Provider != "qemu" || len(known.Files) != 1 {
		t.Errorf("of what was imported it is known: %+v, %v", known, err)
	}
	if rest, _ := b.follow(t, i.ID, 3); len(rest) != 2 {
		t.Errorf("from place 3 on: %v", rest)
	}
	if ended := must(b.Get(t.Context(), i.ID)); ended.State != wire.ImportDone || ended.Summary.Files != 1 || len(ended.Summary.Skipped) != 1 || ended.Finished.IsZero() {
		t.Errorf("%+v", ended)
	}
	if list := must(b.List(t.Context())); len(list) != 1 || list[0].ID != i.ID {
		t.Errorf("%+v", list)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.start(t, admin)
	<-b.asked
	if err := b.Cancel(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	b.follow(t, i.ID, 0)
	if ended := must(b.Get(t.Context(), i.ID)); ended.State != wire.ImportCanceled {
		t.Errorf("%+v", ended)
	}
	var refused *wire.Error
	for _, err := range []error{b.Cancel(t.Context(), "none"), b.Follow(t.Context(), "none", 0, nil)} {
		if !errors.As(err, &refused) || refused.Code != wire.CodeNotFound {
			t.Error(err)
		}
	}
}

func TestCloseEndsImports(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.start(t, admin)
	<-b.asked
	b.Close()
	if ended := must(b.Get(t.Context(), i.ID)); ended.State != wire.ImportFailed || !strings.Contains(ended.Error, "stopping") {
		t.Errorf("%+v", ended)
	}
	var refused *wire.Error
	if _, err := b.Start(t.Context(), admin, wire.ImportRequest{From: b.there.URL}); !errors.As(err, &refused) || refused.Code != wire.CodeStopping {
		t.Error(err)
	}
}

func TestRetireWaitsForImports(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.start(t, admin)
	<-b.asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Retire(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	retired := make(chan error)
	go func() { retired <- b.Retire(t.Context()) }()
	close(b.goOn)
	if err := <-retired; err != nil || must(b.Get(t.Context(), i.ID)).State != wire.ImportDone {
		t.Error(err)
	}
	var refused *wire.Error
	if _, err := b.Start(t.Context(), admin, wire.ImportRequest{From: b.there.URL}); !errors.As(err, &refused) || refused.Code != wire.CodeStopping {
		t.Error(err)
	}
}

func TestWhoMayImportWhat(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	close(b.goOn)
	ops := auth.Principal{Name: "ci", Orgs: map[string]auth.Scope{"ops": auth.Write}}
	i := b.start(t, ops)
	b.follow(t, i.ID, 0)
	if ended := must(b.Get(t.Context(), i.ID)); ended.Summary.Files != 0 || !strings.Contains(fmt.Sprint(ended.Summary.Skipped), "may not write into the organisation org") {
		t.Errorf("%+v", ended.Summary)
	}
	if _, err := b.registry.Box(t.Context(), must(boxregistry.ParseName("org/box"))); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Error(err)
	}
	i = b.start(t, ops, func(r *wire.ImportRequest) { r.As = "ops" })
	b.follow(t, i.ID, 0)
	if ended := must(b.Get(t.Context(), i.ID)); len(ended.Summary.Released) != 1 {
		t.Errorf("%+v", ended.Summary)
	}
	for who, want := range map[string]bool{"group": false, "user": true} {
		_, err := b.Start(t.Context(), auth.Principal{Scope: auth.Admin, Local: true, SameUser: who == "user"}, wire.ImportRequest{From: t.TempDir()})
		if (err == nil) != want {
			t.Errorf("a path for %s: %v", who, err)
		}
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, req := range []wire.ImportRequest{
		{}, {From: "ftp://h/x"}, {From: b.there.URL, Version: "~~"}, {From: b.there.URL, Provider: "A B"}, {From: b.there.URL, Architecture: "/"},
		{From: b.there.URL, UnknownAs: "/"}, {From: b.there.URL, Channel: "/"}, {From: b.there.URL, Latest: -1},
	} {
		var refused *wire.Error
		if _, err := b.Start(t.Context(), admin, req); !errors.As(err, &refused) || refused.Code != wire.CodeBadRequest {
			t.Errorf("%+v: %v", req, err)
		}
	}
}

func TestTooManyAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range maxRunning {
		b.start(t, admin)
	}
	var refused *wire.Error
	if _, err := b.Start(t.Context(), admin, wire.ImportRequest{From: b.there.URL + "/org/box"}); !errors.As(err, &refused) || refused.Code != wire.CodeTooMany {
		t.Error(err)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.start(t, admin, func(r *wire.ImportRequest) { r.DryRun = true })
	b.follow(t, i.ID, 0)
	ended := must(b.Get(t.Context(), i.ID))
	if ended.Summary.Files != 1 || len(ended.Summary.Released) != 1 || len(b.asked) != 0 {
		t.Errorf("%+v", ended.Summary)
	}
	if _, err := b.registry.Box(t.Context(), must(boxregistry.ParseName("org/box"))); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Error(err)
	}
}
