package s3

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

const (
	// inFlight is how many parts of one blob are sent at once, while the next one fills.
	inFlight = 2
	// undoTime bounds how long taking an upload back may last; what is left is swept later.
	undoTime = 30 * time.Second
)

// upload is a multipart upload that runs.
type upload struct {
	store *Store
	key   string
	id    *string
	group *errgroup.Group
	ctx   context.Context // ends with the first part that fails

	mu    sync.Mutex
	parts []types.CompletedPart
}

// begin starts an upload to key, which sweeping leaves alone until it ends. The caller calls complete or abort.
func (s *Store) begin(ctx context.Context, key string) (*upload, error) {
	s.keep(key)
	out, err := s.client.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		s.let(key)
		return nil, err
	}
	u := &upload{store: s, key: key, id: out.UploadId}
	u.group, u.ctx = errgroup.WithContext(ctx)
	u.group.SetLimit(inFlight)
	return u, nil
}

// stage starts an upload to a staging object.
func (s *Store) stage(ctx context.Context) (*upload, error) {
	return s.begin(ctx, s.prefix+"staging/"+rand.Text())
}

// send sends p in the background and frees it then. It waits while as many parts as may be are under way, and fails when
// one of them has failed.
func (u *upload) send(number int32, p *part) error {
	u.group.Go(func() error {
		defer p.free()
		out, err := u.store.client.UploadPart(u.ctx, &awss3.UploadPartInput{
			Bucket: &u.store.bucket, Key: &u.key, UploadId: u.id, PartNumber: &number, Body: p.reader(), ContentLength: &p.n,
		})
		if err != nil {
			return fmt.Errorf("part %d: %w", number, err)
		}
		u.has(number, out.ETag)
		return nil
	})
	return context.Cause(u.ctx)
}

// copyPart copies bytes of another object in the background, under the conditions of send.
func (u *upload) copyPart(number int32, source, bytes string) error {
	u.group.Go(func() error {
		out, err := u.store.client.UploadPartCopy(u.ctx, &awss3.UploadPartCopyInput{
			Bucket: &u.store.bucket, Key: &u.key, UploadId: u.id, PartNumber: &number, CopySource: &source, CopySourceRange: &bytes,
		})
		if err != nil {
			return fmt.Errorf("copy part %d: %w", number, err)
		}
		u.has(number, out.CopyPartResult.ETag)
		return nil
	})
	return context.Cause(u.ctx)
}

func (u *upload) has(number int32, etag *string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts = append(u.parts, types.CompletedPart{PartNumber: &number, ETag: etag})
}

// complete waits for all parts and makes an object of them. When it fails, abort is still to be called.
func (u *upload) complete(ctx context.Context) error {
	if err := u.group.Wait(); err != nil {
		return err
	}
	slices.SortFunc(u.parts, func(a, b types.CompletedPart) int { return cmp.Compare(*a.PartNumber, *b.PartNumber) })
	_, err := u.store.client.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{
		Bucket: &u.store.bucket, Key: &u.key, UploadId: u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	})
	return err
}

// abort takes the parts back. Those under way are waited for: one that arrives later would stay. The context of the upload
// should have ended.
func (u *upload) abort(ctx context.Context) error {
	defer u.store.let(u.key)
	_ = u.group.Wait() // whoever aborts knows
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	return u.store.abort(undo, u.key, u.id)
}

func (s *Store) abort(ctx context.Context, key string, id *string) error {
	_, err := s.client.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &key, UploadId: id})
	if hasCode(err, "NoSuchUpload") || isNotFound(err) {
		return nil
	}
	return err
}

// discard removes the staging object that a completed upload made. It stays until the next sweep if it cannot be removed.
func (u *upload) discard(ctx context.Context) error {
	defer u.store.let(u.key)
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	return u.store.remove(undo, &u.key)
}

// copy copies an object on the server. It appears whole or not at all.
func (s *Store) copy(ctx context.Context, from, to string, size int64) error {
	source := copySource(s.bucket, from)
	if size <= s.maxCopy {
		_, err := s.client.CopyObject(ctx, &awss3.CopyObjectInput{Bucket: &s.bucket, Key: &to, CopySource: &source})
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u, err := s.begin(ctx, to)
	if err != nil {
		return err
	}
	for number, at := int32(1), int64(0); at < size && err == nil; number, at = number+1, at+s.copyPart {
		err = u.copyPart(number, source, fmt.Sprintf("bytes=%d-%d", at, min(at+s.copyPart, size)-1))
	}
	if err == nil {
		err = u.complete(ctx)
	}
	if err != nil {
		cancel()
		return errors.Join(err, u.abort(ctx))
	}
	s.let(to)
	return nil
}

// keep and let say which keys have uploads that run.
func (s *Store) keep(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[key]++
}

func (s *Store) let(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[key]--; s.live[key] <= 0 {
		delete(s.live, key)
	}
}

func (s *Store) runs(key *string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[aws.ToString(key)] > 0
}
