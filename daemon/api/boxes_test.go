package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	blobfs "github.com/boxkiln/boxkiln/boxregistry/blob/fs"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	boxstore "github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/boxregistry/upload"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// openRegistry gives the API a real registry and a real receiver.
func (k *kiln) openRegistry(t testing.TB, dir string) {
	t.Helper()
	blobs, err := blobfs.Open(filepath.Join(dir, "blobs"), filepath.Join(dir, "staging"))
	if err != nil {
		t.Fatal(err)
	}
	registry, err := boxstore.New(t.Context(), k.db, blobs, nil)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := upload.New(upload.Config{Registry: registry, Rows: registry, Blobs: blobs, Dir: filepath.Join(dir, "uploads")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := receiver.Close(); err != nil {
			t.Error(err)
		}
	})
	k.server.Registry, k.server.Uploads = registry, receiver
}

// box is a box file with a disk of size bytes.
func box(t testing.TB, seed byte, size int) []byte {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk")
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	if err := os.WriteFile(disk, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, err := boxfile.Write(t.Context(), &b, boxfile.Contents{Metadata: boxfile.Metadata{Provider: "parallels", Architecture: "amd64"},
		Files: []boxfile.File{{Name: "disk", Path: disk}}}, boxfile.Options{Level: 1, Parallel: 1})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func announce(name, version string, data []byte) wire.UploadRequest {
	sum := sha256.Sum256(data)
	return wire.UploadRequest{Box: name, Version: version, Provider: "parallels", Architecture: "amd64", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

func publish(t *testing.T, c *client.Client, name, version string, data []byte) {
	t.Helper()
	f, done, err := c.Upload(t.Context(), announce(name, version, data), bytes.NewReader(data), client.UploadOptions{Chunk: 10_000})
	if err != nil || done || f.Size != int64(len(data)) {
		t.Fatalf("%+v, %v, %v", f, done, err)
	}
}

func TestLifeOfABox(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	c := k.remote(t, k.token(t, auth.Admin))
	ctx, data := t.Context(), box(t, 1, 50_000)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text, yes := "Debian", true
	must(c.CreateBox(ctx, "ops/deb", wire.BoxEdit{ShortDescription: &text, Private: &yes}))
	if err := c.CreateBox(ctx, "ops/deb", wire.BoxEdit{}); code(t, err) != wire.CodeConflict {
		t.Errorf("twice: %v", err)
	}
	for i := range 3 {
		v := fmt.Sprint("1.", i)
		publish(t, c, "ops/deb", v, box(t, byte(i), 1000))
		must(c.Release(ctx, "ops/deb", v))
	}
	publish(t, c, "ops/deb", "2.0", data)
	if _, done, err := c.Upload(ctx, announce("ops/deb", "2.0", data), bytes.NewReader(data), client.UploadOptions{}); !done || err != nil {
		t.Errorf("the same again: %v, %v", done, err)
	}
	must(c.Release(ctx, "ops/deb", "2.0", "candidate"))
	must(c.Promote(ctx, "ops/deb", "2.0", "stable"))
	must(c.Demote(ctx, "ops/deb", "2.0", "candidate"))
	if err := c.Demote(ctx, "ops/deb", "2.0", "stable"); code(t, err) != wire.CodeConflict {
		t.Errorf("out of the last channel: %v", err)
	}
	notes := "notes"
	must(c.EditVersion(ctx, "ops/deb", "1.0", wire.VersionEdit{Description: &notes, Pinned: &yes}))
	preview, err := c.PreviewRetention(ctx, "ops/deb", wire.Retention{KeepLast: 1})
	if err != nil || !slices.Equal(preview.Expired, []string{"1.2", "1.1"}) {
		t.Errorf("%+v, %v", preview, err)
	}
	must(c.SetRetention(ctx, "ops/deb", wire.Retention{KeepLast: 3, KeepNewer: 3600}))
	must(c.Revoke(ctx, "ops/deb", "1.2", "CVE"))
	must(c.DeleteBox(ctx, "ops/deb", "1.1"))
	got, err := c.Box(ctx, "ops/deb")
	must(err)
	v := got.Versions
	if !got.Private || got.Retention.KeepLast != 3 || got.Retention.KeepNewer != 3600 || len(v) != 4 || v[0].Version != "2.0" || v[0].Channels[0] != "stable" ||
		v[1].RevokedWhy != "CVE" || v[2].Deleted.IsZero() || !v[3].Pinned || v[3].Description != "notes" || v[0].Files[0].Size != int64(len(data)) {
		t.Errorf("%+v", got)
	}
	must(c.RestoreBox(ctx, "ops/deb", "1.1"))
	must(c.DeleteBox(ctx, "ops/deb", "1.1"))
	must(c.PurgeBox(ctx, "ops/deb", "1.1"))
	if err := c.RestoreBox(ctx, "ops/deb", "1.1"); code(t, err) != wire.CodeNotFound {
		t.Errorf("restored what is gone: %v", err)
	}
	must(c.DeleteBox(ctx, "ops/deb", ""))
	if trash, err := c.Trash(ctx); err != nil || len(trash.Boxes) != 1 {
		t.Errorf("%+v, %v", trash, err)
	}
	must(c.RestoreBox(ctx, "ops/deb", ""))
	name := "ops/debian"
	must(c.EditBox(ctx, "ops/deb", wire.BoxEdit{Name: &name}))
	list, err := c.Boxes(ctx, client.BoxQuery{Search: "debian", Limit: 5, Sort: "size"})
	if err != nil || list.Total != 1 || list.Boxes[0].Newest != "2.0" {
		t.Errorf("%+v, %v", list, err)
	}
	if who, err := c.Downloads(ctx, "ops/debian", "2.0"); err != nil || len(who) != 0 {
		t.Errorf("%+v, %v", who, err)
	}
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func fromJSON(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

func TestBoxErrors(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	c := k.remote(t, k.token(t, auth.Write))
	data := box(t, 1, 1000)
	publish(t, c, "ops/deb", "1.0", data)
	junk := bytes.Repeat([]byte("no box"), 1000)
	_, _, junkErr := c.Upload(t.Context(), announce("ops/deb", "2.0", junk), bytes.NewReader(junk), client.UploadOptions{})
	_, _, liarErr := c.Upload(t.Context(), announce("ops/deb", "2.0", data), bytes.NewReader(junk), client.UploadOptions{})
	bad := announce("ops/deb", "v1", data)
	bad.SHA256, bad.Size, bad.Provider = "x", 0, "Lib Virt"
	_, _, badErr := c.Upload(t.Context(), bad, nil, client.UploadOptions{})
	for what, got := range map[string]struct {
		err  error
		want wire.Code
	}{
		"no box":         {junkErr, wire.CodeBadBox},
		"other bytes":    {liarErr, wire.CodeBadBox},
		"bad names":      {badErr, wire.CodeBadRequest},
		"unknown box":    {c.Release(t.Context(), "ops/none", "1.0"), wire.CodeNotFound},
		"bad version":    {c.Release(t.Context(), "ops/deb", "v1"), wire.CodeBadRequest},
		"bad channel":    {c.Release(t.Context(), "ops/deb", "1.0", "Not One"), wire.CodeBadRequest},
		"revoke a draft": {c.Revoke(t.Context(), "ops/deb", "1.0", ""), wire.CodeConflict},
		"rules":          {c.SetRetention(t.Context(), "ops/deb", wire.Retention{KeepLast: -1}), wire.CodeBadRequest},
		"purge":          {c.PurgeBox(t.Context(), "ops/deb", ""), wire.CodeForbidden},
	} {
		if code(t, got.err) != got.want {
			t.Errorf("%s: %v, want %s", what, got.err, got.want)
		}
	}
	if !strings.Contains(fmt.Sprint(badErr), "v1") || !strings.Contains(fmt.Sprint(badErr), "Lib Virt") {
		t.Errorf("not all at once: %v", badErr)
	}
}

func TestChunksOverHTTP(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	token, data := k.token(t, auth.Write), string(box(t, 1, 1000))
	res, body := k.do(t, http.MethodPost, "/v1/uploads", token, toJSON(t, announce("ops/deb", "1.0", []byte(data))), nil)
	var up wire.Upload
	fromJSON(t, body, &up)
	if res.StatusCode != http.StatusCreated || up.ID == "" {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	at := func(offset string) http.Header { return http.Header{wire.OffsetHeader: {offset}} }
	path := "/v1/uploads/" + up.ID
	for _, c := range []struct {
		offset, chunk string
		status        int
		next          string
	}{
		{"5", data[5:10], http.StatusConflict, "0"},
		{"x", data, http.StatusBadRequest, ""},
		{"0", data[:100], http.StatusOK, "100"},
		{"0", data[:100], http.StatusOK, "100"},
		{"50", data[50:150], http.StatusOK, "150"},
		{"150", data[150:] + "more", http.StatusRequestEntityTooLarge, ""},
	} {
		res, body := k.do(t, http.MethodPut, path, token, c.chunk, at(c.offset))
		if res.StatusCode != c.status || res.Header.Get(wire.OffsetHeader) != c.next {
			t.Errorf("chunk at %s: %d, next %s: %s", c.offset, res.StatusCode, res.Header.Get(wire.OffsetHeader), body)
		}
	}
	if res, _ := k.do(t, http.MethodPost, path+"/finish", token, "", nil); res.StatusCode != http.StatusConflict {
		t.Errorf("finished early: %d", res.StatusCode)
	}
	if res, _ := k.do(t, http.MethodDelete, path, token, "", nil); res.StatusCode != http.StatusNoContent {
		t.Errorf("abandoned: %d", res.StatusCode)
	}
}

// TestFiftyPublishers: of fifty clients that publish other bytes as the same version, one wins and the others are told so.
func TestFiftyPublishers(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	token := k.token(t, auth.Write)
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 50 {
		data := box(t, byte(i), 2000)
		c := k.remote(t, token)
		all.Go(func() {
			_, _, err := c.Upload(t.Context(), announce("ops/deb", "1.0", data), bytes.NewReader(data), client.UploadOptions{Chunk: 700, Pause: time.Millisecond})
			var refused *wire.Error
			switch {
			case err == nil:
				won.Add(1)
			case !errors.As(err, &refused) || refused.Code != wire.CodeConflict && refused.Code != wire.CodeBusy:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || strings.Contains(k.logs.String(), "level=ERROR") {
		t.Errorf("%d have won; log: %s", won.Load(), k.logs.String())
	}
}

// cutting is a connection that breaks every so often.
type cutting struct {
	inner http.RoundTripper
	n     atomic.Int32
}

func (c *cutting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPatch && c.n.Add(1)%2 == 1 {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(r.Body, 5000), failing{}), r.Body}
	}
	return c.inner.RoundTrip(r)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestUploadThroughABadConnection(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	c := k.remote(t, k.token(t, auth.Write))
	c.Wrap(func(inner http.RoundTripper) http.RoundTripper { return &cutting{inner: inner} })
	data := box(t, 1, 100_000)
	var last int64
	_, _, err := c.Upload(t.Context(), announce("ops/deb", "1.0", data), bytes.NewReader(data),
		client.UploadOptions{Chunk: 20_000, Pause: time.Millisecond, Progress: func(done, _ int64) { last = done }})
	if err != nil || last != int64(len(data)) {
		t.Errorf("%v after %d bytes", err, last)
	}
}
