package cloud

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// awscli is Debian's own, which belongs to the system's Python and to no other that may come first in PATH.
const awscli = "/usr/bin/aws"

func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	} else if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%v: test/setup/packages.sh test installs it", err)
	} else {
		t.Skip(err)
	}
}

// account is a cloud with one image of a small disk, and somebody who uses it by awscli.
type account struct {
	*testing.T
	cloud *Cloud
	url   string
	image string
	disk  string // four blocks, all used
	in    io.Writer
	out   *bufio.Scanner
}

func newAccount(t *testing.T, cfg Config) account {
	t.Helper()
	needTool(t, awscli)
	cfg.Dir, cfg.Pace = cmp.Or(cfg.Dir, t.TempDir()), cmp.Or(cfg.Pace, time.Millisecond)
	disk := filepath.Join(cfg.Dir, "disk.raw")
	if err := os.WriteFile(disk, bytes.Repeat([]byte("disk"), BlockSize), 0o600); err != nil {
		t.Fatal(err)
	}
	c := New(cfg)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	image, err := c.AddImage(t.Context(), "us-east-1", "base", disk)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddBucket("us-east-1", "disks"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	a := account{T: t, cloud: c, url: s.URL, image: image, disk: disk}
	return a.as("test", "test", "")
}

// as is somebody with other keys. Awscli is started for them, and ends with the test.
func (a account) as(key, secret, session string) account {
	a.Helper()
	cmd := exec.CommandContext(a.Context(), "/usr/bin/python3", "testdata/many.py")
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_SESSION_TOKEN="+session, "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1", "AWS_CONFIG_FILE=/nonexistent", "AWS_EC2_METADATA_DISABLED=true")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		a.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		a.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // killed with the test
	})
	a.in, a.out = in, bufio.NewScanner(out)
	a.out.Buffer(nil, 1<<20)
	return a
}

// call runs awscli and returns what it prints and how it ends.
func (a account) call(args ...string) (out string, err error) {
	line, err := json.Marshal(append([]string{"--endpoint-url", a.url, "--region", "us-east-1", "--output", "text"}, args...))
	if err != nil {
		return "", err
	}
	if _, err := a.in.Write(append(line, '\n')); err != nil {
		return "", err
	}
	if !a.out.Scan() {
		return "", fmt.Errorf("awscli has ended: %w", a.out.Err())
	}
	var end struct {
		Code int
		Out  string
	}
	if err := json.Unmarshal(a.out.Bytes(), &end); err != nil {
		return "", err
	}
	if end.Code != 0 {
		err = fmt.Errorf("it ended with %d", end.Code)
	}
	return strings.TrimSpace(end.Out), err
}

// ok runs awscli to its good end.
func (a account) ok(args ...string) string {
	a.Helper()
	out, err := a.call(args...)
	if err != nil {
		a.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refused runs awscli to an error with a code.
func (a account) refused(code string, args ...string) {
	a.Helper()
	if out, err := a.call(args...); err == nil || !strings.Contains(out, "("+code+")") {
		a.Errorf("aws %s: %v, not %s:\n%s", strings.Join(args, " "), err, code, out)
	}
}

// until runs awscli until it prints something.
func (a account) until(want string, args ...string) {
	a.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		out, err := a.call(args...)
		switch {
		case err == nil && out == want:
			return
		case time.Now().After(deadline):
			a.Fatalf("aws %s: %v, not %s:\n%s", strings.Join(args, " "), err, want, out)
		}
	}
}
