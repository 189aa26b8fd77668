package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/api"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/layout"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// cupboard is a store of checkpoints in the data directory of a bench.
func (b *bench) cupboard() *checkpoint.Store {
	b.t.Helper()
	data, err := layout.Data(b.data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := data.Make(); err != nil {
		b.t.Fatal(err)
	}
	db, err := sqlitedb.Open(b.t.Context(), data.DB())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.t.Error(err)
		}
	})
	same := func(text []byte) ([]byte, error) { return text, nil }
	s, err := checkpoint.Open(b.t.Context(), db, data.Checkpoints(), checkpoint.Options{Seal: same, Open: same})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// freeze puts a checkpoint into a store, in use by its build.
func freeze(t *testing.T, s *checkpoint.Store, user build.ID, fingerprint string) checkpoint.Entry {
	t.Helper()
	d, err := s.Draft(t.Context(), user, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"memory", "disk"} {
		if err := os.WriteFile(filepath.Join(d.Dir, name), bytes.Repeat([]byte{1}, 5000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := d.Commit(t.Context(), checkpoint.Meta{
		Fingerprint: fingerprint, Kind: checkpoint.KindMemory, Stage: "provision[1] shell", Label: "qemu.debian", Template: "debian.pkr.hcl",
		Build: user, Took: 90 * time.Second, Reads: []build.Ingredient{{Name: "scripts/web.sh", Digest: strings.Repeat("7", 64)}},
		Machine: &hypervisor.Frozen{
			Memory: "memory", Disks: []hypervisor.FrozenDisk{{Name: "disk"}},
			Host: hypervisor.Host{Hypervisor: "QEMU 7.2.22", Machine: "pc-q35-7.2", Accelerator: "tcg", CPU: "qemu64"},
		},
	}, "key")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// answer serves the API of a store on the bench's socket, as a daemon that has nothing else would.
func (b *bench) answer(s *checkpoint.Store) {
	b.t.Helper()
	l, err := net.Listen("unix", filepath.Join(b.data, "daemon.sock"))
	if err != nil {
		b.t.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(api.Guard(nobody{}, nil))
	(&api.Server{Checkpoints: s, Log: slog.New(slog.DiscardHandler), Now: time.Now}).Mount(r)
	server := httptest.NewUnstartedServer(r)
	server.Listener.Close()
	server.Listener, server.Config.ConnContext = l, api.ConnContext
	server.Start()
	b.t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
}

// nobody knows no tokens: the socket is the only way in.
type nobody struct{}

func (nobody) CheckPassword(context.Context, string, string) (auth.Principal, error) {
	return auth.Principal{}, auth.ErrRefused
}

func (nobody) Check(context.Context, string) (auth.Principal, error) {
	return auth.Principal{}, http.ErrNoCookie
}

func TestCacheVerbs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.cupboard()
	one, two := freeze(t, s, "b1", "aaaa"+strings.Repeat("0", 60)), freeze(t, s, "b2", "bbbb"+strings.Repeat("0", 60))
	for _, daemon := range []string{"without a daemon", "with a daemon"} {
		r := b.run("cache", "ls")
		r.wants(t, exitOK, "ID", "FINGERPRINT", string(one.ID), "provision[1] shell", "qemu.debian", "memory", "KiB", "bbbb00000000")
		if strings.Contains(r.stdout, "bbbb000000000") {
			t.Errorf("%s: the table shows whole fingerprints:\n%s", daemon, r.stdout)
		}
		lines := strings.Split(strings.TrimSpace(b.run("cache", "ls", "--json").stdout), "\n")
		var first wire.Checkpoint
		if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 2 || first.ID != string(two.ID) || first.InUse != 1 {
			t.Errorf("%s: %v, %+v", daemon, err, first)
		}
		b.run("cache", "show", "aaaa").wants(t, exitOK, string(one.ID), "debian.pkr.hcl", "1m30s", "by build b1", "QEMU 7.2.22", "scripts/web.sh", "777777777777")
		b.run("cache", "show", "--json", string(two.ID)).wants(t, exitOK, `"template":"debian.pkr.hcl"`)
		b.run("cache", "show", "none").wants(t, exitFailed, `no such checkpoint: "none"`)
		if daemon == "without a daemon" {
			b.answer(s)
		}
	}
	b.removes(s, one, two)
}

// removes checks the verbs that change something; b1 and b2 use a checkpoint each.
func (b *bench) removes(s *checkpoint.Store, one, two checkpoint.Entry) {
	t := b.t
	b.run("cache", "rm", "aaaa").wants(t, exitFailed, "used by build b1")
	b.run("cache", "prune", "--all").wants(t, exitOK, "0 removed, 0 B freed")
	b.run("cache", "prune", "--budget", "lots").wants(t, exitFailed, `"lots" is not a size`)
	b.run("cache", "prune", "--older-than", "-1h").wants(t, exitFailed, "not negative")
	if err := s.Release(t.Context(), "b2"); err != nil {
		t.Fatal(err)
	}
	b.run("cache", "prune", "--older-than", "1h").wants(t, exitOK, "0 removed")
	b.run("cache", "prune", "--budget", "1K").wants(t, exitOK, string(two.ID)+"  provision[1] shell of qemu.debian", "1 removed", "KiB freed")
	b.run("cache", "prune", "--json").wants(t, exitOK, `{"removed":[],"freed":0}`)
	b.run("cache", "rm", "--force", "nothing", string(one.ID)).wants(t, exitFailed, `no such checkpoint: "nothing"`)
	b.run("cache", "ls").wants(t, exitOK, "layer")
	if err := s.Release(t.Context(), "b1"); err != nil {
		t.Fatal(err)
	}
	if r := b.run("cache", "ls", "--json"); r.stdout != "" {
		t.Errorf("left: %s", r.stdout)
	}
}

func TestSizeFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		bytes sizeFlag
		shown string
	}{
		"1": {1, "1 B"}, "1000": {1000, "1000 B"}, "1K": {1 << 10, "1.0 KiB"}, "512m": {512 << 20, "512.0 MiB"},
		"10 GiB": {10 << 30, "10.0 GiB"}, "1.5GB": {3 << 29, "1.5 GiB"}, "2T": {2 << 40, "2.0 TiB"},
	} {
		var s sizeFlag
		if err := s.Set(text); err != nil || s != want.bytes || s.String() != want.shown {
			t.Errorf("%q: %d %s %v", text, s, s, err)
		}
	}
	for _, text := range []string{"", "B", "K", "-1", "0", "0.5", "NaN", "Inf", "9E", "8E", "1X", "1e400"} {
		var s sizeFlag
		if err := s.Set(text); err == nil {
			t.Errorf("%q is %d", text, s)
		}
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 59 * time.Second: "59s", 90 * time.Second: "1m", 47 * time.Hour: "47h", 49 * time.Hour: "2d",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}
