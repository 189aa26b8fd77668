package api_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/upload"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
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
