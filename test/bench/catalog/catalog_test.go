package catalog

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	blobfs "github.com/boxkiln/boxkiln/boxregistry/blob/fs"
	"github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/internal/layout"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// BenchmarkCatalog runs the program itself over a data directory of its own:
//
//	go test ./test/bench/catalog -run '^$' -bench Catalog -benchtime 1x
func BenchmarkCatalog(b *testing.B) {
	dir := b.TempDir()
	fill(b, filepath.Join(dir, "data"))
	url, pid := serve(b, dir)
	for b.Loop() {
		r, err := Measure(b.Context(), Load{URL: url, Connections: 64, WarmUp: 2 * time.Second, Time: 8 * time.Second})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(r.Rate, "requests/s")
		b.ReportMetric(float64(r.P99.Microseconds())/1000, "p99-ms")
		fmt.Println(r)
	}
	b.ReportMetric(peakMiB(b, pid), "peak-MiB")
}

// peakMiB is the largest resident memory of a process.
func peakMiB(b *testing.B, pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatalf("the system does not tell VmHWM: %v", err)
	}
	return kib / 1024
}

func fill(b *testing.B, dir string) {
	data, err := layout.Data(dir)
	if err == nil {
		err = data.Make()
	}
	if err != nil {
		b.Fatal(err)
	}
	db, err := sqlitedb.Open(b.Context(), data.DB())
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	blobs, err := blobfs.Open(data.Blobs(), data.Staging())
	if err != nil {
		b.Fatal(err)
	}
	registry, err := store.New(b.Context(), db, blobs, nil)
	if err != nil {
		b.Fatal(err)
	}
	info, err := blob.Copy(b.Context(), blobs, strings.NewReader("a box"), "")
	if err != nil {
		b.Fatal(err)
	}
	if err := Fill(b.Context(), registry, boxregistry.File{Digest: info.Digest, Size: info.Size}); err != nil {
		b.Fatal(err)
	}
}

// serve starts the program and returns its address and its process.
func serve(b *testing.B, dir string) (url string, pid int) {
	program := filepath.Join(dir, "boxkiln")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "../../../cmd/boxkiln").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "serve", "--data", filepath.Join(dir, "data"), "--listen", address)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
	})
	// It says that it serves once it does.
	if _, err := out.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	return "http://" + address, cmd.Process.Pid
}
