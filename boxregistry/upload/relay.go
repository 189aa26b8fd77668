package upload

import (
	"context"
	"io"
	"sync"
)

// depth is how many chunks may wait for the inspector. It works while the next ones are hashed and written.
const depth = 4

// relay is a pipe with room: a writer waits only when depth chunks are unread. An io.Pipe has none, and would make
// two processors work in turn.
type relay struct {
	full  chan []byte // nil at the end
	free  chan []byte
	gone  chan struct{} // the reader has left
	left  error         // why, once gone is closed
	ended error         // of the writer, once full is closed
	now   []byte        // unread part of the chunk that is being read
	whole []byte
	once  sync.Once
}

func newRelay() *relay {
	r := &relay{full: make(chan []byte, depth+1), free: make(chan []byte, depth+1), gone: make(chan struct{})}
	for range depth + 1 {
		r.free <- nil
	}
	return r
}

// Write implements io.Writer. After the reader has left it returns why.
func (r *relay) Write(p []byte) (int, error) {
	select {
	case buf := <-r.free:
		r.full <- append(buf[:0], p...) // has room: there are no more buffers than that
		return len(p), nil
	case <-r.gone:
		if r.left == nil {
			return len(p), nil
		}
		return 0, r.left
	}
}

// finish tells the reader that nothing more comes, because of err or at the end.
func (r *relay) finish(err error) {
	r.ended = err
	if err == nil {
		r.ended = io.EOF
	}
	close(r.full)
}

// Read implements io.Reader, for one goroutine.
func (r *relay) Read(p []byte) (int, error) {
	for len(r.now) == 0 {
		if r.whole != nil {
			r.free <- r.whole
			r.whole = nil
		}
		buf, ok := <-r.full
		if !ok {
			return 0, r.ended
		}
		r.now, r.whole = buf, buf
	}
	n := copy(p, r.now)
	r.now = r.now[n:]
	return n, nil
}

// leave ends the reading; writers get err.
func (r *relay) leave(err error) {
	r.once.Do(func() {
		r.left = err
		close(r.gone)
	})
}

// tail reads a file that grows, as far as grown has said, until end says that it is whole.
type tail struct {
	ctx  context.Context
	file io.ReaderAt
	at   int64

	mu    sync.Mutex
	size  int64
	whole bool
	more  chan struct{} // closed and made anew with each change
}

func newTail(ctx context.Context, file io.ReaderAt) *tail {
	return &tail{ctx: ctx, file: file, more: make(chan struct{})}
}

// grown says how much of the file is there, and whether that is all.
func (t *tail) grown(size int64, whole bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size, t.whole = size, whole
	close(t.more)
	t.more = make(chan struct{})
}

func (t *tail) state() (size int64, whole bool, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.size, t.whole, t.more
}

// Read implements io.Reader, for one goroutine.
func (t *tail) Read(p []byte) (int, error) {
	for {
		size, whole, more := t.state()
		if left := size - t.at; left > 0 {
			n, err := t.file.ReadAt(p[:min(int64(len(p)), left)], t.at)
			t.at += int64(n)
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		if whole {
			return 0, io.EOF
		}
		select {
		case <-more:
		case <-t.ctx.Done():
			return 0, context.Cause(t.ctx)
		}
	}
}
