// Package s3 is the blob store in a bucket of any service that speaks Amazon's S3 protocol.
//
//	PREFIX/sha256/ab/<sha256>            one object for each blob
//	PREFIX/staging/<random>              uploads that are not committed
//	PREFIX/quarantine/<sha256>-<seconds> damaged blobs, put aside
//	PREFIX/owner                         the installation that the prefix belongs to
//
// The digest of a blob is known when its last byte has come, and S3 wants an object's name before the first one. So a blob
// that fits into one part waits in memory and is put under its digest; a larger one goes, part by part while it is received,
// to a staging object, which Commit copies on the server to the digest's name: in one request up to 5 GiB, in parts of
// 1 GiB above. A copy appears whole or not at all, also where the service knows no conditional writes, and copying over
// bytes that are stored already mends them if they are damaged. Every part carries its sha256 in the signature of its
// request, so a service that checks signatures refuses what arrives changed.
//
// Closing a writer takes its upload back. What a crash leaves, [Open] and [Store.Sweep] remove: unfinished uploads and
// staging objects of nobody. Only one daemon may use a prefix; the owner object sees to that.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// Store implements blob.Store in a bucket. Make it with Open.
type Store struct {
	client *awss3.Client
	links  *awss3.PresignClient
	bucket string
	prefix string // of every key; empty or ending in a slash
	owner  string
	spool  string
	locks  blob.Locks // of digests that are being published, or removed on a condition

	firstPart int64 // bytes; later parts are larger, see partSize
	maxCopy   int64 // bytes that are copied in one request
	copyPart  int64 // bytes of each part of a longer copy
	buffers   sync.Pool

	mu   sync.Mutex
	live map[string]int // uploads that run, by key: not to be swept
}

var (
	_ blob.Store   = (*Store)(nil)
	_ blob.Linker  = (*Store)(nil)
	_ blob.Sweeper = (*Store)(nil)
)

// Limits of S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	maxPart      = 5 << 30 // bytes of one part
	maxPlainCopy = 5 << 30 // bytes of CopyObject
	longCopyPart = 1 << 30 // bytes: 5 TiB need 5120 of at most 10000 parts
)

// Open claims the prefix for cfg.Owner and removes what uploads of an earlier run left. It fails when the bucket cannot be
// reached, does not exist, or the prefix belongs to another installation.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	client, links, err := cfg.clients(ctx)
	if err != nil {
		return nil, err
	}
	s := &Store{
		client: client, links: links, bucket: cfg.Bucket, prefix: cfg.Prefix, owner: cfg.Owner, spool: cfg.Spool,
		firstPart: cfg.PartSize, maxCopy: maxPlainCopy, copyPart: longCopyPart, live: map[string]int{},
	}
	if s.firstPart == 0 {
		s.firstPart = defaultPart
	}
	if err := s.claim(ctx); err != nil {
		return nil, fmt.Errorf("blob store %s: %w", cfg, err)
	}
	if err := s.Sweep(ctx); err != nil {
		return nil, fmt.Errorf("blob store %s: remove abandoned uploads: %w", cfg, err)
	}
	return s, nil
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context) (blob.Writer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return newWriter(ctx, s), nil
}

// Open implements blob.Store. Reading from the start takes no second request.
func (s *Store) Open(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error) {
	if err := s.check(ctx, d); err != nil {
		return nil, blob.Info{}, err
	}
	out, err := s.client.GetObject(ctx, &awss3.GetObjectInput{Bucket: &s.bucket, Key: s.key(d)})
	if err != nil {
		return nil, blob.Info{}, notFound(d, err)
	}
	info := blob.Info{Digest: d, Size: aws.ToInt64(out.ContentLength), Stored: stored(out.LastModified)}
	return &reader{ctx: ctx, store: s, key: s.key(d), etag: out.ETag, size: info.Size, body: out.Body}, info, nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, d blob.Digest) (blob.Info, error) {
	if err := s.check(ctx, d); err != nil {
		return blob.Info{}, err
	}
	out, err := s.client.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &s.bucket, Key: s.key(d)})
	if err != nil {
		return blob.Info{}, notFound(d, err)
	}
	return blob.Info{Digest: d, Size: aws.ToInt64(out.ContentLength), Stored: stored(out.LastModified)}, nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, d blob.Digest) error {
	if err := s.check(ctx, d); err != nil {
		if errors.Is(err, blob.ErrNotFound) {
			return nil
		}
		return err
	}
	return s.remove(ctx, s.key(d))
}

// remove deletes an object. One that is not there is no error.
func (s *Store) remove(ctx context.Context, key *string) error {
	_, err := s.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &s.bucket, Key: key})
	if isNotFound(err) {
		return nil
	}
	return err
}

// Expire implements blob.Store.
func (s *Store) Expire(ctx context.Context, seen blob.Info) (bool, error) {
	return s.ifUnchanged(ctx, seen, func() error { return s.Delete(ctx, seen.Digest) })
}

// Quarantine implements blob.Store.
func (s *Store) Quarantine(ctx context.Context, seen blob.Info) (bool, error) {
	return s.ifUnchanged(ctx, seen, func() error {
		aside := fmt.Sprintf("%squarantine/%s-%d", s.prefix, seen.Digest, seen.Stored.Unix())
		if err := s.copy(ctx, *s.key(seen.Digest), aside, seen.Size); err != nil {
			return err
		}
		return s.Delete(ctx, seen.Digest)
	})
}

// ifUnchanged does something with a blob, while no Commit can touch it, if it is still what the caller saw.
func (s *Store) ifUnchanged(ctx context.Context, seen blob.Info, do func() error) (bool, error) {
	unlock, err := s.locks.Lock(ctx, seen.Digest)
	if err != nil {
		return false, err
	}
	defer unlock()
	if same, err := blob.Unchanged(ctx, s, seen); err != nil || !same {
		return false, err
	}
	if err := do(); err != nil {
		return false, err
	}
	return true, nil
}

// All implements blob.Store. Objects whose names are no digests are not ours and are passed over.
func (s *Store) All(ctx context.Context) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for o, err := range s.objects(ctx, s.prefix+"sha256/") {
			if err != nil {
				yield(blob.Info{}, err)
				return
			}
			d, err := blob.ParseDigest(path.Base(aws.ToString(o.Key)))
			if err != nil || *s.key(d) != *o.Key {
				continue
			}
			if !yield(blob.Info{Digest: d, Size: aws.ToInt64(o.Size), Stored: stored(o.LastModified)}, nil) {
				return
			}
		}
	}
}

// check refuses what cannot be stored: it must never become a key.
func (s *Store) check(ctx context.Context, d blob.Digest) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if p, err := blob.ParseDigest(string(d)); err != nil || p != d {
		return fmt.Errorf("%w: sha256 %q", blob.ErrNotFound, d)
	}
	return nil
}

func (s *Store) key(d blob.Digest) *string {
	return aws.String(strings.Join([]string{s.prefix + "sha256", string(d[:2]), string(d)}, "/"))
}

// stored is the time of an object. Answers about one object have no parts of a second, lists have: they must agree.
func stored(t *time.Time) time.Time { return aws.ToTime(t).UTC().Truncate(time.Second) }
