package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/eventlog"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/daemon/window"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/web"
)

// pages makes the web pages over this daemon's boxes and builds.
func (d *Daemon) pages() (*web.Site, error) {
	builds := shownBuilds{d.builds}
	from := web.Sources{Boxes: d.registry, Makers: d.registry, Versions: d.registry, Uploader: d.uploads, Known: d.registry,
		Builds: builds, Window: shownWindow{d.builds}, Control: builds, Tokens: d.tokens}
	return web.New(from, web.Options{BaseURL: d.cfg.BaseURL, Version: d.cfg.Version, Logger: d.cfg.Log})
}

// shown is an error in the words of the pages.
func shown(err error) error {
	var e *wire.Error
	switch {
	case errors.Is(err, build.ErrNotFound):
		return web.ErrNotFound
	case errors.As(err, &e):
		return &web.Refusal{Status: wire.Status[e.Code], Text: e.Message}
	}
	return err
}

// shownBuilds shows the pages the daemon's builds, and does what they ask.
type shownBuilds struct{ builds *Builds }

// searched is how many builds a search looks through, newest first.
const searched = 10_000

// List implements web.Builds.
func (s shownBuilds) List(ctx context.Context, q web.Query) ([]web.Build, int, error) {
	records, total, err := s.page(ctx, q)
	list := make([]web.Build, 0, len(records))
	for _, r := range records {
		list = append(list, shownBuild(r))
	}
	return list, total, err
}

func (s shownBuilds) page(ctx context.Context, q web.Query) ([]build.Record, int, error) {
	f := store.Filter{Box: q.Box, Hidden: q.Hidden, Limit: q.Limit}
	if q.State != "" {
		f.States = []build.State{q.State}
	}
	if q.Text == "" {
		return s.builds.store.Page(ctx, f, q.Offset)
	}
	f.Limit = searched
	records, err := s.builds.store.List(ctx, f)
	var found []build.Record
	for _, r := range records {
		if has(r, strings.ToLower(q.Text)) {
			found = append(found, r)
		}
	}
	first := min(q.Offset, len(found))
	return found[first:min(first+q.Limit, len(found))], len(found), err
}

func has(r build.Record, text string) bool {
	return strings.Contains(strings.ToLower(r.Label+"\n"+r.Template+"\n"+string(r.ID)), text)
}

// Box implements web.Builds.
func (s shownBuilds) Box(ctx context.Context, id string) (string, error) {
	r, err := s.builds.store.Get(ctx, build.ID(id))
	return r.Box, shown(err)
}

// Build implements web.Builds.
func (s shownBuilds) Build(ctx context.Context, id string) (web.Build, error) {
	reply, err := s.builds.get(ctx, build.ID(id))
	if err != nil {
		return web.Build{}, shown(err)
	}
	b := shownBuild(reply.Record)
	fold, err := s.builds.foldOf(build.ID(id))
	if err != nil {
		return b, shown(err)
	}
	for _, m := range fold.moments((*build.Timeline).Moments) {
		if m.Attempt == reply.Attempt {
			b.Timeline = append(b.Timeline, m)
		}
	}
	b.Made = fold.made()
	b.Question, err = s.question(ctx, id)
	return b, err
}

func shownBuild(r build.Record) web.Build {
	return web.Build{ID: string(r.ID), State: r.State, Template: r.Template, Source: r.Label, Box: r.Box, Version: r.Version,
		Attempt: r.Attempt, Queued: r.Created.Time(), Started: r.Started.Time(), Finished: r.Finished.Time(), Error: r.Error,
		Resumable: r.State.MayBecome(build.Queued)}
}

// questionWithin is how far from its end the log of a build that asks is searched for the question, in bytes: while it
// waits it says little else.
const questionWithin = 256 << 10

// question is what the build asks now, or nil.
func (s shownBuilds) question(ctx context.Context, id string) (*web.Question, error) {
	s.builds.mu.Lock()
	l := s.builds.live[build.ID(id)]
	asks := l != nil && l.question != nil
	s.builds.mu.Unlock()
	if !asks {
		return nil, nil
	}
	var q *web.Question
	err := s.Read(ctx, id, -questionWithin, func(e web.Entry) error {
		if e.Event.Kind == build.EventQuestion {
			q = &web.Question{Text: e.Event.Text, Choices: e.Event.Choices}
		}
		return nil
	})
	return q, err
}

// Read implements web.Builds.
func (s shownBuilds) Read(ctx context.Context, id string, offset int64, fn func(web.Entry) error) error {
	dir, err := s.builds.layout.Build(id)
	if err != nil {
		return web.ErrNotFound
	}
	f, err := os.Open(dir.Log())
	if errors.Is(err, fs.ErrNotExist) {
		return web.ErrNotFound
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines, at, err := linesFrom(f, offset)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // the last line may be half written
			return nil
		}
		if err != nil {
			return err
		}
		at += int64(len(line))
		if err := shownLine(eventlog.Line{Next: at, Event: line[:len(line)-1]}, fn); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// linesFrom reads the lines of f that begin at offset or after it, which counts from the end when it is negative.
func linesFrom(f io.ReadSeeker, offset int64) (r *bufio.Reader, at int64, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, err
	}
	if offset < 0 {
		offset = max(0, size+offset)
	}
	at = max(0, min(offset, size)-1) // the end of the line before
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return nil, 0, err
	}
	r = bufio.NewReaderSize(f, 64<<10)
	if offset == 0 {
		return r, 0, nil
	}
	before, err := r.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return r, at + int64(len(before)), err
}

func shownLine(l eventlog.Line, fn func(web.Entry) error) error {
	e := web.Entry{From: l.Next - int64(len(l.Event)) - 1, Next: l.Next}
	if err := json.Unmarshal(l.Event, &e.Event); err != nil {
		return fmt.Errorf("the event before place %d of the log: %w", l.Next, err)
	}
	return fn(e)
}

// Follow implements web.Builds.
func (s shownBuilds) Follow(ctx context.Context, id string, offset int64, fn func(web.Entry) error) error {
	if _, err := s.builds.get(ctx, build.ID(id)); err != nil {
		return shown(err)
	}
	err := s.builds.Follow(ctx, build.ID(id), offset, func(l eventlog.Line) error { return shownLine(l, fn) })
	if errors.Is(err, fs.ErrNotExist) {
		return web.ErrNotFound
	}
	return err
}

// Cancel implements web.Control.
func (s shownBuilds) Cancel(ctx context.Context, _ auth.Principal, id string) error {
	_, err := s.builds.Cancel(ctx, build.ID(id))
	return shown(err)
}

// Retry implements web.Control.
func (s shownBuilds) Retry(ctx context.Context, who auth.Principal, id string) (string, error) {
	r, err := s.builds.Retry(ctx, who, build.ID(id))
	return string(r.ID), shown(err)
}

// Resume implements web.Control.
func (s shownBuilds) Resume(ctx context.Context, who auth.Principal, id string) error {
	_, err := s.builds.Resume(ctx, who, build.ID(id), wire.ResumeRequest{})
	return shown(err)
}

// Answer implements web.Control.
func (s shownBuilds) Answer(ctx context.Context, _ auth.Principal, id, answer string) error {
	return shown(s.builds.Answer(ctx, build.ID(id), answer))
}

// shownWindow shows the pages the machines of builds.
type shownWindow struct{ builds *Builds }

// shownMachine is shown for errors of the window: what a machine does not have or a build has not kept is nothing to see.
func shownMachine(err error) error {
	var e *wire.Error
	noScreen := errors.Is(err, hypervisor.ErrUnsupported) || errors.As(err, &e) && (e.Code == wire.CodeConflict || e.Code == wire.CodeNotFound)
	if noScreen && !errors.Is(err, build.ErrNotFound) {
		return web.ErrNothing
	}
	return shown(err)
}

// Screen implements web.Window.
func (s shownWindow) Screen(ctx context.Context, id string) (web.Frame, error) {
	f, err := s.builds.Screen(ctx, build.ID(id))
	return web.Frame(f), shownMachine(err)
}

// WatchScreen implements web.Window.
func (s shownWindow) WatchScreen(ctx context.Context, id string, fn func(web.Frame) error) error {
	return shownMachine(s.builds.WatchScreen(ctx, build.ID(id), func(f window.Frame) error { return fn(web.Frame(f)) }))
}

// ReadSerial implements web.Window.
func (s shownWindow) ReadSerial(ctx context.Context, id string, offset int64, fn func(int64, []byte) error) error {
	if _, err := s.builds.get(ctx, build.ID(id)); err != nil {
		return shown(err)
	}
	return shownMachine(s.builds.ReadSerial(ctx, build.ID(id), offset, fn))
}

// FollowSerial implements web.Window.
func (s shownWindow) FollowSerial(ctx context.Context, id string, offset int64, fn func(int64, []byte) error) error {
	return shownMachine(s.builds.FollowSerial(ctx, build.ID(id), offset, fn))
}

// Type implements web.Window.
func (s shownWindow) Type(ctx context.Context, id, text string) (int, error) {
	n, err := s.builds.Type(ctx, build.ID(id), text)
	return n, shown(err)
}
