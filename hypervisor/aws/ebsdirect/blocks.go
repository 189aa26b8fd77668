package ebsdirect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// block is a piece of the disk on its way, in a buffer that is used again.
type block struct {
	index int64
	order int64 // among the blocks that hold something
	data  []byte
}

// zeros is what a block that is not sent consists of.
var zeros = make([]byte, BlockSize)

// send reads the disk, sends what is not there yet, and returns the checksum of all blocks.
func (w *writer) send(ctx context.Context) ([]byte, error) {
	total, err := w.filled()
	if err != nil {
		return nil, err
	}
	s := sender{writer: w, gate: newGate(w.Parallel), total: total, sums: newLinear(), work: make(chan block), buffers: make(chan []byte, w.Parallel)}
	for range w.Parallel {
		s.buffers <- nil // made when it is needed: a small disk needs few
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(s.work)
		return s.read(ctx)
	})
	for range w.Parallel {
		g.Go(func() error { return s.sendAll(ctx) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	w.made.Blocks = s.sums.next
	return s.sums.sum(), nil
}

// filled counts the bytes of the blocks that are not holes.
func (w *writer) filled() (total int64, err error) {
	err = eachBlock(w.file, w.size, func(int64) error { total += BlockSize; return nil })
	return total, err
}

// eachBlock calls do for each block of a file that is not a hole from end to end.
func eachBlock(f *os.File, size int64, do func(index int64) error) error {
	next := int64(0)
	return fsx.EachExtent(f, size, func(e fsx.Extent) error {
		if e.Hole {
			return nil
		}
		for i := max(next, e.Start/BlockSize); i*BlockSize < e.End; i++ {
			if err := do(i); err != nil {
				return err
			}
			next = i + 1
		}
		return nil
	})
}

// sender is the sending of one disk.
type sender struct {
	*writer
	gate    *gate
	total   int64
	sums    *linear
	work    chan block
	buffers chan []byte

	mu   sync.Mutex
	done int64
}

// read hands out the blocks that hold something.
func (s *sender) read(ctx context.Context) error {
	order := int64(0)
	return eachBlock(s.file, s.size, func(i int64) error {
		data, err := s.buffer(ctx)
		if err != nil {
			return err
		}
		n, err := s.file.ReadAt(data, i*BlockSize)
		if err != nil && err != io.EOF {
			return err
		}
		clear(data[n:]) // after the end of a disk that is no whole number of blocks
		if bytes.Equal(data, zeros) {
			s.buffers <- data
			if s.journal.has(i) {
				return ErrChanged
			}
			s.advance()
			return nil
		}
		select {
		case s.work <- block{i, order, data}:
			order++
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

func (s *sender) buffer(ctx context.Context) ([]byte, error) {
	select {
	case b := <-s.buffers:
		if b == nil {
			b = make([]byte, BlockSize)
		}
		return b, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *sender) advance() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done += BlockSize
	if s.Progress != nil {
		s.Progress(s.done, s.total)
	}
}

// sendAll sends blocks until there are no more.
func (s *sender) sendAll(ctx context.Context) error {
	for b := range s.work {
		sum := sha256.Sum256(b.data)
		s.sums.add(b.order, sum)
		if !s.journal.has(b.index) {
			if err := s.put(ctx, b, sum); err != nil {
				return fmt.Errorf("block %d: %w", b.index, err)
			}
			if err := s.journal.sent(b.index); err != nil {
				return err
			}
		}
		s.buffers <- b.data
		s.advance()
	}
	return nil
}

// put sends one block, and sees that it has arrived.
func (s *sender) put(ctx context.Context, b block, sum [sha256.Size]byte) error {
	encoded := base64.StdEncoding.EncodeToString(sum[:])
	err := s.again(ctx, s.gate, func() error {
		s.count(0, BlockSize)
		out, err := s.region.EBS.PutSnapshotBlock(ctx, &ebs.PutSnapshotBlockInput{
			SnapshotId: &s.made.ID, BlockIndex: aws.Int32(int32(b.index)), BlockData: bytes.NewReader(b.data), DataLength: aws.Int32(BlockSize),
			Checksum: &encoded, ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256,
		})
		if err == nil && out.Checksum != nil && *out.Checksum != encoded {
			return errTransit
		}
		return err
	})
	if err == nil {
		s.count(1, 0)
	}
	return err
}

func (s *sender) count(blocks, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made.Sent += blocks
	s.made.SentBytes += size
}

// linear is the checksum over the checksums of blocks in their order, which are known in another. It keeps those that came too early:
// as many as are on their way.
type linear struct {
	mu    sync.Mutex
	hash  hash.Hash
	next  int64
	early map[int64][sha256.Size]byte
}

func newLinear() *linear {
	return &linear{hash: sha256.New(), early: map[int64][sha256.Size]byte{}}
}

func (l *linear) add(order int64, sum [sha256.Size]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.early[order] = sum
	for {
		sum, ok := l.early[l.next]
		if !ok {
			return
		}
		l.hash.Write(sum[:])
		delete(l.early, l.next)
		l.next++
	}
}

func (l *linear) sum() []byte { return l.hash.Sum(nil) }
