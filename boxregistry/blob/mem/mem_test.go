package mem_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/blobtest"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store { return &mem.Store{} })
}

func TestFullStoreGivesSpaceBack(t *testing.T) {
	t.Parallel()
	s := &mem.Store{Capacity: 10}
	for range 3 { // each failed attempt must give its bytes back, or the last copy would not fit
		if _, err := blob.Copy(t.Context(), s, strings.NewReader("eleven byte"), ""); !errors.Is(err, blob.ErrNoSpace) {
			t.Fatalf("got %v, want ErrNoSpace", err)
		}
	}
	if _, err := blob.Copy(t.Context(), s, strings.NewReader("ten bytes!"), ""); err != nil {
		t.Fatal(err)
	}
}
