package upload

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// model is what a maker believes of one place while uploads come, break, are resumed, and the daemon is started again.
type model struct {
	t     *testing.T
	d     *dock
	dir   string
	boxes [][]byte

	open      map[int]*belief // by box
	published int             // which box is in the place; -1 for none
	released  bool
}

// belief is a session as its client knows it.
type belief struct {
	id     string
	offset int64 // at least so much has come, and is on the disk
}

func (m *model) restart() {
	m.d.stop()
	m.d = open(m.t, m.dir, nil)
}

func (m *model) pick(r *rapid.T) int { return rapid.IntRange(0, len(m.boxes)-1).Draw(r, "box") }

// refused is how the place answers to a file that cannot go there any more.
func (m *model) refused(i int, err error) bool {
	switch {
	case m.published >= 0 && m.released && m.published != i:
		return errors.Is(err, boxregistry.ErrImmutable)
	case m.published >= 0 && m.published != i:
		return errors.Is(err, boxregistry.ErrExists)
	}
	return false
}

func (m *model) begin(r *rapid.T) {
	i := m.pick(r)
	s, err := m.d.Open(context.Background(), into(m.boxes[i]))
	switch {
	case err == nil && s.Done:
		if m.published != i {
			r.Fatalf("box %d is done, and %d is published", i, m.published)
		}
	case err == nil && m.open[i] == nil && s.Offset != 0, err == nil && m.open[i] != nil && (s.ID != m.open[i].id || s.Offset < m.open[i].offset):
		r.Fatalf("box %d is at %+v, believed %+v", i, s, m.open[i])
	case err == nil:
		m.open[i] = &belief{s.ID, s.Offset}
	case errors.Is(err, boxregistry.ErrBusy) && len(m.open) > 0, m.refused(i, err):
	default:
		r.Fatalf("begin %d: %v", i, err)
	}
}

func (m *model) chunk(r *rapid.T) {
	i := m.pick(r)
	b := m.open[i]
	if b == nil {
		return
	}
	data := m.boxes[i]
	from := rapid.Int64Range(0, b.offset).Draw(r, "from")
	end := rapid.Int64Range(from, int64(len(data))).Draw(r, "end")
	body, broke := data[from:end], rapid.Bool().Draw(r, "breaks")
	var s Session
	var err error
	if broke {
		s, err = m.d.Append(context.Background(), b.id, from, end-from, cut(body[:len(body)/2]))
	} else {
		s, err = m.d.Append(context.Background(), b.id, from, end-from, bytes.NewReader(body))
	}
	switch {
	case errors.Is(err, boxregistry.ErrBusy) && len(m.open) > 1:
		return
	case err != nil && !(broke && errors.Is(err, errBroken)):
		r.Fatalf("chunk %d-%d of box %d: %v", from, end, i, err)
	case s.Offset < b.offset, !broke && s.Offset != max(b.offset, end):
		r.Fatalf("after chunk %d-%d of box %d: at %d, was at %d", from, end, i, s.Offset, b.offset)
	}
	b.offset = s.Offset
}

func (m *model) finish(r *rapid.T) {
	i := m.pick(r)
	b := m.open[i]
	if b == nil {
		return
	}
	f, err := m.d.Finish(context.Background(), b.id)
	var missing *OffsetError
	switch {
	case errors.As(err, &missing):
		if b.offset == int64(len(m.boxes[i])) {
			r.Fatalf("box %d is complete: %v", i, err)
		}
	case errors.Is(err, boxregistry.ErrBusy) && len(m.open) > 1:
	case m.refused(i, err):
		delete(m.open, i)
	case err != nil || f.Digest != sum(m.boxes[i]):
		r.Fatalf("finish %d: %+v, %v", i, f, err)
	default:
		m.published = i
		delete(m.open, i)
	}
}

func (m *model) release(r *rapid.T) {
	err := m.d.registry.Release(context.Background(), name("ops/deb"), version("1.0"))
	switch {
	case err == nil && m.published >= 0:
		m.released = true
	case m.published < 0 && errors.Is(err, boxregistry.ErrNotFound):
	default:
		r.Fatalf("release: %v with %d published", err, m.published)
	}
}

// check holds what is visible against the model: all of one box, or nothing.
func (m *model) check(r *rapid.T) {
	files := m.d.files()
	if m.published < 0 {
		if len(files) != 0 {
			r.Fatalf("visible: %+v", files)
		}
		return
	}
	if len(files) != 1 || files[0].Digest != sum(m.boxes[m.published]) {
		r.Fatalf("visible: %+v, published is %d", files, m.published)
	}
	if _, err := m.d.blobs.Stat(context.Background(), files[0].Digest); err != nil {
		r.Fatalf("its bytes: %v", err)
	}
}

// TestUploadsAgainstModel sends three boxes into one place by any order of beginnings, chunks, broken chunks, ends, releases,
// restarts and sweeps.
func TestUploadsAgainstModel(t *testing.T) {
	t.Parallel()
	boxes := [][]byte{amd64(t, 1, 3000), amd64(t, 2, 2000), amd64(t, 3, 1000)}
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp("", "bk")
		if err != nil {
			r.Fatal(err)
		}
		m := &model{t: t, dir: dir, d: open(t, dir, nil), boxes: boxes, open: map[int]*belief{}, published: -1}
		defer func() {
			m.d.stop()
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		}()
		r.Repeat(map[string]func(*rapid.T){
			"begin": m.begin, "chunk": m.chunk, "finish": m.finish, "release": m.release,
			"restart": func(*rapid.T) { m.restart() },
			"pause":   func(*rapid.T) { m.d.clock.pass(linger) },
			"sweep": func(r *rapid.T) {
				if err := m.d.Sweep(context.Background()); err != nil {
					r.Fatal(err)
				}
			},
			"": m.check,
		})
	})
}
