package window

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"
)

// tailEvery is how often a serial log is looked at. It is polled and not watched: hypervisors write it in folders that come
// and go, some over network file systems, which tell nobody about changes.
const tailEvery = 200 * time.Millisecond

// maxBackups is how many rotated logs are looked for. virtlogd keeps three (virtlogd.conf, max_backups), and it rotates at
// 2 MiB, named as serial.log.0 (the newest), serial.log.1 and so on. A guest that writes more than all of them hold between
// two looks loses the oldest.
const maxBackups = 9

// Tail copies the serial log of a machine to a writer. Its methods may be called by several goroutines.
type Tail struct {
	To io.Writer
	// Path is where the machine writes; empty as long as there is none. It is asked at each look, because a build can have
	// several machines one after another.
	Path func() string
	// Every is the time between two looks; 0 for 200 ms.
	Every time.Duration

	mu   sync.Mutex
	path string
	f    *os.File
	at   int64
}

// Copy copies until ctx ends, and then what is still there. What cannot be read is left out: the log of a machine that is
// just being removed is no error.
func (t *Tail) Copy(ctx context.Context) {
	every := t.Every
	if every == 0 {
		every = tailEvery
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		t.Look()
		timer.Reset(every)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	t.Look()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.close()
}

// close forgets the open file. The caller holds mu.
func (t *Tail) close() {
	if t.f != nil {
		_ = t.f.Close() // it was only read
		t.f = nil
	}
}

// Look copies what came since the last look, at once. Call it before a log is removed.
func (t *Tail) Look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if path := t.Path(); path != "" && path != t.path {
		t.drain() // the last words of the machine before
		t.close()
		t.path = path
	}
	if t.path == "" {
		return
	}
	if t.f == nil {
		t.open(t.path)
	}
	t.drain()
	for _, next := range t.newer() {
		t.drain() // what was written before it was rotated away
		t.close()
		t.open(next)
		t.drain()
	}
}

func (t *Tail) open(path string) {
	f, err := os.Open(path)
	if err != nil {
		return // not yet, or no more
	}
	t.f, t.at = f, 0
}

// drain copies to the end of the open file. One that has become shorter was emptied, and is read from its beginning.
func (t *Tail) drain() {
	if t.f == nil {
		return
	}
	if info, err := t.f.Stat(); err != nil || info.Size() < t.at {
		t.at = 0
	}
	n, _ := io.Copy(t.To, io.NewSectionReader(t.f, t.at, 1<<62))
	t.at += n
}

// newer lists the logs that follow the open one, oldest first, after a rotation.
func (t *Tail) newer() []string {
	if t.f == nil {
		return nil
	}
	mine, err := t.f.Stat()
	if err != nil {
		return nil
	}
	var paths []string
	for i := -1; i < maxBackups; i++ {
		path := t.path
		if i >= 0 {
			path += "." + strconv.Itoa(i)
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) && i < 0 {
			return nil // removed, or between two steps of a rotation
		}
		if err != nil || os.SameFile(info, mine) {
			break
		}
		paths = append([]string{path}, paths...)
	}
	return paths
}
