package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/web"
)

// pages makes the web pages over this daemon's boxes and builds.
func (d *Daemon) pages() (*web.Site, error) {
	return web.New(d.registry, shownBuilds{d.builds}, web.Options{BaseURL: d.cfg.BaseURL, Version: d.cfg.Version, Logger: d.cfg.Log})
}

// shownBuilds shows the pages the daemon's builds.
type shownBuilds struct{ builds *Builds }

// List implements web.Builds.
func (s shownBuilds) List(ctx context.Context, limit, offset int) ([]web.Build, int, error) {
	records, total, err := s.builds.store.Page(ctx, limit, offset)
	list := make([]web.Build, 0, len(records))
	for _, r := range records {
		list = append(list, shownBuild(r))
	}
	return list, total, err
}

// Build implements web.Builds.
func (s shownBuilds) Build(ctx context.Context, id string) (web.Build, error) {
	reply, err := s.builds.Get(ctx, build.ID(id))
	if errors.Is(err, build.ErrNotFound) {
		return web.Build{}, web.ErrNotFound
	}
	if err != nil {
		return web.Build{}, err
	}
	b := shownBuild(reply.Record)
	for _, st := range reply.Steps {
		if st.Attempt == reply.Attempt {
			b.Steps = append(b.Steps, shownStep(st))
		}
	}
	return b, nil
}

func shownBuild(r build.Record) web.Build {
	return web.Build{ID: string(r.ID), State: string(r.State), Template: r.Template, Source: r.Label, Box: r.Box, Version: r.Version,
		Attempt: r.Attempt, Queued: r.Created.Time(), Started: r.Started.Time(), Finished: r.Finished.Time(), Error: r.Error}
}

func shownStep(st build.StepRecord) web.Step {
	states := map[build.StepPhase]string{build.StepBegan: "running", build.StepDone: "done", build.StepFailed: "failed"}
	shown := web.Step{Name: st.Name, State: states[st.Phase], Started: st.Began.Time()}
	if st.Phase != build.StepBegan {
		shown.Finished = shown.Started.Add(time.Duration(st.Seconds * float64(time.Second)))
	}
	return shown
}

// logLimit bounds how much of a log a page reads, in bytes.
const logLimit = 32 << 20

// Log implements web.Builds: the log's events as the lines that a terminal shows.
func (s shownBuilds) Log(_ context.Context, id string) (io.ReadSeekCloser, error) {
	dir, err := s.builds.layout.Build(id)
	if err != nil {
		return nil, web.ErrNotFound
	}
	f, err := os.Open(dir.Log())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, web.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := logText(io.LimitReader(f, logLimit))
	if err != nil {
		return nil, err
	}
	return readSeekNopCloser{bytes.NewReader(text)}, nil
}

type readSeekNopCloser struct{ io.ReadSeeker }

func (readSeekNopCloser) Close() error { return nil }

func logText(r io.Reader) ([]byte, error) {
	var out bytes.Buffer
	dec := json.NewDecoder(r)
	for {
		var e build.Event
		err := dec.Decode(&e)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the last line may be half written
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		switch e.Kind {
		case build.EventSay, build.EventError:
			fmt.Fprintf(&out, "%s ==> %s\n", e.Time.UTC().Format(time.TimeOnly), e.Text)
		case build.EventMessage:
			fmt.Fprintf(&out, "%s     %s\n", e.Time.UTC().Format(time.TimeOnly), e.Text)
		case build.EventSeed:
			fmt.Fprintf(&out, "%s     seed: %s\n", e.Time.UTC().Format(time.TimeOnly), e.Text)
		}
	}
}
