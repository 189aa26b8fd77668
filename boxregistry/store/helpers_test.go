package store

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// bundle is one registry with a clock that goes on by a second at each look.
type bundle struct {
	*Registry
	t     *testing.T
	blobs *mem.Store
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "boxkiln.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	blobs := &mem.Store{}
	r, err := New(t.Context(), db, blobs, nil)
	if err != nil {
		t.Fatal(err)
	}
	clock := make(chan time.Time, 1)
	clock <- time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	r.now = func() time.Time {
		now := (<-clock).Add(time.Second)
		clock <- now
		return now
	}
	return &bundle{Registry: r, t: t, blobs: blobs}
}

func name(s string) boxregistry.Name {
	n, err := boxregistry.ParseName(s)
	if err != nil {
		panic(err)
	}
	return n
}

func version(s string) boxregistry.Version {
	v, err := boxregistry.ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

func requirement(s string) boxregistry.Requirement {
	r, err := boxregistry.ParseRequirement(s)
	if err != nil {
		panic(err)
	}
	return r
}

// pub writes "ops/deb 1.2.0 libvirt/amd64" as a publication.
func pub(s string) boxregistry.Publication {
	var box, v, file string
	if _, err := fmt.Sscan(s, &box, &v, &file); err != nil {
		panic(err)
	}
	p, a, _ := strings.Cut(file, "/")
	return boxregistry.Publication{Box: name(box), Version: version(v),
		File: boxregistry.File{Provider: boxregistry.Provider(p), Architecture: boxregistry.Architecture(a)}}
}

// add publishes content and returns its digest.
func (b *bundle) add(s, content string) blob.Digest {
	b.t.Helper()
	f, err := b.Add(b.t.Context(), pub(s), strings.NewReader(content))
	if err != nil {
		b.t.Fatal(err)
	}
	return f.Digest
}

func (b *bundle) released(s, content string) blob.Digest {
	b.t.Helper()
	d := b.add(s, content)
	p := pub(s)
	if err := b.Release(b.t.Context(), p.Box, p.Version); err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bundle) box(s string) boxregistry.Box {
	b.t.Helper()
	box, err := b.Box(context.WithoutCancel(b.t.Context()), name(s))
	if err != nil {
		b.t.Fatal(err)
	}
	return box
}

// upload stores content and returns a publication of it that nobody published yet.
func (b *bundle) upload(s, content string) boxregistry.Publication {
	b.t.Helper()
	info, err := blob.Copy(b.t.Context(), b.blobs, strings.NewReader(content), "")
	if err != nil {
		b.t.Fatal(err)
	}
	p := pub(s)
	p.File.Digest, p.File.Size = info.Digest, info.Size
	return p
}
