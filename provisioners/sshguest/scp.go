package sshguest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/internal/shellquote"
	"github.com/boxkiln/boxkiln/provisioners"
)

// scpFiles speaks the old scp protocol (OpenSSH scp.c, "source" and "sink") for single files, and uses the shell for
// directories, and where the guest has no scp.
type scpFiles struct{ shellFiles }

// errNoSCP says that the guest has no scp; nothing was read or written yet.
var errNoSCP = errors.New("the guest has no scp")

const statusNoCommand = 127

func (f scpFiles) put(ctx context.Context, dst string, mode fs.FileMode, src io.Reader) error {
	sized, size, done, err := withSize(src)
	if err != nil {
		return fmt.Errorf("put %q: %w", dst, err)
	}
	defer done()
	line := fmt.Sprintf("if [ -d %[1]s ]; then echo it is a directory >&2; exit 1; fi; exec scp -t %[1]s", shellquote.Quote(local(dst)))
	err = f.talk(ctx, "put", dst, line, func(r *bufio.Reader, w io.Writer) error {
		if err := ack(r); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "C%04o %d %s\n", mode, size, scpName(dst)); err != nil {
			return err
		}
		if err := ack(r); err != nil {
			return err
		}
		if n, err := io.Copy(w, sized); err != nil || n != size {
			return errors.Join(err, fmt.Errorf("%d bytes instead of %d", n, size))
		}
		if _, err := w.Write([]byte{0}); err != nil {
			return err
		}
		return ack(r)
	})
	if errors.Is(err, errNoSCP) {
		return f.shellFiles.put(ctx, dst, mode, sized)
	}
	if err != nil {
		return err
	}
	// scp leaves the mode of a file that was there.
	return f.script(ctx, "put", dst, fmt.Sprintf("chmod %04o %s", mode, shellquote.Quote(local(dst))), nil, nil)
}

func (f scpFiles) get(ctx context.Context, src string, dst io.Writer) error {
	line := fmt.Sprintf("if [ -e %[1]s ]; then exec scp -f %[1]s; fi; exit %[2]d", shellquote.Quote(local(src)), statusMissing)
	err := f.talk(ctx, "get", src, line, func(r *bufio.Reader, w io.Writer) error {
		size, err := offered(r, w)
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte{0}); err != nil {
			return err
		}
		if _, err := io.CopyN(dst, r, size); err != nil {
			return err
		}
		if err := ack(r); err != nil {
			return err
		}
		_, err = w.Write([]byte{0})
		return err
	})
	if errors.Is(err, errNoSCP) {
		return f.shellFiles.get(ctx, src, dst)
	}
	return err
}

// offered reads the line that announces a file, such as "C0644 12 name".
func offered(r *bufio.Reader, w io.Writer) (int64, error) {
	if _, err := w.Write([]byte{0}); err != nil {
		return 0, err
	}
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
	if len(fields) != 3 || !strings.HasPrefix(line, "C") {
		return 0, fmt.Errorf("scp says %s", printable(strings.Trim(line, "\x01\x02\n")))
	}
	size, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || size < 0 {
		return 0, fmt.Errorf("scp announces a file of %q bytes", fields[1])
	}
	return size, nil
}

// ack reads one answer of the protocol: 0, or 1 or 2 with a message.
func ack(r *bufio.Reader) error {
	b, err := r.ReadByte()
	if err != nil {
		return err
	}
	if b == 0 {
		return nil
	}
	message, _ := r.ReadString('\n')
	return fmt.Errorf("scp says %s", printable(strings.TrimSpace(message)))
}

// talk runs scp in the guest and speaks to it. The exit status matters only if the conversation failed.
func (f scpFiles) talk(ctx context.Context, verb, name, line string, speak func(r *bufio.Reader, w io.Writer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	spoken := make(chan error, 1)
	go func() {
		err := speak(bufio.NewReader(outR), inW)
		_ = inW.Close()
		_ = outR.CloseWithError(io.ErrClosedPipe)
		spoken <- err
	}()
	var complaint tail
	status, err := f.g.run(ctx, provisioners.Command{Line: line, Stdin: inR, Stdout: outW, Stderr: &complaint})
	_ = outW.Close()
	_ = inR.Close()
	said := <-spoken
	switch {
	case said == nil && (err == nil || errors.Is(err, io.ErrClosedPipe)):
		return nil
	case status == statusNoCommand:
		return errNoSCP
	case status == statusMissing:
		return fmt.Errorf("%s %q: %w", verb, name, fs.ErrNotExist)
	case err != nil && !errors.Is(err, io.ErrClosedPipe):
		return fmt.Errorf("%s %q: %w", verb, name, err)
	}
	if len(complaint.b) > 0 {
		return fmt.Errorf("%s %q: %s", verb, name, complaint.line())
	}
	return fmt.Errorf("%s %q: %w", verb, name, said)
}

// scpName is the file's name in the announcement; the server uses its own argument unless that is a directory.
func scpName(dst string) string { return strings.ReplaceAll(path.Base(dst), "\n", "_") }

// withSize learns the size of a source, which scp must announce, if need be by a copy on disk.
func withSize(src io.Reader) (io.Reader, int64, func(), error) {
	nothing := func() {}
	switch s := src.(type) {
	case interface{ Len() int }:
		return src, int64(s.Len()), nothing, nil
	case fs.File:
		if info, err := s.Stat(); err == nil && info.Mode().IsRegular() {
			return src, info.Size(), nothing, nil
		}
	}
	spool, err := os.CreateTemp("", "boxkiln-scp-")
	if err != nil {
		return nil, 0, nothing, err
	}
	done := func() {
		_ = spool.Close()
		_ = os.Remove(spool.Name())
	}
	size, err := io.Copy(spool, src)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		done()
		return nil, 0, nothing, err
	}
	return spool, size, done, nil
}
