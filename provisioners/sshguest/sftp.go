package sshguest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// sftpFiles moves files over one SFTP session.
type sftpFiles struct {
	client *sftp.Client
	stop   func() bool
	link   *link
}

// openSFTP returns nil if the server has no SFTP. A configured server whose program is missing accepts the request and
// then ends the session, which counts as none too.
func (l *link) openSFTP(ctx context.Context, s *ssh.Session) *sftpFiles {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	in, err1 := s.StdinPipe()
	out, err2 := s.StdoutPipe()
	if errors.Join(err1, err2) != nil || s.RequestSubsystem("sftp") != nil {
		stop()
		return nil
	}
	client, err := sftp.NewClientPipe(out, in, sftp.UseConcurrentWrites(true))
	if err != nil {
		stop()
		return nil
	}
	return &sftpFiles{client: client, stop: stop, link: l}
}

func (f *sftpFiles) close() {
	f.stop()
	_ = f.client.Close()
}

// failed names the file, and marks the loss of the connection.
func (f *sftpFiles) failed(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sftp.ErrSSHFxConnectionLost) || f.link.dead() {
		err = f.link.lost(err)
	}
	return fmt.Errorf("%s %q: %w", verb, name, err)
}

func (f *sftpFiles) put(_ context.Context, dst string, mode fs.FileMode, src io.Reader) error {
	info, err := f.client.Stat(dst)
	if err == nil && info.IsDir() {
		return fmt.Errorf("put %q: it is a directory; name the file in it", dst)
	}
	existed := err == nil
	file, err := f.client.Create(dst)
	if err != nil {
		return f.failed("put", dst, err)
	}
	err = fill(file, mode, src, existed && info.Mode().Perm() == mode)
	if err != nil && !existed {
		_ = f.client.Remove(dst)
	}
	return f.failed("put", dst, err)
}

// fill sets the mode before the content, which may be a secret.
func fill(file *sftp.File, mode fs.FileMode, src io.Reader, hasMode bool) error {
	defer file.Close()
	if !hasMode {
		if err := file.Chmod(mode); err != nil {
			return fmt.Errorf("set its mode %v: %w", mode, err)
		}
	}
	if _, err := file.ReadFrom(src); err != nil {
		return err
	}
	return file.Close()
}

func (f *sftpFiles) get(_ context.Context, src string, dst io.Writer) error {
	file, err := f.client.Open(src)
	if err != nil {
		return f.failed("get", src, err)
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("get %q: it is a directory", src)
	}
	_, err = file.WriteTo(dst)
	return f.failed("get", src, err)
}

func (f *sftpFiles) putDir(ctx context.Context, dst string, src fs.FS) error {
	return walk(src, func(name string, info fs.FileInfo) error {
		to := path.Join(dst, name)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if info.IsDir() {
			return f.failed("make directory", to, f.client.MkdirAll(to))
		}
		file, err := src.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		return f.put(ctx, to, info.Mode().Perm(), file)
	})
}

func (f *sftpFiles) getDir(ctx context.Context, src string, create createFunc) error {
	prefix := path.Base(src)
	if strings.HasSuffix(src, "/") {
		prefix = ""
	}
	return f.getTree(ctx, src, prefix, create, 0)
}

// maxDepth ends what symbolic links have made a circle of.
const maxDepth = 64

func (f *sftpFiles) getTree(ctx context.Context, src, prefix string, create createFunc, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("get %q: more than %d directories deep; is there a circle of symbolic links?", src, maxDepth)
	}
	entries, err := f.client.ReadDirContext(ctx, src)
	if err != nil {
		return f.failed("get directory", src, err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "/") || !fs.ValidPath(e.Name()) {
			return fmt.Errorf("the guest sent a file named %q, which leads out of the directory", e.Name())
		}
		from, to := path.Join(src, e.Name()), path.Join(prefix, e.Name())
		info, err := f.client.Stat(from)
		switch {
		case err != nil:
			err = f.failed("get", from, err)
		case info.IsDir():
			err = f.getTree(ctx, from, to, create, depth+1)
		case info.Mode().IsRegular():
			err = f.getInto(ctx, from, to, info.Mode().Perm(), create)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *sftpFiles) getInto(ctx context.Context, from, to string, mode fs.FileMode, create createFunc) error {
	w, err := create(to, mode)
	if err != nil {
		return err
	}
	return errors.Join(f.get(ctx, from, w), w.Close())
}

// walk visits everything in a file system, directories before what is in them, following symbolic links. Sockets,
// devices and the like are left out.
func walk(src fs.FS, visit func(name string, info fs.FileInfo) error) error {
	return walkDir(src, ".", 0, visit)
}

func walkDir(src fs.FS, name string, depth int, visit func(string, fs.FileInfo) error) error {
	info, err := fs.Stat(src, name)
	switch {
	case err != nil:
		return err
	case depth > maxDepth:
		return fmt.Errorf("%q: more than %d directories deep; is there a circle of symbolic links?", name, maxDepth)
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil
	}
	if err := visit(name, info); err != nil || !info.IsDir() {
		return err
	}
	entries, err := fs.ReadDir(src, name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := walkDir(src, path.Join(name, e.Name()), depth+1, visit); err != nil {
			return err
		}
	}
	return nil
}
