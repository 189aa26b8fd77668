package localshell_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/localshell"
	"github.com/boxkiln/boxkiln/internal/schema"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestArgsCanBeDescribed(t *testing.T) {
	t.Parallel()
	for _, a := range schema.New("shell-local", "", localshell.Args{}).Args {
		if a.Guest == "" || a.Doc == "" {
			t.Errorf("%s has no doc or does not say whether it reaches the guest", a.Name)
		}
	}
}

// render knows {{.X}} and {{build}}.
func render(text string, data map[string]string) (string, error) {
	for key, value := range data {
		text = strings.ReplaceAll(text, "{{."+key+"}}", value)
	}
	return strings.ReplaceAll(text, "{{build}}", "built"), nil
}

func run(ctx context.Context, t *testing.T, args localshell.Args) (string, error) {
	t.Helper()
	if err := args.Validate(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r := localshell.Runner{Dir: t.TempDir(), Vars: map[string]string{"PACKER_BUILD_NAME": "debian"}, Out: &out, Render: render}
	err := r.Run(ctx, args)
	return out.String(), err
}

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hello := filepath.Join(dir, "hello.sh")
	if err := os.WriteFile(hello, []byte("#!/bin/sh\necho \"hello $WHO\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type args = localshell.Args
	type scripts = localshell.ScriptArgs
	type env = localshell.EnvironmentArgs
	for name, tc := range map[string]struct {
		args args
		want string
	}{
		"inline":   {args{ScriptArgs: scripts{Inline: []string{"echo $PACKER_BUILD_NAME", "echo {{build}} >&2"}}}, "Running local shell script: inline\ndebian\nbuilt\n"},
		"command":  {args{ScriptArgs: scripts{Command: "echo one"}}, "Running local shell script: inline\none\n"},
		"scripts":  {args{ScriptArgs: scripts{Scripts: []string{hello, hello}}, EnvironmentArgs: env{EnvironmentVars: []string{"WHO=it's {{build}}"}}}, strings.Repeat("Running local shell script: "+hello+"\nhello it's built\n", 2)},
		"env wins": {args{ScriptArgs: scripts{Script: hello}, EnvironmentArgs: env{EnvironmentVars: []string{"WHO=a"}, Env: map[string]string{"WHO": "b"}}}, "Running local shell script: " + hello + "\nhello b\n"},
		"own command": {args{ScriptArgs: scripts{Inline: []string{"echo $A"}, ExecuteCommand: []string{"sh", "-c", "{{.Vars}} sh {{.Script}}; exit 7"}, ValidExitCodes: []int{7}},
			EnvironmentArgs: env{EnvironmentVars: []string{"A=b"}, EnvVarFormat: "export %s=%s;"}}, "Running local shell script: inline\nb\n"},
		"extension":  {args{ScriptArgs: scripts{Inline: []string{`basename "$0"`}, TempfileExtension: ".xyz"}}, "Running local shell script: inline\ninline.xyz\n"},
		"shebang":    {args{ScriptArgs: scripts{Inline: []string{"false", "echo on"}, InlineShebang: "/bin/sh"}}, "Running local shell script: inline\non\n"},
		"other host": {args{ScriptArgs: scripts{Inline: []string{"false"}, OnlyOn: []string{"solaris"}}}, "Skipping shell-local: only_on does not name linux\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := run(t.Context(), t, tc.args)
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	_, err := run(t.Context(), t, localshell.Args{ScriptArgs: localshell.ScriptArgs{Inline: []string{"exit 3"}}})
	var status *localshell.StatusError
	if !errors.As(err, &status) || status.Status != 3 {
		t.Errorf("got %v, want status 3", err)
	}
	_, err = run(t.Context(), t, localshell.Args{ScriptArgs: localshell.ScriptArgs{Script: "/nonexistent/x.sh"}})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	_, err = run(t.Context(), t, localshell.Args{ScriptArgs: localshell.ScriptArgs{Inline: []string{"x"}, ExecuteCommand: []string{"/nonexistent/interpreter"}}})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestCancelKillsTheGroup has a script and what it left in the background hold a pipe open, which ends when both have.
func TestCancelKillsTheGroup(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		f, err := os.Open(pipe)
		if err == nil {
			_, err = f.Read(make([]byte, 1)) // the script is that far
			cancel(errors.New("stopped"))
			_, copyErr := io.Copy(io.Discard, f)
			err = errors.Join(err, copyErr, f.Close())
		}
		ended <- err
	}()
	_, err := run(ctx, t, localshell.Args{ScriptArgs: localshell.ScriptArgs{Inline: []string{"exec 3> " + pipe, "sleep 1000 & echo up >&3", "sleep 1000"}}})
	if err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("got %v", err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("something of the script still runs")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"inline":["x"]}`:                     "",
		`{}`:                                   "nothing to run",
		`{"inline":["x"],"script":"y"}`:        "exclude",
		`{"inline":["x"],"only_on":["plan9"]}`: `"plan9"`,
		`{"inline":["x"],"environment_vars":["=1"]}`: "KEY=value",
		`{"inlin":["x"]}`: "inlin",
	} {
		if err := localshell.Check(json.RawMessage(raw)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	inputs, err := localshell.Inputs(json.RawMessage(`{"script":"a"}`))
	if diff := cmp.Diff([]string{"a"}, inputs); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
