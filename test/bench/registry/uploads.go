package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/test/bench/figures"
)

// askedOfUploads is our speed as a share of that of dd, which writes the same bytes to the same disk and syncs them.
const askedOfUploads = 0.5

// The box that is uploaded is for a provider whose files nobody looks into.
const (
	uploadProvider     = "parallels"
	uploadArchitecture = "amd64"
)

// smallBox is the size of the box before the large one, in bytes: what the daemon's memory is compared with.
const smallBox = 32 << 20

// maker is somebody who uploads boxes.
type maker struct {
	kiln     *kiln
	token    string
	versions int
	provider string // of the box that is uploaded
}

// uploads compares the PUT of Vagrant Cloud's clients and `boxkiln box publish` with dd.
func uploads(ctx context.Context, b *bench) error {
	token, err := exec.CommandContext(ctx, b.kiln.cmd.Path, "--data", b.kiln.data.Path(), "token", "create", "bench", "--scope", "admin").Output()
	if err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	m := &maker{kiln: b.kiln, token: strings.TrimSpace(string(token)), provider: uploadProvider}
	if err := m.call(ctx, http.MethodPut, "/v1/boxes/bench/up", object{}, nil); err != nil {
		return err
	}
	for _, size := range []int64{smallBox, b.kiln.size} {
		box, err := makeBox(ctx, b.work, size)
		if err != nil {
			return err
		}
		if err := m.compare(ctx, b, fmt.Sprintf("%d MiB", size>>20), box, size == b.kiln.size); err != nil {
			return err
		}
	}
	real, err := filepath.Glob("build/bench*/boxkiln/*.box")
	if err != nil || len(real) == 0 {
		return err // none was built here
	}
	m.provider = boxfile.Libvirt
	return m.compare(ctx, b, "a real box", real[0], false)
}

// compare measures both ways with one box.
func (m *maker) compare(ctx context.Context, b *bench, what, box string, judged bool) error {
	st, err := os.Stat(box)
	if err != nil {
		return err
	}
	dd := m.timed(st.Size(), func() error { return copyByDD(ctx, box, filepath.Join(b.work, "copy")) })
	for _, way := range []struct {
		name string
		do   func() error
	}{
		{"PUT", func() error { return m.put(ctx, box, st.Size()) }},
		{"box publish", func() error { return m.publish(ctx, box) }},
	} {
		list, err := figures.Pairs(b.rounds, m.timed(st.Size(), way.do), dd)
		if err != nil {
			return fmt.Errorf("%s by %s: %w", what, way.name, err)
		}
		var ours, theirs []float64
		for _, p := range list {
			ours, theirs = append(ours, p.Ours), append(theirs, p.Theirs)
		}
		b.report.Figure(what+" by "+way.name+", MB/s", figures.Median(ours))
		b.report.Figure(what+" by dd, MB/s", figures.Median(theirs))
		if judged {
			b.report.AtLeast(what+" by "+way.name+", ratio", figures.Median(figures.Ratios(list)), askedOfUploads)
		} else {
			b.report.Figure(what+" by "+way.name+", ratio", figures.Median(figures.Ratios(list)))
		}
	}
	peak, err := m.kiln.peakMemory()
	b.report.Figure("largest memory of the daemon until now, MiB", float64(peak)/(1<<20))
	return err
}

// timed makes a measurement, in MB/s. What is not on the disk yet is written before it begins.
func (m *maker) timed(size int64, do func() error) func() (float64, error) {
	return func() (float64, error) {
		if err := exec.Command("sync").Run(); err != nil {
			return 0, err
		}
		began := time.Now()
		err := do()
		return float64(size) / 1e6 / time.Since(began).Seconds(), err
	}
}

func copyByDD(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "dd", "if="+from, "of="+to, "bs=1M", "conv=fsync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("dd: %w: %s", err, out)
	}
	return os.Remove(to)
}

type object map[string]any

// put publishes a version as the clients of Vagrant Cloud do.
func (m *maker) put(ctx context.Context, box string, size int64) error {
	version := m.next()
	const api = "/api/v2/box/bench/up"
	err := m.call(ctx, http.MethodPost, api+"/versions", object{"version": object{"version": version}}, nil)
	if err == nil {
		err = m.call(ctx, http.MethodPost, api+"/version/"+version+"/providers",
			object{"provider": object{"name": m.provider, "architecture": uploadArchitecture, "default_architecture": true}}, nil)
	}
	var door struct {
		Path string `json:"upload_path"`
	}
	if err == nil {
		err = m.call(ctx, http.MethodGet, api+"/version/"+version+"/provider/"+m.provider+"/"+uploadArchitecture+"/upload", nil, &door)
	}
	if err != nil {
		return err
	}
	f, err := os.Open(box)
	if err != nil {
		return err
	}
	defer f.Close()
	return m.send(ctx, http.MethodPut, door.Path, f, size, nil)
}

// next is a version that nobody used yet.
func (m *maker) next() string {
	m.versions++
	return fmt.Sprint(m.versions)
}

func (m *maker) publish(ctx context.Context, box string) error {
	cmd := exec.CommandContext(ctx, m.kiln.cmd.Path, "box", "publish", box, "--as", "bench/up", "--version", m.next(), "--server", m.kiln.url)
	cmd.Env = append(os.Environ(), "BOXKILN_TOKEN="+m.token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return err
}

// call sends JSON and reads JSON.
func (m *maker) call(ctx context.Context, method, path string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return m.send(ctx, method, m.kiln.url+path, bytes.NewReader(data), int64(len(data)), out)
}

func (m *maker) send(ctx context.Context, method, url string, body io.Reader, size int64, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+m.token)
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

// makeBox makes a box with a disk of that many bytes that do not compress.
func makeBox(ctx context.Context, dir string, size int64) (path string, err error) {
	disk := filepath.Join(dir, "disk.img")
	f, err := os.Create(disk)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, noise(size))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	box, err := os.Create(filepath.Join(dir, fmt.Sprintf("upload-%d.box", size)))
	if err != nil {
		return "", err
	}
	_, err = boxfile.Write(ctx, box, boxfile.Contents{
		Metadata: boxfile.Metadata{Provider: uploadProvider, Architecture: uploadArchitecture},
		Files:    []boxfile.File{{Name: "disk.img", Path: disk}},
	}, boxfile.Options{Level: 1})
	return box.Name(), errors.Join(err, box.Close(), os.Remove(disk))
}
