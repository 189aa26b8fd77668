package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/layout"
)

// timelineFold is the timeline of a log up to a place in it. It reads the log and not the events as they are told, because
// the log has no secrets in it.
type timelineFold struct {
	mu       sync.Mutex
	at       int64
	timeline build.Timeline
}

// catchUp takes what the log has besides.
func (f *timelineFold) catchUp(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	log, err := os.Open(path)
	if err != nil {
		return err
	}
	defer log.Close()
	if _, err := log.Seek(f.at, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(log, 64<<10)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // the last line may be half written
		}
		if err != nil {
			return err
		}
		f.at += int64(len(line))
		if err := f.add(line); err != nil {
			return fmt.Errorf("the log %s: %w", path, err)
		}
	}
}

// kindWithin is where in a line the kind of an event stands.
const kindWithin = 80

// add takes a line. Output of the guest, which most lines are, has no place in the timeline and is not decoded.
func (f *timelineFold) add(line []byte) error {
	if bytes.Contains(line[:min(len(line), kindWithin)], []byte(`"kind":"message"`)) {
		return nil
	}
	var e build.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	f.timeline.Add(e)
	return nil
}

func (f *timelineFold) moments(of func(*build.Timeline) []build.Moment) []build.Moment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return of(&f.timeline)
}

func (f *timelineFold) made() []build.Made {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.timeline.Made()
}

// foldOf is the timeline of a build: that of a live one goes on where it was, others are read from the start.
func (b *Builds) foldOf(id build.ID) (*timelineFold, error) {
	dir, err := b.layout.Build(string(id))
	if err != nil {
		return nil, err
	}
	f := &timelineFold{}
	b.mu.Lock()
	if l := b.live[id]; l != nil {
		f = &l.timeline
	}
	b.mu.Unlock()
	err = f.catchUp(dir.Log())
	if errors.Is(err, fs.ErrNotExist) { // the log of an old build was removed
		err = nil
	}
	return f, err
}

// Timeline returns the moments of a build in the order in which they began, those of all its attempts.
func (b *Builds) Timeline(ctx context.Context, id build.ID) ([]build.Moment, error) {
	if _, err := b.get(ctx, id); err != nil {
		return nil, err
	}
	f, err := b.foldOf(id)
	if err != nil {
		return nil, err
	}
	return f.moments((*build.Timeline).Moments), nil
}

// keepTimeline writes the timeline of an attempt that has ended.
func (b *Builds) keepTimeline(id build.ID, attempt int) {
	err := b.writeTimeline(id, attempt)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // without its folder the attempt never came to a step
		b.log.Warn("the timeline of a build could not be kept", "build", id, "err", err)
	}
}

func (b *Builds) writeTimeline(id build.ID, attempt int) error {
	dir, err := b.layout.Build(string(id))
	if err != nil {
		return err
	}
	f, err := b.foldOf(id)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(wire.Timeline{Moments: f.moments((*build.Timeline).LastAttempt)}, "", "  ")
	if err != nil {
		return err
	}
	return fsx.WriteFile(dir.Attempt(attempt).Timeline(), append(data, '\n'), 0o600)
}

// withTimeline is the error of an attempt with the name of its timeline, which is complete only when all is over.
func (b *Builds) withTimeline(id build.ID, attempt int, r build.Result) string {
	message := r.Err.Error()
	dir, err := b.layout.Build(string(id))
	if err != nil || (r.State != build.Failed && r.State != build.Errored) {
		return message
	}
	home := dir.Attempt(attempt)
	if _, err := os.Stat(home.Path()); err != nil {
		return message
	}
	return message + "\ntimeline: " + home.Timeline()
}

// latest is the file of the newest attempt that has it, or fs.ErrNotExist.
func (b *Builds) latest(ctx context.Context, id build.ID, file func(layout.Attempt) string) (string, error) {
	r, err := b.get(ctx, id)
	if err != nil {
		return "", err
	}
	dir, err := b.layout.Build(string(id))
	if err != nil {
		return "", err
	}
	for n := r.Attempt; n > 0; n-- {
		path := file(dir.Attempt(n))
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
	}
	return "", fs.ErrNotExist
}
