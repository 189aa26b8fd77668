package checkpoint

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/boxkiln/boxkiln/internal/delta"
	"github.com/boxkiln/boxkiln/internal/zseek"
)

// memoryBase is the checkpoint from whose memory a child of parent keeps the difference: parent, or the one that its own
// memory is a difference from, so that a memory is never more than two files away. Empty if there is none; a base that
// cannot be had now costs space, and no checkpoint.
func (s *Store) memoryBase(ctx context.Context, parent ID) ID {
	var text string
	err := s.db.R.QueryRowContext(ctx, `SELECT meta FROM checkpoints WHERE id = ? AND state IN ('whole', 'layer')`, parent).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return ""
	}
	var m Meta
	if err == nil {
		err = json.Unmarshal([]byte(text), &m)
	}
	base := parent
	if m.MemoryBase != "" {
		base = m.MemoryBase
	}
	if err == nil && m.Kind == KindMemory {
		if _, _, err = s.wholeMemory(ctx, base); err == nil {
			return base
		}
	}
	if err != nil {
		s.o.Log.Warn("a memory is kept whole: the one to compare it with cannot be read", "checkpoint", base, "err", err)
	}
	return ""
}

// wholeMemory finds the memory of a base and its directory.
func (s *Store) wholeMemory(ctx context.Context, base ID) (file, string, error) {
	var digest string
	err := s.db.R.QueryRowContext(ctx, `SELECT manifest FROM checkpoints WHERE id = ? AND state IN ('whole', 'layer')`, base).Scan(&digest)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w: %s", ErrGone, base)
	}
	if err != nil {
		return file{}, "", err
	}
	dir := s.path(base)
	man, err := readManifest(dir, digest)
	if err != nil {
		return file{}, "", err
	}
	i := slices.IndexFunc(man.Files, func(f file) bool { return f.Role == roleBase })
	if i < 0 {
		return file{}, "", fmt.Errorf("%w: the memory of %s", ErrGone, base)
	}
	_, err = man.Files[i].look(dir)
	return man.Files[i], dir, err
}

// differ writes the memory file as the difference of raw from the memory of base.
func (d *Draft) differ(ctx context.Context, base ID, raw string) error {
	plain, err := d.s.plainMemory(ctx, base)
	if err != nil {
		return err
	}
	defer d.s.plains.give(plain)
	target, err := os.Open(raw)
	if err != nil {
		return err
	}
	defer target.Close()
	r, w := io.Pipe()
	go func() { w.CloseWithError(delta.Encode(ctx, w, plain.reader(), target)) }()
	err = d.pack(ctx, r)
	return errors.Join(err, r.Close()) // which ends the goroutine if it still writes
}

// scratchPrefix starts the names of scratch files, which have one for a moment.
const scratchPrefix = ".scratch-"

// scratch is a file in dir that goes when it is closed, whatever happens to this process.
func scratch(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, scratchPrefix) // mode 0600
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Memory is the memory as it was frozen. It is checked before it is returned: after ErrDamaged the checkpoint has been
// dropped and the lease is closed. It needs room for the uncompressed memory of the base among the checkpoints, and in dir for
// the difference from it, in files that have no name.
func (l *Lease) Memory(ctx context.Context, dir string) (io.ReadCloser, error) {
	i := slices.IndexFunc(l.files.Files, func(f file) bool { return f.Name == memoryFile })
	if i < 0 {
		return nil, fmt.Errorf("checkpoint %s has no memory", l.ID)
	}
	r, err := l.memory(ctx, l.files.Files[i], dir)
	if errors.Is(err, ErrDamaged) {
		err = errors.Join(err, l.Close(ctx))
	}
	return r, err
}

func (l *Lease) memory(ctx context.Context, f file, dir string) (io.ReadCloser, error) {
	base := l.files.Meta.MemoryBase
	if base == "" {
		plain, err := l.s.plainMemory(ctx, l.ID)
		if err != nil {
			return nil, l.s.discard(ctx, l.ID, err)
		}
		return &borrowed{Reader: plain.reader(), give: func() error { return l.s.plains.give(plain) }}, nil
	}
	plain, err := l.s.plainMemory(ctx, base)
	if err != nil {
		return nil, l.s.discard(ctx, base, err)
	}
	steps, err := f.plain(ctx, l.Dir, dir)
	if err != nil {
		return nil, errors.Join(l.s.discard(ctx, l.ID, err), l.s.plains.give(plain))
	}
	return follow(ctx, plain.f, steps, func() error { return l.s.plains.give(plain) }), nil
}

// plain decompresses a file of from into one in dir that goes when it is closed.
func (f file) plain(ctx context.Context, from, dir string) (*os.File, error) {
	out, err := scratch(dir)
	if err != nil {
		return nil, err
	}
	if err := f.unpack(ctx, from, out); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

// followed is the memory that a base and the steps from it make, while it is made.
type followed struct {
	*io.PipeReader
	done chan struct{}
}

// follow takes the steps over, and gives the base back when it is done.
func follow(ctx context.Context, base io.ReaderAt, steps *os.File, give func() error) io.ReadCloser {
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := delta.Decode(ctx, w, base, steps)
		w.CloseWithError(errors.Join(err, give(), steps.Close()))
	}()
	return followed{r, done}
}

// Close ends the making and waits for that.
func (f followed) Close() error {
	err := f.PipeReader.Close()
	<-f.done
	return err
}

// unpack decompresses a file of dir, and checks it on the way.
func (f file) unpack(ctx context.Context, dir string, out *os.File) error {
	if _, err := f.look(dir); err != nil {
		return err
	}
	src, err := os.Open(filepath.Join(dir, f.Name))
	if err != nil {
		return err
	}
	defer src.Close()
	h := sha256.New()
	err = zseek.Decompress(ctx, out, src, f.Size, h, cores())
	if errors.Is(err, zseek.ErrCorrupt) {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, src.Name(), err)
	}
	if have := hex.EncodeToString(h.Sum(nil)); err == nil && have != f.SHA256 {
		return fmt.Errorf("%w: %s has the sha256 %s instead of %s", ErrDamaged, src.Name(), have, f.SHA256)
	}
	return err
}
