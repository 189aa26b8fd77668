package shell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/provisioners/guesttest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestArgsCanBeDescribed(t *testing.T) {
	t.Parallel()
	b := schema.New("shell", "", Args{})
	for _, a := range b.Args {
		if a.Guest == "" || a.Doc == "" {
			t.Errorf("%s has no doc or does not say whether it reaches the guest", a.Name)
		}
	}
	if len(b.Args) != 18 {
		t.Errorf("%d arguments: %v", len(b.Args), b.Names())
	}
}

var vars = provisioners.Vars{BuildName: "debian", BuilderType: "qemu", HTTPIP: "10.0.2.2", HTTPPort: 8080, Host: "guest.example"}

// provision runs a provisioner on a local guest, in a folder of its own.
func provision(t *testing.T, g *guesttest.Local, files guesttest.Files, args Args) (string, error) {
	t.Helper()
	if args.RemoteFolder == "" {
		args.RemoteFolder = t.TempDir()
	}
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	made, err := New(raw, guesttest.Env(files, nil, vars))
	if err != nil {
		t.Fatal(err)
	}
	made.(*provisioner).pause = time.Millisecond
	var out bytes.Buffer
	err = made.Provision(t.Context(), g, &out)
	if left, _ := filepath.Glob(args.RemoteFolder + "/*"); err == nil && len(left) > 0 && !args.SkipClean {
		t.Errorf("left in the guest: %v", left)
	}
	_, rest, _ := strings.Cut(out.String(), "\n") // after "Provisioning with ..."
	return rest, err
}

func TestInline(t *testing.T) {
	t.Parallel()
	got, err := provision(t, &guesttest.Local{}, nil, Args{
		ScriptArgs:      ScriptArgs{Inline: []string{"echo $PACKER_BUILD_NAME $PACKER_BUILDER_TYPE $PACKER_HTTP_ADDR $PACKER_HTTP_IP $PACKER_HTTP_PORT", "echo {{ build `Host` }} \"$A\" \"$B\""}},
		EnvironmentArgs: EnvironmentArgs{EnvironmentVars: []string{"A=it's a = $HOME", "B=old"}, Env: map[string]string{"B": "{{ build `Host` }}"}},
	})
	want := "debian qemu 10.0.2.2:8080 10.0.2.2 8080\nguest.example it's a = $HOME guest.example\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
}

func TestInlineStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	got, err := provision(t, &guesttest.Local{}, nil, Args{ScriptArgs: ScriptArgs{Inline: []string{"echo one; (exit 3)", "echo two"}}})
	var exit *provisioners.ExitError
	if !errors.As(err, &exit) || exit.Status != 3 || got != "one\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	files := guesttest.Files{
		"a.sh":      {Data: []byte("#!/bin/sh\r\necho crlf\r\n")},
		"dir/b.sh":  {Data: []byte("#!/bin/sh\necho \"$0\"\n")},
		"binary.sh": {Data: []byte("#!/bin/sh\nprintf 'x\r\n' | wc -c\n")},
	}
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		args Args
		want string
	}{
		"several": {Args{ScriptArgs: ScriptArgs{Scripts: []string{"a.sh", "dir/b.sh"}}, RemoteArgs: RemoteArgs{RemotePath: dir + "/here.sh"}},
			"crlf\nProvisioning with shell script: dir/b.sh\n" + dir + "/here.sh\n"},
		"one":    {Args{ScriptArgs: ScriptArgs{Script: "a.sh"}}, "crlf\n"},
		"binary": {Args{ScriptArgs: ScriptArgs{Script: "binary.sh", Binary: true}}, "3\n"},
		"own command": {Args{ScriptArgs: ScriptArgs{Script: "a.sh", ExecuteCommand: "echo run; env {{ .Vars }} sh {{ .Path }}; exit 7", ValidExitCodes: []int{0, 7}}},
			"run\ncrlf\n"},
		"own format": {Args{ScriptArgs: ScriptArgs{Script: "a.sh", ExecuteCommand: "{{ .Vars }} echo $A"},
			EnvironmentArgs: EnvironmentArgs{EnvironmentVars: []string{"A=b"}, EnvVarFormat: "export %s=%s; "}}, "b\n"},
		"other shell": {Args{ScriptArgs: ScriptArgs{Inline: []string{"false", "echo on"}, InlineShebang: "/bin/sh"}}, "on\n"},
		"variable file": {Args{ScriptArgs: ScriptArgs{Inline: []string{`echo "$A $PACKER_BUILD_NAME"`}},
			EnvironmentArgs: EnvironmentArgs{EnvironmentVars: []string{"A=it's"}, UseEnvVarFile: true}}, "it's debian\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := provision(t, &guesttest.Local{}, files, tc.args)
			if err != nil || got != tc.want {
				t.Errorf("%v\n%s", err, cmp.Diff(tc.want, got))
			}
		})
	}
}

func TestVariableFileIsPrivateAndKeptWithSkipClean(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := provision(t, &guesttest.Local{}, nil, Args{
		ScriptArgs: ScriptArgs{Inline: []string{"true"}}, EnvironmentArgs: EnvironmentArgs{UseEnvVarFile: true}, RemoteArgs: RemoteArgs{RemoteFolder: dir, SkipClean: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(dir + "/*")
	if len(left) != 2 {
		t.Fatalf("left: %v", left)
	}
	for _, name := range left {
		info, err := os.Stat(name)
		if want := map[bool]fs.FileMode{true: 0o600, false: 0o755}[strings.Contains(name, "varfile_")]; err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestStartIsRetriedThroughAReboot(t *testing.T) {
	t.Parallel()
	failures := map[string]int{"put": 2, "run": 2}
	g := &guesttest.Local{Before: func(what, _ string) error {
		if failures[what] > 0 {
			failures[what]--
			return &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		}
		return nil
	}}
	got, err := provision(t, g, nil, Args{ScriptArgs: ScriptArgs{Inline: []string{"echo done"}}})
	if err != nil || !strings.HasSuffix(got, "done\n") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRetryLimits(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"time":      {down, "retried for start_retry_timeout"},
		"forbidden": {fs.ErrPermission, fs.ErrPermission.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &guesttest.Local{Before: func(string, string) error { return tc.err }}
			_, err := provision(t, g, nil, Args{ScriptArgs: ScriptArgs{Inline: []string{"true"}}, RemoteArgs: RemoteArgs{StartRetryTimeout: schema.Duration(20 * time.Millisecond)}})
			if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestDisconnects(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args   Args
		ok     bool
		reboot int
	}{
		"unexpected": {Args{}, false, 0},
		"expected":   {Args{RemoteArgs: RemoteArgs{ExpectDisconnect: true}}, true, 1},
		"valid code": {Args{ScriptArgs: ScriptArgs{ValidExitCodes: []int{0, 2300218}}}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &guesttest.Local{}
			g.Before = func(_, line string) error {
				if strings.HasPrefix(line, "chmod +x") {
					return provisioners.ErrDisconnected
				}
				return nil
			}
			tc.args.Inline = []string{"reboot"}
			_, err := provision(t, g, nil, tc.args)
			if (err == nil) != tc.ok || g.Reboots() != tc.reboot {
				t.Errorf("%v; %d reboots announced", err, g.Reboots())
			}
			if !tc.ok && (!errors.Is(err, provisioners.ErrDisconnected) || !strings.Contains(err.Error(), "expect_disconnect")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCancellation(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	raw, _ := json.Marshal(Args{ScriptArgs: ScriptArgs{Inline: []string{"true"}}, RemoteArgs: RemoteArgs{RemoteFolder: t.TempDir(), PauseAfter: schema.Duration(time.Hour)}})
	p, err := New(raw, guesttest.Env(nil, nil, vars))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Provision(ctx, &guesttest.Local{}, cancelAt{"Pausing", cancel, stop}); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

// cancelAt cancels when a text is written.
type cancelAt struct {
	text   string
	cancel context.CancelCauseFunc
	cause  error
}

func (c cancelAt) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.cancel(c.cause)
	}
	return len(p), nil
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"inline":["true"]}`:              "",
		`{"script":"a"}`:                   "",
		`{}`:                               "nothing to run",
		`{"script":"a","scripts":["b"]}`:   "use one of them",
		`{"inline":["x"],"scripts":["b"]}`: "use one of them",
		`{"inline":["x"],"environment_vars":["secret"]}`:          "KEY=value",
		`{"inline":["x"],"env_var_format":"%s"}`:                  "env_var_format",
		`{"inline":["x"],"env":{"":"a"}}`:                         "env",
		`{"inline":["x"],"inlin":1}`:                              "inlin",
		`{"inline":["x"],"start_retry_timeout":"-1s"}`:            "start_retry_timeout",
		`{"environment_vars":["secret"],"env_var_format":"none"}`: "nothing to run",
	} {
		err := Check(json.RawMessage(raw))
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: got %v, want %q", raw, err, want)
		}
	}
	inputs, err := Inputs(json.RawMessage(`{"scripts":["a","b"]}`))
	if diff := cmp.Diff([]string{"a", "b"}, inputs); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestMissingScript(t *testing.T) {
	t.Parallel()
	_, err := provision(t, &guesttest.Local{}, guesttest.Files{}, Args{ScriptArgs: ScriptArgs{Script: "none.sh"}})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.sh") {
		t.Errorf("got %v", err)
	}
}
