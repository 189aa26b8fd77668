package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/internal/layout"
)

const someToken = "bxk_0123456789"

func TestFirstTokenIsReadOrLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, err := layout.Data(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := (&environment{stdout: w}).tellFirstToken(data, someToken); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(r); err != nil || !strings.Contains(string(said), someToken+"\n") {
		t.Errorf("a reader gets %q, %v", said, err)
	}
	if _, err := os.Stat(data.FirstToken()); err == nil {
		t.Error("it was left in a file too")
	}

	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := (&environment{stdout: log}).tellFirstToken(data, someToken); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(log.Name())
	if err != nil || strings.Contains(string(said), someToken) || !strings.Contains(string(said), data.FirstToken()) {
		t.Errorf("a log gets %q, %v", said, err)
	}
	left, err := os.ReadFile(data.FirstToken())
	if err != nil || string(left) != someToken+"\n" {
		t.Errorf("left is %q, %v", left, err)
	}
	if info, err := os.Stat(data.FirstToken()); err != nil || info.Mode().Perm() != layout.SecretMode {
		t.Errorf("%v, %v", info, err)
	}
}
