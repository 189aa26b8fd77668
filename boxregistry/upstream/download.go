package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/netx"
)

var (
	// ErrTooLarge says that a file or document is larger than what is taken.
	ErrTooLarge = errors.New("it is too large")
	errChanged  = errors.New("the server has other bytes now than it began with")
	errShort    = errors.New("the server sent less than it announced")
)

// FetchRequest says which bytes are wanted.
type FetchRequest struct {
	Origin Origin // of the kind AtURL or AtHCP
	// Key names the bytes for as long as a download is not complete, so that it can be taken up again: an address that
	// stays the same, and the checksum that was announced. Empty for the address alone.
	Key string
}

// Download is a file on its way: a stream that goes on where an earlier one broke, in this process or before it. What
// passes through is kept until Discard. Not safe for use from several goroutines.
type Download struct {
	f    *Fetcher
	ctx  context.Context
	req  FetchRequest
	tell Tell

	name     partName
	release  func()
	part     *os.File
	state    partState
	have     int64 // bytes in the part file
	pos      int64 // bytes that were read from the Download
	resumed  bool
	complete bool
	x        *exchange // nil between attempts
	attempts attempts
}

// Fetch begins a download, or takes one up, and returns when its server has answered. Reads go on through failures of
// the server as the Fetcher's fields say. The caller closes the Download.
func (f *Fetcher) Fetch(ctx context.Context, req FetchRequest, tell Tell) (*Download, error) {
	if req.Key == "" {
		req.Key = req.Origin.At
	}
	d := &Download{f: f, ctx: ctx, req: req, tell: tell}
	d.name, d.release = f.reserve(req.Key)
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	for !d.complete && d.x == nil {
		if err := d.connect(); err != nil {
			if err = f.again(ctx, &d.attempts, err, d.status(), tell); err != nil {
				return nil, errors.Join(err, d.Close())
			}
		}
	}
	return d, nil
}

// open finds what an earlier download left.
func (d *Download) open() error {
	var err error
	if d.part, err = os.OpenFile(d.name.path(), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	data, err := os.ReadFile(d.name.state())
	info, statErr := d.part.Stat()
	if statErr != nil {
		return statErr
	}
	if err != nil || json.Unmarshal(data, &d.state) != nil || d.state.ifRange() == "" || d.state.Size > 0 && info.Size() > d.state.Size {
		return d.restart()
	}
	d.have = info.Size()
	d.resumed = d.have > 0
	d.complete = d.state.Size > 0 && d.have == d.state.Size
	return nil
}

// restart forgets what has arrived.
func (d *Download) restart() error {
	d.state, d.have, d.resumed = partState{}, 0, false
	return d.part.Truncate(0)
}

// connect asks for what is missing.
func (d *Download) connect() error {
	if d.have < d.pos { // an earlier attempt had to forget what was read already
		return errChanged
	}
	at, err := d.address()
	if err != nil {
		return err
	}
	header := http.Header{"Accept": {"*/*"}}
	if d.have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.have))
		if v := d.state.ifRange(); v != "" {
			header.Set("If-Range", v)
		}
	}
	x, err := d.f.get(d.ctx, at, d.req.Origin.Access, header)
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusRequestedRangeNotSatisfiable {
		return errors.Join(err, d.startOver())
	}
	if err != nil {
		return err
	}
	if err := d.accept(x); err != nil {
		return errors.Join(err, x.Close())
	}
	d.x = x
	return nil
}

// address is where the bytes are now. An address that HCP gives is good for a minute, so each attempt asks for one.
func (d *Download) address() (string, error) {
	if d.req.Origin.Kind != AtHCP {
		return d.req.Origin.At, nil
	}
	return d.f.resolveHCP(d.ctx, d.req.Origin)
}

// accept looks at the head of an answer: the rest of the file, or the whole of it if the server has another one by now.
func (d *Download) accept(x *exchange) error {
	if x.StatusCode == http.StatusPartialContent {
		start, total, err := netx.RestOfFile(x.Header.Get("Content-Range"))
		if err != nil || start != d.have || d.state.Size > 0 && total != d.state.Size {
			return errors.Join(fmt.Errorf("%w: it sent another range than it was asked for", errShort), d.startOver())
		}
		d.state.Size = total
		return d.checkSize()
	}
	state := partState{ETag: x.Header.Get("ETag"), Modified: x.Header.Get("Last-Modified"), Size: max(x.ContentLength, 0)}
	if d.pos > 0 && d.have > 0 && state == d.state {
		// It knows no ranges. As far as it says these are the same bytes; the checksum has the last word.
		_, err := io.CopyN(io.Discard, x, d.have)
		return err
	}
	if err := d.startOver(); err != nil {
		return err
	}
	d.state = state
	if err := d.checkSize(); err != nil {
		return err
	}
	data, err := json.Marshal(d.state)
	if err != nil {
		return err
	}
	return fsx.WriteFile(d.name.state(), data, 0o600)
}

// startOver forgets what has arrived, unless somebody has read some of it.
func (d *Download) startOver() error {
	if d.have == 0 {
		return nil
	}
	began := d.pos > 0
	if err := d.restart(); err != nil {
		return err
	}
	if began {
		return errChanged
	}
	return nil
}

func (d *Download) checkSize() error {
	if size := max(d.state.Size, d.have); size > d.f.maxSize() {
		return fmt.Errorf("%w: %d bytes, and %d are allowed", ErrTooLarge, size, d.f.maxSize())
	}
	return nil
}

// Size is how large the file is, in bytes; 0 when the server has not said.
func (d *Download) Size() int64 { return d.state.Size }

// Path is the file in which the download grows; what has been read is in it.
func (d *Download) Path() string { return d.name.path() }

// Resumed reports whether a part is from an earlier download, and may so have been damaged by a crash.
func (d *Download) Resumed() bool { return d.resumed }

func (d *Download) status() Status { return Status{Done: d.have, Total: d.state.Size} }

// Read implements io.Reader.
func (d *Download) Read(p []byte) (int, error) {
	for {
		if err := d.ctx.Err(); err != nil {
			return 0, context.Cause(d.ctx)
		}
		if d.pos < d.have {
			n, err := d.part.ReadAt(p[:min(int64(len(p)), d.have-d.pos)], d.pos)
			d.pos += int64(n)
			return n, err
		}
		if d.complete {
			return 0, io.EOF
		}
		n, err := d.receive(p)
		if n > 0 {
			return n, nil // an error comes again
		}
		if err != nil {
			if err = d.f.again(d.ctx, &d.attempts, err, d.status(), d.tell); err != nil {
				return 0, err
			}
		}
	}
}

// receive takes bytes from the server, keeps them and hands them on.
func (d *Download) receive(p []byte) (int, error) {
	if d.x == nil {
		if err := d.connect(); err != nil {
			return 0, err
		}
	}
	n, err := d.x.Read(p)
	if n > 0 {
		if _, err := d.part.WriteAt(p[:n], d.have); err != nil {
			return 0, err
		}
		d.have += int64(n)
		d.pos = d.have
		d.attempts = attempts{}
		if err := d.checkSize(); err != nil {
			return 0, err
		}
		d.tell(d.status())
		return n, nil
	}
	if err == nil {
		return 0, nil
	}
	closeErr := d.x.Close()
	d.x = nil
	if !errors.Is(err, io.EOF) {
		return 0, err
	}
	if d.state.Size > 0 && d.have != d.state.Size {
		return 0, fmt.Errorf("%w: %d of %d bytes", errShort, d.have, d.state.Size)
	}
	d.complete = true
	return 0, closeErr
}

// Discard throws away what has arrived: it is kept elsewhere by now, or it is no good.
func (d *Download) Discard() error {
	var errs error
	for _, path := range []string{d.name.path(), d.name.state()} {
		if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

// Close ends the download. What has arrived is kept, for the next one.
func (d *Download) Close() error {
	var err error
	if d.x != nil {
		err = d.x.Close()
		d.x = nil
	}
	if d.part != nil {
		err = errors.Join(err, d.part.Close())
		if d.have == 0 {
			err = errors.Join(err, d.Discard())
		}
	}
	d.release()
	return err
}
