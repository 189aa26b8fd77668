package lines_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/lines"
)

type record []string

func (r *record) Write(p []byte) (int, error) {
	*r = append(*r, string(p))
	return len(p), nil
}

func TestWholeLines(t *testing.T) {
	t.Parallel()
	var got record
	out, errOut := lines.Pair(&got)
	for _, step := range []struct {
		w    *lines.Writer
		text string
	}{{out, "one\ntw"}, {errOut, "err"}, {out, "o\r\n\n"}, {errOut, "or\n"}, {out, "last"}, {errOut, strings.Repeat("x", 64<<10)}} {
		if n, err := step.w.Write([]byte(step.text)); n != len(step.text) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := lines.Close(out, errOut); err != nil {
		t.Fatal(err)
	}
	want := record{"one\n", "two\n", "\n", "error\n", strings.Repeat("x", 64<<10) + "\n", "last\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
