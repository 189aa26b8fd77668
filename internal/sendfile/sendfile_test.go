package sendfile

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data) // never fails
	return data
}

func open(t *testing.T, data []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// pipe is a connection of a Listener and its client.
func pipe(t *testing.T) (server net.Conn, client net.Conn) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listener(inner)
	defer l.Close()
	if client, err = net.Dial("tcp", inner.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server, client
}

func TestReadFrom(t *testing.T) {
	t.Parallel()
	data := noise(3*chunk + 17)
	for name, c := range map[string]struct {
		source func(f *os.File) io.Reader
		want   []byte
	}{
		"file":            {func(f *os.File) io.Reader { return f }, data[5:]},
		"part of it":      {func(f *os.File) io.Reader { return io.LimitReader(f, chunk+1) }, data[5 : 5+chunk+1]},
		"more than it":    {func(f *os.File) io.Reader { return io.LimitReader(f, 1<<40) }, data[5:]},
		"nothing of it":   {func(f *os.File) io.Reader { return io.LimitReader(f, 0) }, nil},
		"memory":          {func(*os.File) io.Reader { return bytes.NewReader(data) }, data},
		"part of memory":  {func(*os.File) io.Reader { return io.LimitReader(bytes.NewReader(data), 9) }, data[:9]},
		"wrapped in both": {func(f *os.File) io.Reader { return io.LimitReader(io.LimitReader(f, 9), 7) }, data[5:12]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := pipe(t)
			f := open(t, data)
			if _, err := f.Seek(5, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			sent := make(chan int64)
			go func() {
				n, err := server.(io.ReaderFrom).ReadFrom(c.source(f))
				if err := errors.Join(err, server.Close()); err != nil {
					t.Error(err)
				}
				sent <- n
			}()
			got, err := io.ReadAll(client)
			if n := <-sent; err != nil || !bytes.Equal(got, c.want) || n != int64(len(c.want)) {
				t.Errorf("sent %d, received %d bytes, %v; want %d", n, len(got), err, len(c.want))
			}
		})
	}
}

// TestManyClients downloads over HTTP with more clients than turns, of whom one reads nothing.
func TestManyClients(t *testing.T) {
	t.Parallel()
	data := noise(2*chunk + 1)
	f := open(t, data)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mine, err := os.Open(f.Name())
		if err != nil {
			t.Error(err)
			return
		}
		defer mine.Close()
		http.ServeContent(w, r, "", time.Time{}, mine)
	}))
	inner := server.Listener
	l := Listener(inner).(listener)
	l.turns = make(turns, 1)
	server.Listener = l
	server.Start()
	defer server.Close()
	stalled, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	if _, err := io.WriteString(stalled, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			res, err := http.Get(server.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if got, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(got, data) {
				t.Errorf("received %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
}

func TestClientLeaves(t *testing.T) {
	t.Parallel()
	server, client := pipe(t)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.(io.ReaderFrom).ReadFrom(open(t, noise(8*chunk))); err == nil {
		t.Error("sent everything to nobody")
	}
	if n := len(server.(conn).turns); n != 0 {
		t.Errorf("%d turns are held", n)
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	server, _ := pipe(t) // whose client reads nothing
	if err := server.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.(io.ReaderFrom).ReadFrom(open(t, noise(32*chunk))); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline that is exceeded", err)
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := make(turns, 2)
		first, second := all.take(), all.take()
		began := time.Now()
		all.take()() // nobody gives one back
		if took := time.Since(began); took != patience || len(all) != 2 {
			t.Errorf("waited %v, %d are held", took, len(all))
		}
		go first()
		third := all.take()
		if took := time.Since(began); took != patience {
			t.Errorf("waited until %v for a turn that was given back", took)
		}
		second()
		third()
		if len(all) != 0 {
			t.Errorf("%d are held", len(all))
		}
	})
}

func TestOthersArePassedOn(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	l := Listener(inner)
	c, err := net.Dial("unix", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := l.Accept()
	if _, ok := got.(*net.UnixConn); !ok || err != nil {
		t.Fatalf("%T, %v", got, err)
	}
	if err := errors.Join(got.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}
