// Command upload measures how fast a daemon takes a box whose disk does not compress: by the PUT of Vagrant Cloud's clients and
// by `boxkiln box publish`, in turn with dd, which writes the same bytes to the same file system and syncs them. It prints the
// medians and the most memory that the daemon ever had, after a small box and after the large one.
//
//	go run ./test/bench/upload -boxkiln bin/boxkiln -work build/bench [-size 1024] [-rounds 3] [-real FILE]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

const (
	provider     = "parallels" // whose files nobody looks into
	architecture = "amd64"
	small        = 32 // MiB, of the box beside the large one
)

func main() {
	var b bench
	flag.StringVar(&b.program, "boxkiln", "bin/boxkiln", "the program")
	flag.StringVar(&b.work, "work", "build/bench", "a folder on the disk to measure")
	size := flag.Int("size", 1024, "MiB of the box")
	flag.IntVar(&b.rounds, "rounds", 3, "how often each is measured")
	real := flag.String("real", "", "a real box, measured beside it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, *size, *real); err != nil {
		fmt.Fprintln(os.Stderr, "upload:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	program, work string
	rounds        int
	daemon        *daemon
	versions      int
}

func (b *bench) run(ctx context.Context, size int, real string) error {
	dir, err := os.MkdirTemp(b.work, "upload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if b.daemon, err = serve(ctx, b.program, filepath.Join(dir, "data")); err != nil {
		return err
	}
	defer b.daemon.end()
	little, err := makeBox(ctx, dir, "small.box", small)
	if err != nil {
		return err
	}
	if _, err := b.measure(ctx, dir, little, b.rounds); err != nil {
		return err
	}
	before, err := b.daemon.peak()
	if err != nil {
		return err
	}
	large, err := makeBox(ctx, dir, "large.box", size)
	if err != nil {
		return err
	}
	f, err := b.measure(ctx, dir, large, b.rounds)
	if err != nil {
		return err
	}
	f.print("upload", fmt.Sprintf("%d MiB that do not compress", size))
	after, err := b.daemon.peak()
	if err != nil {
		return err
	}
	fmt.Printf("memory: VmHWM %.1f MiB after %d MiB, %.1f MiB after %d MiB\n", before, small, after, size)
	if real == "" {
		return nil
	}
	if f, err = b.measure(ctx, dir, real, b.rounds); err == nil {
		f.print("real box", filepath.Base(real))
	}
	return err
}

// figures are speeds in MB/s.
type figures struct{ dd, put, publish float64 }

func (f figures) print(name, what string) {
	fmt.Printf("%s: %.0f MB/s, dd %.0f MB/s, ratio %.2f\n", name, f.put, f.dd, f.put/f.dd)
	fmt.Printf("  (%s; by box publish with its checksum %.0f MB/s, ratio %.2f)\n", what, f.publish, f.publish/f.dd)
}

// measure takes the medians over some rounds, in each of which all three have their turn.
func (b *bench) measure(ctx context.Context, dir, box string, rounds int) (figures, error) {
	st, err := os.Stat(box)
	if err != nil {
		return figures{}, err
	}
	var times [3][]float64
	for range rounds {
		for i, do := range []func() error{
			func() error { return b.dd(ctx, box, filepath.Join(dir, "copy")) },
			func() error { return b.put(ctx, box, st.Size()) },
			func() error { return b.publish(ctx, box) },
		} {
			took, err := b.timed(ctx, do)
			if err != nil {
				return figures{}, err
			}
			times[i] = append(times[i], float64(st.Size())/1e6/took.Seconds())
		}
	}
	return figures{median(times[0]), median(times[1]), median(times[2])}, nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// timed leaves nothing of one turn to the next: what is not on the disk yet is written first.
func (b *bench) timed(ctx context.Context, do func() error) (time.Duration, error) {
	if err := exec.CommandContext(ctx, "sync").Run(); err != nil {
		return 0, err
	}
	began := time.Now()
	err := do()
	return time.Since(began), err
}

func (b *bench) dd(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "dd", "if="+from, "of="+to, "bs=1M", "conv=fsync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("dd: %w: %s", err, out)
	}
	return os.Remove(to)
}

// put publishes a version as the clients of Vagrant Cloud do. Only the PUT takes time.
func (b *bench) put(ctx context.Context, box string, size int64) error {
	version := b.next()
	type object map[string]any
	for _, step := range []struct {
		path string
		body object
	}{
		{"/api/v2/boxes", object{"box": object{"username": "bench", "name": "box"}}},
		{"/api/v2/box/bench/box/versions", object{"version": object{"version": version}}},
		{"/api/v2/box/bench/box/version/" + version + "/providers",
			object{"provider": object{"name": provider, "architecture": architecture, "default_architecture": true}}},
	} {
		err := b.daemon.json(ctx, http.MethodPost, step.path, step.body, nil)
		if err != nil && !(step.path == "/api/v2/boxes" && b.versions > 1) { // it is there
			return err
		}
	}
	var door struct {
		Path string `json:"upload_path"`
	}
	if err := b.daemon.json(ctx, http.MethodGet, "/api/v2/box/bench/box/version/"+version+"/provider/"+provider+"/"+architecture+"/upload", nil, &door); err != nil {
		return err
	}
	f, err := os.Open(box)
	if err != nil {
		return err
	}
	defer f.Close()
	return b.daemon.do(ctx, http.MethodPut, door.Path, f, size, nil)
}

func (b *bench) next() string {
	b.versions++
	return fmt.Sprint(b.versions)
}

func (b *bench) publish(ctx context.Context, box string) error {
	cmd := exec.CommandContext(ctx, b.program, "box", "publish", box, "--as", "bench/box", "--version", b.next(), "--server", b.daemon.url)
	cmd.Env = append(os.Environ(), "BOXKILN_TOKEN="+b.daemon.token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("box publish: %w: %s", err, out)
	}
	return nil
}

// makeBox makes a box with so many MiB of disk.
func makeBox(ctx context.Context, dir, name string, size int) (path string, err error) {
	disk := filepath.Join(dir, "disk.img")
	if err := noise(disk, size); err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	_, err = boxfile.Write(ctx, f, boxfile.Contents{
		Metadata: boxfile.Metadata{Provider: provider, Architecture: architecture}, Files: []boxfile.File{{Name: "disk.img", Path: disk}},
	}, boxfile.Options{Level: 1})
	return f.Name(), errors.Join(err, f.Close(), os.Remove(disk))
}

// noise writes size MiB that do not compress.
func noise(path string, size int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{byte(size)}), int64(size)<<20)
	return errors.Join(err, f.Close())
}

// daemon is a daemon in a process of its own.
type daemon struct {
	cmd        *exec.Cmd
	url, token string
}

// serve starts a daemon and makes a token.
func serve(ctx context.Context, program, data string) (*daemon, error) {
	d := &daemon{cmd: exec.Command(program, "serve", "--data", data, "--listen", "127.0.0.1:0")}
	d.cmd.Stderr = os.Stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	line := make([]byte, 4096)
	n, err := out.Read(line)
	_, url, found := strings.Cut(strings.TrimSpace(string(line[:n])), " on ")
	if err != nil || !found {
		return nil, fmt.Errorf("the daemon said %q: %w", line[:n], errors.Join(err, d.cmd.Process.Kill()))
	}
	go io.Copy(io.Discard, out)
	d.url = url
	token, err := exec.CommandContext(ctx, program, "--data", data, "token", "create", "bench", "--scope", "admin").Output()
	d.token = strings.TrimSpace(string(token))
	return d, err
}

func (d *daemon) end() {
	_ = d.cmd.Process.Signal(os.Interrupt)
	_ = d.cmd.Wait() // it was asked to
}

// peak is the most memory that the daemon had, in MiB (VmHWM of proc(5)).
func (d *daemon) peak() (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	var kib float64
	_, err = fmt.Sscan(rest, &kib)
	return kib / 1024, err
}

func (d *daemon) json(ctx context.Context, method, path string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return d.do(ctx, method, d.url+path, bytes.NewReader(data), int64(len(data)), out)
}

func (d *daemon) do(ctx context.Context, method, url string, body io.Reader, size int64, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("%s %s: %s: %s", method, url, res.Status, data)
	case out == nil:
		return nil
	}
	return json.Unmarshal(data, out)
}
