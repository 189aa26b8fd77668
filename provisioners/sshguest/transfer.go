package sshguest

import (
	"context"
	"io"
	"io/fs"
)

// files is one way to move files.
type files interface {
	put(ctx context.Context, dst string, mode fs.FileMode, src io.Reader) error
	get(ctx context.Context, src string, dst io.Writer) error
	putDir(ctx context.Context, dst string, src fs.FS) error
	getDir(ctx context.Context, src string, create createFunc) error
	close()
}

// createFunc makes a file on this side, under a name relative to what was asked for.
type createFunc = func(name string, mode fs.FileMode) (io.WriteCloser, error)

// Put writes a file with a mode, replacing what is there; a symbolic link is followed. What a failed Put leaves is
// removed, unless the file was there before. The directory must exist.
func (g *Guest) Put(ctx context.Context, dst string, mode fs.FileMode, src io.Reader) error {
	return g.transfer(ctx, func(ctx context.Context, f files) error { return f.put(ctx, dst, mode.Perm(), src) })
}

// Get reads a file. A missing one wraps fs.ErrNotExist.
func (g *Guest) Get(ctx context.Context, src string, dst io.Writer) error {
	return g.transfer(ctx, func(ctx context.Context, f files) error { return f.get(ctx, src, dst) })
}

// PutDir copies everything in src into the directory dst, which is made if it is missing. Symbolic links are followed.
func (g *Guest) PutDir(ctx context.Context, dst string, src fs.FS) error {
	return g.transfer(ctx, func(ctx context.Context, f files) error { return f.putDir(ctx, dst, src) })
}

// GetDir copies the files below a directory. Their names are relative to it if src ends with a slash, and start with
// the directory's own name otherwise. Symbolic links are followed.
func (g *Guest) GetDir(ctx context.Context, src string, create func(name string, mode fs.FileMode) (io.WriteCloser, error)) error {
	return g.transfer(ctx, func(ctx context.Context, f files) error { return f.getDir(ctx, src, create) })
}

func (g *Guest) transfer(ctx context.Context, do func(context.Context, files) error) error {
	ctx, cancel := g.whileOpen(ctx)
	defer cancel()
	f, err := g.files(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	err = do(ctx, f)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// files opens SFTP, or takes the shell where there is none.
func (g *Guest) files(ctx context.Context) (files, error) {
	if g.w.cfg.SSH.FileTransferMethod == "scp" {
		return scpFiles{shellFiles{g}}, nil
	}
	l, s, err := g.open(ctx)
	if err != nil {
		return nil, err
	}
	if f := l.openSFTP(ctx, s); f != nil {
		return f, nil
	}
	_ = s.Close()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return shellFiles{g}, nil // if the connection was lost meanwhile, it makes a new one
}
