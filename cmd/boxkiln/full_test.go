package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDiskFull downloads a medium that is larger than the file system of the data directory, with and without being told
// its size first.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	const size = 80 << 20
	for _, told := range []bool{true, false} {
		t.Run(map[bool]string{true: "size is known", false: "size is not known"}[told], func(t *testing.T) {
			t.Parallel()
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if told {
					w.Header().Set("Content-Length", strconv.Itoa(size))
				}
				if r.Method == http.MethodGet {
					_, _ = io.CopyN(w, zeros{}, size) // the client goes away in the middle
				}
			}))
			t.Cleanup(site.Close)
			b := newBench(t)
			b.smallDisk("size=64m")
			b.run("build", b.solo(nil, "")).wants(t, exitFailed, "free some space or raise serve --disk-budget")
			d := b.serve("--disk-budget=100")
			r := b.run("build", "-color=false", b.solo(map[string]string{"iso_url": literal(site.URL + "/large.iso")}, ""))
			r.wants(t, exitFailed, "disk full", b.data, "iso_target_path")
			b.refusedState("errored")
			b.run("build", b.solo(nil, "")).wants(t, exitOK) // there is room again
			d.stop()
			b.nothingLeft()
		})
	}
}

// refusedState checks the state of the last build and that it had no machine.
func (b *bench) refusedState(want string) {
	b.t.Helper()
	last := b.builds()[0]
	if string(last.State) != want || last.Step != "fetch-media" {
		b.t.Errorf("the build is %s in step %s, want %s in fetch-media", last.State, last.Step, want)
	}
}

// smallDisk makes the data directory a file system of its own.
func (b *bench) smallDisk(options string) {
	b.t.Helper()
	if err := os.Mkdir(b.data, 0o755); err != nil {
		b.t.Fatal(err)
	}
	err := unix.Mount("tmpfs", b.data, "tmpfs", 0, options)
	if errors.Is(err, unix.EPERM) {
		b.t.Skip("a small file system can only be mounted by root")
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		// At once even while a process that another test starts holds a file of ours between fork and exec.
		if err := unix.Unmount(filepath.Clean(b.data), unix.MNT_DETACH); err != nil {
			b.t.Error(err)
		}
	})
}

// zeros is a stream without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
