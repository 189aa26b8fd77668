package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// solo writes a template with one source and returns its path. args are arguments of the source, as HCL expressions, over
// those that make a quick build; an empty one takes an argument away. body is what the build block holds besides.
func (b *bench) solo(args map[string]string, body string) string {
	b.t.Helper()
	installer, err := filepath.Abs(pairTemplate + "/installer.iso")
	if err != nil {
		b.t.Fatal(err)
	}
	all := map[string]string{
		"iso_url": literal(installer), "iso_checksum": `"none"`, "boot_wait": `"-1s"`, "ssh_username": `"root"`,
		"shutdown_command": `"poweroff"`, "output_directory": literal(b.path("out")), "disk_size": "1",
	}
	maps.Copy(all, args)
	var text strings.Builder
	text.WriteString("source \"fake\" \"solo\" {\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] != "" {
			fmt.Fprintf(&text, "  %s = %s\n", name, all[name])
		}
	}
	fmt.Fprintf(&text, "}\n\nbuild {\n  sources = [\"source.fake.solo\"]\n%s}\n", body)
	return b.write("solo.pkr.hcl", text.String())
}

func literal(s string) string { return fmt.Sprintf("%q", s) }

// inline is a shell provisioner.
func inline(commands ...string) string {
	for i, c := range commands {
		commands[i] = literal(c)
	}
	return "  provisioner \"shell\" {\n    inline = [" + strings.Join(commands, ", ") + "]\n  }\n"
}

// barrier is a pipe at which a guest waits. When the test ends there is none: a guest that outlived its daemon goes on.
func (b *bench) barrier(name string) string {
	b.t.Helper()
	path := b.path(name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		b.lift(path)
		if err := os.Remove(path); err != nil { // for guests that have not come to it yet
			b.t.Error(err)
		}
	})
	return path
}

// lift lets a guest that waits at a barrier go on.
func (b *bench) lift(path string) {
	b.t.Helper()
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		b.t.Error(err)
		return
	}
	if _, err := syscall.Write(fd, []byte("go\n")); err != nil {
		b.t.Error(err)
	}
	b.t.Cleanup(func() { _ = syscall.Close(fd) }) // what is written is lost if nobody has the pipe open
}
