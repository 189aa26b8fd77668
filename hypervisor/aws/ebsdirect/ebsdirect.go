// Package ebsdirect writes the image of a disk into a snapshot by the EBS direct APIs: no bucket, no import role, no instance.
//
// [Write] starts a snapshot as large as the disk, puts the blocks into it that hold something, several at once, completes it and
// waits until EC2 says that it is completed. Holes of the file are not even read and blocks of zeros are not sent: what nobody
// wrote reads as zeros. Each block travels with its SHA-256, and the whole with the SHA-256 over those of its blocks
// (the service's LINEAR method), so that a snapshot that completes has the bytes of the disk.
//
// How much goes on at once follows from what the service takes ([gate]): it is halved when a call is throttled and grows again
// with every block. Memory is a buffer for each block on its way and nothing that grows with the disk but a bit for each block.
//
// With a journal an interrupted Write goes on, in this process or the next: the journal holds the token of the snapshot before
// the snapshot is asked for, then its id, then which blocks are there. It is not believed about the disk: everything is read and
// hashed again, and only the sending is spared; a disk that has changed fails at the last checksum, and the snapshot goes.
//
// Source: EBS direct APIs, docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html; the order of calls is that of awslabs/coldsnap.
package ebsdirect

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// BlockSize is the size of a block in bytes: the only one that there is.
const BlockSize = 512 << 10

// Parallel is how many blocks are sent at once unless the options say otherwise. At 50 ms a block that is 320 MiB/s. coldsnap has
// 64, whose buffers take twice the memory.
const Parallel = 32

const (
	gib = 1 << 30
	// maxGiB is what a snapshot can have.
	maxGiB = 64 << 10
	// defaultTries span a quarter of an hour of throttling.
	defaultTries = 50
	firstPause   = 200 * time.Millisecond
	lastPause    = 20 * time.Second
)

// Options say what the snapshot is, and how it is sent. The zero value sends.
type Options struct {
	Description string
	Tags        []types.Tag
	// Encrypt has the snapshot encrypted, with KMSKey (its ARN) if that is not the account's default key. Without it the account decides.
	Encrypt bool
	KMSKey  string
	// Parallel is how many blocks are sent at once at most; 0 for the constant Parallel.
	Parallel int
	// Journal is a file that nobody else writes; "" for none. It stays when Write succeeds, so that another Write finds the same snapshot
	// if what comes after this one fails; [Forget] removes it.
	Journal  string
	Progress func(done, total int64) // in bytes of blocks that are not holes; may be nil
	// Tries is how often a block is sent before Write gives up, with pauses that grow from FirstPause to LastPause; 0 for 50, 200 ms and 20 s.
	Tries                 int
	FirstPause, LastPause time.Duration
}

func (o Options) withDefaults() Options {
	o.Parallel = cmp.Or(o.Parallel, Parallel)
	o.Tries = cmp.Or(o.Tries, defaultTries)
	o.FirstPause, o.LastPause = cmp.Or(o.FirstPause, firstPause), cmp.Or(o.LastPause, lastPause)
	return o
}

// Snapshot is what Write made.
type Snapshot struct {
	ID     string
	GiB    int64
	Blocks int64 // that hold something
	// Sent are those of them that this Write sent; the others were there already. SentBytes are the bytes of blocks in all
	// requests, repeated ones included.
	Sent, SentBytes int64
}

// ErrChanged says that a disk is no longer what the journal's blocks were sent from.
var ErrChanged = errors.New("the disk has changed since the import was interrupted: import it again")

// GiB is the size of a snapshot for a disk of that many bytes.
func GiB(size int64) int64 { return max(1, (size+gib-1)/gib) }

// Write writes a raw image, whose holes read as zeros, into a snapshot in a region. The calls of r are expected to fail at once when
// the service is busy (account.Access.Tries = 1): Write tries again itself.
//
// After an error without a journal the snapshot is deleted. With one it is left for another Write, unless it cannot be gone on with:
// whoever does not want to go on calls [Discard].
func Write(ctx context.Context, r *account.Region, path string, o Options) (Snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return Snapshot{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Snapshot{}, err
	}
	w := &writer{Options: o.withDefaults(), region: r, file: f, size: st.Size()}
	w.made.GiB = GiB(w.size)
	if w.made.GiB > maxGiB {
		return Snapshot{}, fmt.Errorf("%q has %d GiB, and a snapshot at most %d", path, w.made.GiB, maxGiB)
	}
	if w.journal, err = openJournal(o.Journal, r.Name, w.made.GiB); err != nil {
		return Snapshot{}, err
	}
	defer w.journal.close()
	if err := w.run(ctx); err != nil {
		return Snapshot{}, errors.Join(fmt.Errorf("write %q into a snapshot: %w", path, err), w.giveUp(ctx, err))
	}
	return w.made, nil
}

// Forget removes a journal, and not its snapshot.
func Forget(path string) error { return (&journal{path: path}).remove() }

// writer is one Write.
type writer struct {
	Options
	region  *account.Region
	file    *os.File
	size    int64
	journal *journal
	made    Snapshot
}

func (w *writer) run(ctx context.Context) error {
	if err := w.start(ctx); err != nil {
		return err
	}
	sum, err := w.send(ctx)
	if err != nil {
		return err
	}
	if err := w.complete(ctx, sum); err != nil {
		return err
	}
	return w.wait(ctx)
}

// start makes the snapshot, or finds that of the journal.
func (w *writer) start(ctx context.Context) error {
	if w.made.ID = w.journal.head.Snapshot; w.made.ID != "" {
		return nil
	}
	in := &ebs.StartSnapshotInput{VolumeSize: &w.made.GiB, ClientToken: &w.journal.head.Token, Tags: ebsTags(w.Tags)}
	if w.Description != "" {
		in.Description = &w.Description
	}
	if w.Encrypt {
		in.Encrypted = aws.Bool(true)
		if w.KMSKey != "" {
			in.KmsKeyArn = &w.KMSKey
		}
	}
	err := w.again(ctx, nil, func() error {
		out, err := w.region.EBS.StartSnapshot(ctx, in)
		if err != nil {
			return err
		}
		w.made.ID = aws.ToString(out.SnapshotId)
		if size := aws.ToInt32(out.BlockSize); size != BlockSize {
			return fmt.Errorf("%s has blocks of %d bytes; only those of %d are known", w.made.ID, size, BlockSize)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.journal.begun(w.made.ID)
}

func ebsTags(tags []types.Tag) []ebstypes.Tag {
	var out []ebstypes.Tag
	for _, t := range tags {
		out = append(out, ebstypes.Tag{Key: t.Key, Value: t.Value})
	}
	return out
}

// complete tells the service that all blocks are there, and what they must be.
func (w *writer) complete(ctx context.Context, sum []byte) error {
	in := &ebs.CompleteSnapshotInput{
		SnapshotId: &w.made.ID, ChangedBlocksCount: aws.Int32(int32(w.made.Blocks)), Checksum: aws.String(base64.StdEncoding.EncodeToString(sum)),
		ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256, ChecksumAggregationMethod: ebstypes.ChecksumAggregationMethodChecksumAggregationLinear,
	}
	tries := 0
	err := w.again(ctx, nil, func() error {
		tries++
		_, err := w.region.EBS.CompleteSnapshot(ctx, in)
		return err
	})
	if tries == 1 && !w.journal.resumed || !refused(err) {
		return err
	}
	// The first answer may have been lost, or the process died before it was heard: then it is completed, and nothing is wrong.
	if w.region.Poll.Settle(ctx, func(err error) bool { return errors.Is(err, errOpen) || account.IsNotFound(err) }, w.completed) == nil {
		return nil
	}
	if w.journal.resumed {
		return errors.Join(ErrChanged, err)
	}
	return err
}

var errOpen = errors.New("the snapshot is not completed")

// completed tells whether the snapshot is.
func (w *writer) completed(ctx context.Context) error {
	s, err := w.describe(ctx)
	if err == nil && s.State != types.SnapshotStateCompleted {
		err = errOpen
	}
	return err
}

// refused tells that the service finds something wrong with a request.
func refused(err error) bool {
	_, is := errors.AsType[*ebstypes.ValidationException](err)
	return is
}

// errFailed is the end of a snapshot that cannot be gone on with.
var errFailed = errors.New("the service could not complete the snapshot")

// wait waits until the snapshot can be used.
func (w *writer) wait(ctx context.Context) error {
	return w.region.Poll.UntilSeen(ctx, w.made.ID+" to be completed", func(ctx context.Context) (bool, error) {
		s, err := w.describe(ctx)
		if err == nil && s.State == types.SnapshotStateError {
			err = fmt.Errorf("%w: %s: %s", errFailed, w.made.ID, aws.ToString(s.StateMessage))
		}
		return s.State == types.SnapshotStateCompleted, err
	})
}

func (w *writer) describe(ctx context.Context) (types.Snapshot, error) {
	out, err := w.region.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{w.made.ID}})
	if err != nil || len(out.Snapshots) == 0 {
		return types.Snapshot{}, err
	}
	return out.Snapshots[0], nil
}

// deleteTimeout bounds how long it may take to delete what failed, after the import was cancelled.
const deleteTimeout = time.Minute

// giveUp deletes a snapshot that nobody can go on with.
func (w *writer) giveUp(ctx context.Context, cause error) error {
	if w.journal.path != "" && !refused(cause) && !errors.Is(cause, ErrChanged) && !errors.Is(cause, errFailed) && !account.IsNotFound(cause) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	return errors.Join(remove(ctx, w.region, w.made.ID), w.journal.remove())
}

// Discard deletes the snapshot of a journal, if there is one, and then the journal.
func Discard(ctx context.Context, r *account.Region, path string) error {
	j, err := readJournal(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer j.close()
	if err := remove(ctx, r, j.head.Snapshot); err != nil {
		return err
	}
	return j.remove()
}

func remove(ctx context.Context, r *account.Region, id string) error {
	if id == "" {
		return nil
	}
	_, err := r.DeleteSnapshot(ctx, id)
	return err
}
