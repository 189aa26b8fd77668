//go:build !nolibvirt

package libvirt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReachable(t *testing.T) {
	t.Parallel()
	base := openDir(t)
	locked := filepath.Join(base, "locked")
	inside := filepath.Join(locked, "inside")
	if err := os.MkdirAll(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(locked, 0o700); err != nil {
		t.Fatal(err)
	}
	stranger := account{uid: 64055, gid: 64055}
	if err := stranger.reachable(filepath.Join(base, "x")); err != nil {
		t.Errorf("an open folder: %v", err)
	}
	err := stranger.reachable(filepath.Join(inside, "x"))
	if err == nil || !strings.Contains(err.Error(), `chmod o+x "`+locked+`"`) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("a locked parent: %v", err)
	}
	if err := (account{uid: uint32(os.Getuid())}).reachable(filepath.Join(inside, "x")); err != nil {
		t.Errorf("the owner: %v", err)
	}
	if err := (account{uid: 64055, gid: uint32(os.Getgid())}).reachable(filepath.Join(inside, "x")); err == nil {
		t.Error("the group has no permission either")
	}
}

func TestOpenOwnDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "vm")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	stranger := account{uid: 64055, gid: 64055}
	if err := stranger.open(dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o701 {
		t.Errorf("mode %v, %v; want search for others and no more", info.Mode(), err)
	}
	file := filepath.Join(dir, "iso")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if stranger.reads(file) {
		t.Error("a private file can be read")
	}
	if err := stranger.open(file); err == nil {
		t.Error("a file is a directory")
	}
	if err := stranger.checkMedia([]string{file, file + "-gone"}); err == nil || !strings.Contains(err.Error(), "-gone") {
		t.Errorf("missing medium: %v", err)
	}
}
