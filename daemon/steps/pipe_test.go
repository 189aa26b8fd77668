package steps

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestThroughPipe(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("memory ", 1<<20)
	broken, refused := errors.New("input/output error"), errors.New("no")
	for name, test := range map[string]struct {
		from io.Reader
		use  func(path string) error
		want []error // that the error is; none for success
	}{
		"read": {strings.NewReader(text), func(path string) error {
			got, err := os.ReadFile(path)
			if string(got) != text {
				t.Errorf("%d bytes came of %d", len(got), len(text))
			}
			return err
		}, nil},
		"read in part": {strings.NewReader(text), func(path string) error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.ReadFull(f, make([]byte, 10))
			return err
		}, nil},
		"never read": {strings.NewReader(text), func(string) error { return nil }, nil},
		"refused":    {strings.NewReader(text), func(string) error { return refused }, []error{refused}},
		"ends in an error": {io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), func(path string) error {
			if _, err := os.ReadFile(path); err != nil {
				return err
			}
			return refused // of what came too short
		}, []error{broken, refused}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "memory")
			err := throughPipe(t.Context(), path, io.NopCloser(test.from), func() error { return test.use(path) })
			if err != nil && len(test.want) == 0 {
				t.Error(err)
			}
			for _, want := range test.want {
				if !errors.Is(err, want) {
					t.Errorf("%v is not %v", err, want)
				}
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the pipe is left: %v", err)
			}
		})
	}
}

// Whoever is stopped while it reads is let go.
func TestThroughPipeIsCancelled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "memory")
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	endless, w := io.Pipe()
	defer w.Close()
	err := throughPipe(ctx, path, endless, func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		cancel(stopped)
		return context.Cause(ctx)
	})
	if !errors.Is(err, stopped) {
		t.Error(err)
	}
}
