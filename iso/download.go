package iso

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// errNotModified says that the server still has the version we keep.
var errNotModified = errors.New("not modified")

// download brings one medium to its target. What has arrived is kept beside the target under a name made from the
// URL, so that a later attempt, in this process or another, can go on from there.
type download struct {
	remote
	tell  Progress
	known validators // of the version at the target, if the server shall only send another one

	file    *os.File
	sum     hashes
	summed  int64 // bytes that sum has seen
	reached int64 // the most bytes that any attempt has had
	resumed bool  // part of the file is from an earlier process
	told    time.Time
}

// partialState is kept beside a partial file: whose bytes they are.
type partialState struct {
	validators
	Size int64 `json:"size,omitempty"` // of the whole medium, 0 if the server did not say
}

// partialSuffix ends the name of an unfinished download.
const partialSuffix = ".partial"

func (d *download) partialPath() string {
	return d.target + "." + nameFor(d.loc.url.String())[:12] + partialSuffix
}

func (d *download) statePath() string { return d.partialPath() + ".json" }

// run downloads, verifies, moves into place and seals. The caller holds the target's lock.
func (d *download) run(ctx context.Context) (seal, error) {
	var err error
	if d.file, err = os.OpenFile(d.partialPath(), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return seal{}, d.diskError(err, 0)
	}
	defer d.file.Close()
	d.sum = newHashes(d.want.Algorithm)
	if d.want.Hex == "" {
		// After a power failure a file may have its length and not its bytes; without a checksum nobody would notice.
		if err := d.truncate(); err != nil {
			return seal{}, err
		}
	}
	offset, state := d.findPartial()
	d.resumed, d.reached = offset > 0, offset

	err = d.cache.retry(ctx, func() (bool, error) { return d.attempt(ctx, &state) }, func(err error) {
		d.tell(Status{Phase: PhaseRetry, URL: d.loc.String(), Done: d.reached, Total: state.Size, Err: err})
	})
	if err != nil {
		if info, statErr := d.file.Stat(); statErr == nil && info.Size() == 0 {
			err = errors.Join(err, removePartial(d.partialPath()))
		}
		return seal{}, err
	}
	return d.finish(state)
}

// findPartial tells how much of the medium an earlier attempt left, none if it cannot be told whose bytes they are.
func (d *download) findPartial() (int64, partialState) {
	var state partialState
	data, err := os.ReadFile(d.statePath())
	if err != nil || json.Unmarshal(data, &state) != nil || state.ifRange() == "" {
		return 0, partialState{}
	}
	info, err := d.file.Stat()
	if err != nil || (state.Size > 0 && info.Size() > state.Size) {
		return 0, partialState{}
	}
	return info.Size(), state
}

// attempt asks for what is missing and verifies the whole. progressed tells that it came further than any before.
func (d *download) attempt(ctx context.Context, state *partialState) (progressed bool, err error) {
	before := d.reached
	err = d.transfer(ctx, state)
	if err == nil {
		err = d.check()
	}
	return d.reached > before, err
}

func (d *download) transfer(ctx context.Context, state *partialState) error {
	offset, _ := d.findPartial()
	if offset == 0 {
		*state = partialState{}
	}
	if err := d.hashUpTo(ctx, offset); err != nil {
		return err
	}
	if offset > 0 && offset == state.Size {
		return nil // it is all there, only the move to the target is missing
	}
	header := http.Header{}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		header.Set("If-Range", state.ifRange())
	} else {
		d.known.conditions(header)
	}
	return d.cache.get(ctx, d.loc, header, func(resp *http.Response) error {
		return d.receive(ctx, resp, offset, state)
	})
}

// hashUpTo brings the hash to the first offset bytes of the partial file.
func (d *download) hashUpTo(ctx context.Context, offset int64) error {
	if d.summed == offset {
		return nil
	}
	d.sum, d.summed = newHashes(d.want.Algorithm), 0
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := &meter{ctx: ctx, r: io.LimitReader(d.file, offset), tell: func(done int64) {
		d.report(PhaseVerify, done, offset)
	}}
	n, err := io.Copy(d.sum, r)
	d.summed = n
	return err
}

// receive takes an answer: the rest of the file, or the whole of it if the server has another version by now.
func (d *download) receive(ctx context.Context, resp *http.Response, offset int64, state *partialState) error {
	switch resp.StatusCode {
	case http.StatusNotModified:
		return errNotModified
	case http.StatusPartialContent:
		start, total, err := netx.RestOfFile(resp.Header.Get("Content-Range"))
		if err != nil || start != offset || (state.Size > 0 && total != state.Size) {
			return errors.Join(fmt.Errorf("the server sent another range than asked for"), d.truncate())
		}
		state.Size = total
	case http.StatusOK:
		if err := d.truncate(); err != nil {
			return err
		}
		offset, d.resumed = 0, false
		*state = partialState{validators: validatorsOf(resp.Header), Size: max(resp.ContentLength, 0)}
		if err := d.saveState(*state); err != nil {
			return d.diskError(err, state.Size)
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return errors.Join(&statusError{resp.StatusCode}, d.truncate())
	default:
		return &statusError{resp.StatusCode}
	}
	if err := d.checkSpace(resp.ContentLength); err != nil {
		return err
	}
	return d.copy(ctx, resp.Body, offset, *state)
}

// truncate forgets what has arrived.
func (d *download) truncate() error {
	d.sum, d.summed = newHashes(d.want.Algorithm), 0
	return d.file.Truncate(0)
}

func (d *download) saveState(state partialState) error {
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return fsx.WriteFile(d.statePath(), data, 0o644)
}

func (d *download) copy(ctx context.Context, body io.Reader, offset int64, state partialState) error {
	if _, err := d.file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	in := &meter{ctx: ctx, r: body, done: offset, tell: func(done int64) {
		d.report(PhaseDownload, done, state.Size)
	}}
	n, err := io.Copy(io.MultiWriter(d.file, d.sum), in)
	d.summed = offset + n
	d.reached = max(d.reached, d.summed)
	switch {
	case isDiskFull(err):
		// Everything else on this disk fails too until there is space again: give ours back.
		return errors.Join(d.diskError(err, state.Size-d.summed), d.truncate())
	case err != nil:
		return fmt.Errorf("after %d bytes: %w", d.summed, netx.WithoutURL(err))
	case state.Size > 0 && d.summed != state.Size:
		return fmt.Errorf("the server sent %d of %d bytes", d.summed, state.Size)
	}
	d.tell(Status{Phase: PhaseDownload, URL: d.loc.String(), Done: d.summed, Total: state.Size})
	return nil
}

// report tells the progress, ten times a second at most.
func (d *download) report(phase Phase, done, total int64) {
	if now := d.cache.cfg.Now(); now.Sub(d.told) >= 100*time.Millisecond {
		d.told = now
		d.tell(Status{Phase: phase, URL: d.loc.String(), Done: done, Total: total})
	}
}

// checkSpace refuses at once what would fill the disk at the end.
func (d *download) checkSpace(need int64) error {
	dir := filepath.Dir(d.target)
	free, err := d.cache.cfg.Free(dir)
	if err != nil {
		return err
	}
	if need > free {
		return &DiskFullError{Dir: dir, Need: need, Free: free}
	}
	return nil
}

// diskError turns the system's "no space left" into our own error; others pass.
func (d *download) diskError(err error, need int64) error {
	if !isDiskFull(err) {
		return err
	}
	dir := filepath.Dir(d.target)
	free, _ := d.cache.cfg.Free(dir) // only for the message
	return &DiskFullError{Dir: dir, Need: max(need, 0), Free: free}
}

// check compares the bytes with the declared digest. If they are wrong and partly from an earlier process, that part
// may have been damaged, for example by a crash before it was written out: then the whole is fetched once more.
func (d *download) check() error {
	err := seal{Digests: d.sum.digests()}.check(d.loc.String(), d.want)
	if err == nil {
		return nil
	}
	if truncErr := d.truncate(); truncErr != nil {
		return errors.Join(err, truncErr)
	}
	if d.resumed {
		d.resumed = false
		return fmt.Errorf("the part from an earlier download is damaged")
	}
	return err
}

// finish makes the partial file the target and seals it. fsx has no part in this move, because its unfinished files
// are meant to be swept away, and this one is meant to survive a crash.
func (d *download) finish(state partialState) (seal, error) {
	if err := d.file.Sync(); err != nil {
		return seal{}, d.diskError(err, 0)
	}
	if err := os.Rename(d.partialPath(), d.target); err != nil {
		return seal{}, err
	}
	if err := fsx.SyncDir(filepath.Dir(d.target)); err != nil {
		return seal{}, err
	}
	info, err := os.Stat(d.target)
	if err != nil {
		return seal{}, err
	}
	s := seal{identity: identify(info), Digests: d.sum.digests(), Validators: state.validators}
	if err := d.cache.seals.store(d.target, s); err != nil {
		return seal{}, d.diskError(err, 0)
	}
	return s, os.Remove(d.statePath())
}

// removePartial removes an unfinished download and what is known about it.
func removePartial(path string) error {
	err := os.Remove(path)
	if stateErr := os.Remove(path + ".json"); !errors.Is(stateErr, os.ErrNotExist) {
		err = errors.Join(err, stateErr)
	}
	return err
}
