package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/provisioners"
)

// answer is a guest that answers every command with one text, and status and error.
type answer struct {
	text string
	exit int
	err  error
	hang bool // answers only when nobody waits any more
}

func (a answer) Run(ctx context.Context, c provisioners.Command) (int, error) {
	script, err := io.ReadAll(c.Stdin)
	if err != nil || string(script) != sbom.Script {
		return 0, fmt.Errorf("not the script: %q, %v", script, err)
	}
	if a.hang {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}
	_, err = io.WriteString(c.Stdout, a.text)
	return a.exit, errors.Join(err, a.err)
}

func (answer) Put(context.Context, string, fs.FileMode, io.Reader) error {
	return errors.ErrUnsupported
}
func (answer) Get(context.Context, string, io.Writer) error { return errors.ErrUnsupported }
func (answer) Close() error                                 { return nil }

// told keeps what a build tells its user.
type told struct{ lines []string }

func (t *told) Emit(e build.Event) { t.lines = append(t.lines, e.Text) }

func (t *told) has(text string) bool { return strings.Contains(strings.Join(t.lines, "\n"), text) }

func sessionWith(g provisioners.Guest) (*build.Session, *told) {
	log := &told{}
	return &build.Session{Build: "b1", Attempt: 1, Plan: &build.Plan{}, Guest: g, Debug: slog.New(slog.DiscardHandler),
		Log: build.Log{Sink: log, Now: time.Now}}, log
}

const report = "boxkiln-packages pacman\nID=arch\nboxkiln-list\nbash 5.2.026-2\nboxkiln-end 0\n"

func TestRecordPackages(t *testing.T) {
	t.Parallel()
	s, log := sessionWith(answer{text: report})
	if err := (&Set{}).recordPackages(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	inv, err := sbom.Decode(s.Packages)
	if err != nil || len(inv.Packages) != 1 || inv.System.ID != "arch" || !log.has("1 packages are installed (arch)") {
		t.Errorf("%+v, %v, told %q", inv, err, log.lines)
	}
}

// A guest that cannot tell what is installed does not fail the build, whatever it does.
func TestRecordPackagesNeverFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		guest answer
		says  string
	}{
		"no shell":     {answer{text: "", exit: 127}, "status 127"},
		"Windows":      {answer{text: "'/bin/sh' is not recognized", exit: 1}, "not a whole list"},
		"no manager":   {answer{text: "boxkiln-packages none\nboxkiln-list\nboxkiln-end 0\n"}, "no package manager that is known"},
		"cut off":      {answer{text: report[:60], err: provisioners.ErrDisconnected}, "closed the connection"},
		"broken list":  {answer{text: strings.Replace(report, "bash ", "bash", 1)}, "line 2"},
		"broken tool":  {answer{text: strings.Replace(report, "end 0", "end 1", 1)}, "status"},
		"without end":  {answer{text: report + strings.Repeat("x", maxReport)}, "longer than 8 MiB"},
		"binary noise": {answer{text: "boxkiln-packages dpkg\nboxkiln-list\nii\tx\x00\xff\ty\tz\nboxkiln-end 0\n"}, "without blanks"},
	} {
		s, log := sessionWith(c.guest)
		if err := (&Set{}).recordPackages(t.Context(), s); err != nil || s.Packages != nil || !log.has(c.says) || !log.has("is not recorded") {
			t.Errorf("%s: %v, %d bytes recorded, told %q", name, err, len(s.Packages), log.lines)
		}
	}
}

func TestRecordPackagesOfAGuestThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, log := sessionWith(answer{hang: true})
		if err := (&Set{}).recordPackages(t.Context(), s); err != nil || !log.has("within 2m0s") {
			t.Errorf("%v, told %q", err, log.lines)
		}
		gone := errors.New("the machine is gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if err := (&Set{}).recordPackages(ctx, s); !errors.Is(err, gone) {
			t.Errorf("after the end of the build: %v", err)
		}
	})
}

// The list lies with the artifact under its own name, and an artifact of before there were lists has none.
func TestKeptPackages(t *testing.T) {
	t.Parallel()
	s, _ := sessionWith(nil)
	dir := t.TempDir()
	if err := keepPackages(s, dir); err != nil {
		t.Fatal(err)
	}
	if data, err := keptPackages(dir); data != nil || err != nil {
		t.Errorf("of nothing: %q, %v", data, err)
	}
	s.Packages = []byte("{}")
	if err := keepPackages(s, dir); err != nil {
		t.Fatal(err)
	}
	if data, err := keptPackages(dir); string(data) != "{}" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "a", sbom.FileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := keptPackages(filepath.Join(dir, "a")); err == nil {
		t.Error("a directory is taken for the list")
	}
}
