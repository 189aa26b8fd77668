package leaktest

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { Main(m) }

// TestVerify has no other test beside it, whose goroutines it would see.
func TestVerify(t *testing.T) {
	ignore := []goleak.Option{goleak.IgnoreCurrent()}
	stay, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		<-stay
	}()
	var out bytes.Buffer
	if code := verify(&out, 0, ignore); code != 1 || !strings.Contains(out.String(), "TestVerify") {
		t.Errorf("a goroutine is left: %d, %q", code, out.String())
	}
	out.Reset()
	close(stay)
	<-gone
	if code := verify(&out, patience, ignore); code != 0 || out.Len() > 0 {
		t.Errorf("none is left: %d, %q", code, out.String())
	}
}
