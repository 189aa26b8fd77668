package zseek

import (
	"context"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// task is one frame on its way, in buffers that are used again.
type task struct {
	in, out []byte
	at      int64 // place in the original
	size    int   // of the original
	done    chan struct{}
}

// tasks returns a channel with so many free tasks: what bounds the memory.
func tasks(n int) chan *task {
	free := make(chan *task, n)
	for range n {
		free <- &task{done: make(chan struct{}, 1)}
	}
	return free
}

// Compress writes src to dst on so many cores. It holds a few frames in memory. On an error what was written is no file of
// the format.
func Compress(ctx context.Context, dst io.Writer, src io.Reader, cores int) error {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(FrameSize),
		zstd.WithEncoderConcurrency(cores), zstd.WithEncoderCRC(true))
	if err != nil {
		return err
	}
	defer enc.Close()
	free := tasks(2 * cores)
	work, order := make(chan *task, 2*cores), make(chan *task, 2*cores)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(work)
		defer close(order)
		return cut(ctx, src, free, work, order)
	})
	for range cores {
		g.Go(func() error {
			for t := range work {
				t.out = enc.EncodeAll(t.in, t.out[:0])
				t.done <- struct{}{}
			}
			return nil
		})
	}
	g.Go(func() error { return join(ctx, dst, free, order) })
	return g.Wait()
}

// take waits for a free task.
func take(ctx context.Context, free <-chan *task) (*task, error) {
	select {
	case t := <-free:
		return t, ctx.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// cut reads src frame by frame. Neither work nor order can be full: they have room for every task there is.
func cut(ctx context.Context, src io.Reader, free <-chan *task, work, order chan<- *task) error {
	for {
		t, err := take(ctx, free)
		if err != nil {
			return err
		}
		if t.in == nil {
			t.in = make([]byte, FrameSize)
		}
		n, err := io.ReadFull(src, t.in[:FrameSize])
		t.in = t.in[:n]
		if n > 0 {
			work <- t
			order <- t
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// join writes the frames in their order, and the table.
func join(ctx context.Context, dst io.Writer, free chan<- *task, order <-chan *task) error {
	var table []frame
	for t := range order {
		<-t.done // a worker has it, and nothing keeps a worker waiting
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := dst.Write(t.out); err != nil {
			return err
		}
		table = append(table, frame{uint32(len(t.out)), uint32(len(t.in))})
		free <- t
	}
	if err := ctx.Err(); err != nil {
		return err // the order ended early
	}
	_, err := dst.Write(appendTable(nil, table))
	return err
}
