package sshguest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/boxkiln/boxkiln/internal/shellquote"
	"github.com/boxkiln/boxkiln/provisioners"
)

// shellFiles moves files with nothing but the guest's shell, cat, chmod and, for directories, tar.
type shellFiles struct{ g *Guest }

// statusMissing is the exit status of our own scripts for a file that does not exist.
const statusMissing = 44

func (f shellFiles) close() {}

// script runs a command that must end well. Its error holds the last line that it wrote to its error output.
func (f shellFiles) script(ctx context.Context, verb, name, line string, in io.Reader, out io.Writer) error {
	var complaint tail
	status, err := f.g.run(ctx, provisioners.Command{Line: line, Stdin: in, Stdout: out, Stderr: &complaint})
	switch {
	case err != nil:
		return fmt.Errorf("%s %q: %w", verb, name, err)
	case status == statusMissing:
		return fmt.Errorf("%s %q: %w", verb, name, fs.ErrNotExist)
	case status != 0:
		return fmt.Errorf("%s %q: %s (exit status %d)", verb, name, complaint.line(), status)
	}
	return nil
}

func (f shellFiles) put(ctx context.Context, dst string, mode fs.FileMode, src io.Reader) error {
	file := shellquote.Quote(local(dst))
	// The mode is set before the content, which may be a secret, and after the file was opened, since it may forbid that.
	write := fmt.Sprintf("{ chmod %04o %[2]s && cat; } > %[2]s", mode, file)
	line := fmt.Sprintf("if [ -e %[1]s ]; then %[2]s; else umask 077; %[2]s || { s=$?; rm -f %[1]s; exit $s; }; fi", file, write)
	return f.script(ctx, "put", dst, line, src, nil)
}

func (f shellFiles) get(ctx context.Context, src string, dst io.Writer) error {
	file := shellquote.Quote(local(src))
	line := fmt.Sprintf("if [ -e %[1]s ]; then exec cat %[1]s; fi; exit %[2]d", file, statusMissing)
	return f.script(ctx, "get", src, line, nil, dst)
}

// local keeps a path that starts with a dash from being taken for an option.
func local(p string) string {
	if strings.HasPrefix(p, "-") {
		return "./" + p
	}
	return p
}

func (f shellFiles) putDir(ctx context.Context, dst string, src fs.FS) error {
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(writeTar(w, src)) }()
	dir := shellquote.Quote(local(dst))
	// -o: the files belong to the user of the login, as they do with SFTP.
	line := fmt.Sprintf("mkdir -p %[1]s && tar -x -o -p -f - -C %[1]s", dir)
	return f.script(ctx, "put directory", dst, line, r, nil)
}

func writeTar(w io.Writer, src fs.FS) error {
	t := tar.NewWriter(w)
	err := walk(src, func(name string, info fs.FileInfo) error {
		if info.IsDir() {
			if name == "." {
				return nil
			}
			return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
		}
		file, err := src.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size()}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err = io.Copy(t, file)
		return err
	})
	return errors.Join(err, t.Close())
}

func (f shellFiles) getDir(ctx context.Context, src string, create createFunc) error {
	in := unpacker{create: create, prefix: path.Base(src)}
	if strings.HasSuffix(src, "/") {
		in.prefix = ""
	}
	r, w := io.Pipe()
	read := make(chan error, 1)
	go func() {
		err := in.read(r)
		if err == nil {
			_, err = io.Copy(io.Discard, r) // tar pads its output
		}
		r.CloseWithError(err)
		read <- err
	}()
	dir := shellquote.Quote(local(src))
	line := fmt.Sprintf("if [ -d %[1]s ]; then exec tar -c -h -f - -C %[1]s .; fi; exit %[2]d", dir, statusMissing)
	err := f.script(ctx, "get directory", src, line, nil, w)
	_ = w.CloseWithError(err)
	if readErr := <-read; err == nil {
		err = readErr
	}
	if err != nil {
		return err
	}
	return f.getLinked(ctx, src, in)
}

// getLinked fetches the files that tar only named, as further links to ones that it had sent.
func (f shellFiles) getLinked(ctx context.Context, src string, in unpacker) error {
	for _, link := range in.linked {
		w, err := in.make(link)
		if err != nil {
			return err
		}
		if err := errors.Join(f.get(ctx, path.Join(src, link.Name), w), w.Close()); err != nil {
			return err
		}
	}
	return nil
}

// unpacker makes files of an archive that the guest sends. It does not trust the guest: names that lead out of the
// directory are refused.
type unpacker struct {
	create createFunc
	prefix string
	linked []*tar.Header
}

func (u *unpacker) read(r io.Reader) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeLink:
			u.linked = append(u.linked, h)
		case tar.TypeReg:
			w, err := u.make(h)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, t)
			if err := errors.Join(err, w.Close()); err != nil {
				return err
			}
		}
	}
}

func (u *unpacker) make(h *tar.Header) (io.WriteCloser, error) {
	name := path.Clean(h.Name)
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("the guest sent a file named %q, which leads out of the directory", h.Name)
	}
	return u.create(path.Join(u.prefix, name), fs.FileMode(h.Mode).Perm())
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

// Write keeps the last kilobyte.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - 1024; over > 0 {
		t.b = t.b[over:]
	}
	return len(p), nil
}

func (t *tail) line() string {
	text := bytes.TrimSpace(t.b)
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	if len(text) == 0 {
		return "the guest's shell could not do it"
	}
	return printable(string(text))
}
