package api_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/upload"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/netx/netxtest"
)

// fullDisk has no room for anything.
type fullDisk struct{}

func (fullDisk) Open(context.Context, boxregistry.Publication) (upload.Session, error) {
	return upload.Session{ID: "1", Size: 10}, nil
}

func (fullDisk) Session(context.Context, string) (upload.Session, error) {
	return upload.Session{ID: "1", Size: 10}, nil
}

func (fullDisk) Append(_ context.Context, _ string, _, _ int64, _ io.Reader) (upload.Session, error) {
	return upload.Session{}, blob.ErrNoSpace
}

func (fullDisk) Finish(context.Context, string) (boxregistry.File, error) {
	return boxregistry.File{}, blob.ErrNoSpace
}

func (fullDisk) Abandon(context.Context, string) error { return nil }

func TestFullDiskIs507(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.server.Uploads = fullDisk{}
	token := k.token(t, auth.Write)
	for method, path := range map[string]string{http.MethodPatch: "/v1/uploads/1", http.MethodPost: "/v1/uploads/1/finish"} {
		if res, body := k.do(t, method, path, token, "0123456789", http.Header{wire.OffsetHeader: {"0"}}); res.StatusCode != http.StatusInsufficientStorage {
			t.Errorf("%s %s: %d %s", method, path, res.StatusCode, body)
		}
	}
	data := box(t, 1, 10)
	_, _, err := k.remote(t, token).Upload(t.Context(), announce("ops/deb", "1.0", data), bytes.NewReader(data), client.UploadOptions{})
	if code(t, err) != wire.CodeDiskFull {
		t.Errorf("the client hears %v", err)
	}
}

// FuzzUploads: whatever is announced and sent where, nobody gets a 500, and nothing is published but a good box.
func FuzzUploads(f *testing.F) {
	good := box(f, 1, 100)
	f.Add("ops/deb", "1.0", "parallels", "amd64", int64(len(good)), "0", good)
	f.Add("ops/deb", "v1", "Lib Virt", "x86_64", int64(-1), "-1", []byte("no box"))
	f.Add("a/b/c", "", "", "", int64(1)<<62, "99999999999999999999", []byte{0x1f, 0x8b, 8})
	k := newKiln(f)
	token := k.token(f, auth.Write)
	f.Fuzz(func(t *testing.T, name, version, provider, arch string, size int64, offset string, body []byte) {
		req := announce(name, version, body)
		req.Provider, req.Architecture, req.Size = provider, arch, size
		res, text := k.do(t, http.MethodPost, "/v1/uploads", token, toJSON(t, req), nil)
		if res.StatusCode >= http.StatusInternalServerError && res.StatusCode != http.StatusInsufficientStorage {
			t.Fatalf("announced %+v: %d %s", req, res.StatusCode, text)
		}
		if res.StatusCode >= http.StatusMultipleChoices {
			return
		}
		var up wire.Upload
		fromJSON(t, text, &up)
		if up.Done {
			return
		}
		if _, err := strconv.ParseUint(offset, 10, 64); err != nil {
			offset = "0"
		}
		for method, path := range map[string]string{http.MethodPut: "", http.MethodPost: "/finish", http.MethodDelete: ""} {
			res, text := k.do(t, method, "/v1/uploads/"+up.ID+path, token, string(body), http.Header{wire.OffsetHeader: {offset}})
			if res.StatusCode >= http.StatusInternalServerError && res.StatusCode != http.StatusInsufficientStorage {
				t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, text)
			}
		}
	})
}

// TestUploadThatStalls: what came before the sender fell silent counts, and others may go on.
func TestUploadThatStalls(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	token, data := k.token(t, auth.Write), box(t, 1, 100_000)
	var up wire.Upload
	_, text := k.do(t, http.MethodPost, "/v1/uploads", token, toJSON(t, announce("ops/deb", "1.0", data)), nil)
	fromJSON(t, text, &up)
	hasty := httptest.NewServer(netxtest.Hasty(k.tcp.Config.Handler))
	t.Cleanup(hasty.Close)
	header := http.Header{"Authorization": {"Bearer " + token}, wire.OffsetHeader: {"0"}}
	if status, text := netxtest.Stall(t, http.MethodPatch, hasty.URL+"/v1/uploads/"+up.ID, string(data[:50_000]), header); status != http.StatusRequestTimeout {
		t.Errorf("%d %s", status, text)
	}
	_, text = k.do(t, http.MethodGet, "/v1/uploads/"+up.ID, token, "", nil)
	if fromJSON(t, text, &up); up.Offset != 50_000 {
		t.Errorf("%s", text)
	}
	if status, text := netxtest.Stall(t, http.MethodPut, hasty.URL+"/v1/inputs/sha256/"+strings.Repeat("0", 64), "half", header); status != http.StatusBadRequest || !strings.Contains(text, "silent") {
		t.Errorf("an input: %d %s", status, text)
	}
}
