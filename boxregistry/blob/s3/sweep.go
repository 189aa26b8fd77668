package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Sweep implements blob.Sweeper: it removes unfinished uploads and staging objects that no writer of this process has.
func (s *Store) Sweep(ctx context.Context) error {
	for u, err := range s.uploads(ctx) {
		if err != nil {
			return err
		}
		if s.runs(u.Key) {
			continue
		}
		if err := s.abort(ctx, aws.ToString(u.Key), u.UploadId); err != nil {
			return err
		}
	}
	for o, err := range s.objects(ctx, s.prefix+"staging/") {
		if err != nil {
			return err
		}
		if s.runs(o.Key) {
			continue
		}
		if err := s.remove(ctx, o.Key); err != nil {
			return err
		}
	}
	return nil
}

// uploads goes through the unfinished uploads of the prefix.
func (s *Store) uploads(ctx context.Context) iter.Seq2[types.MultipartUpload, error] {
	return func(yield func(types.MultipartUpload, error) bool) {
		pages := awss3.NewListMultipartUploadsPaginator(s.client, &awss3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &s.prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if hasCode(err, "NoSuchUpload") { // so gofakes3 says that there are none
				return
			}
			if err != nil {
				yield(types.MultipartUpload{}, err)
				return
			}
			for _, u := range page.Uploads {
				if !yield(u, nil) {
					return
				}
			}
		}
	}
}

// objects goes through the objects whose keys begin with prefix.
func (s *Store) objects(ctx context.Context, prefix string) iter.Seq2[types.Object, error] {
	return func(yield func(types.Object, error) bool) {
		pages := awss3.NewListObjectsV2Paginator(s.client, &awss3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(types.Object{}, err)
				return
			}
			for _, o := range page.Contents {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}

// maxOwner bounds what is read of the owner object, in bytes.
const maxOwner = 1 << 10

// claim makes sure that the prefix is ours. Two daemons over one prefix would each collect what only the other refers to.
func (s *Store) claim(ctx context.Context) error {
	owner, err := s.readOwner(ctx)
	if isNotFound(err) && s.owner != "" {
		_, err = s.client.PutObject(ctx, &awss3.PutObjectInput{
			Bucket: &s.bucket, Key: s.ownerKey(), Body: strings.NewReader(s.owner), IfNoneMatch: aws.String("*"),
		})
		if err == nil || hasCode(err, "PreconditionFailed", "ConditionalRequestConflict") { // another came first
			owner, err = s.readOwner(ctx)
		}
	}
	switch {
	case isNotFound(err):
		return nil
	case hasCode(err, "NoSuchBucket"):
		return fmt.Errorf("there is no such bucket; make it first: %w", err)
	case err != nil:
		return err
	case s.owner != "" && owner != s.owner:
		return fmt.Errorf("the prefix belongs to the installation %q and this is %q: choose another prefix, or delete the object %q if that one is gone for good",
			owner, s.owner, *s.ownerKey())
	}
	return nil
}

func (s *Store) ownerKey() *string { return aws.String(s.prefix + "owner") }

func (s *Store) readOwner(ctx context.Context) (string, error) {
	out, err := s.client.GetObject(ctx, &awss3.GetObjectInput{Bucket: &s.bucket, Key: s.ownerKey()})
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(out.Body, maxOwner))
	return string(data), errors.Join(err, out.Body.Close())
}
