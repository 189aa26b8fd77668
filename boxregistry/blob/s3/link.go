package s3

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// Link implements blob.Linker with a presigned URL. It needs no request. Temporary credentials may end it earlier than o says.
func (s *Store) Link(ctx context.Context, d blob.Digest, o blob.LinkOptions) (string, error) {
	if err := s.check(ctx, d); err != nil {
		return "", err
	}
	in := &awss3.GetObjectInput{Bucket: &s.bucket, Key: s.key(d), ResponseContentType: aws.String("application/octet-stream")}
	if o.ContentDisposition != "" {
		in.ResponseContentDisposition = &o.ContentDisposition
	}
	req, err := s.links.PresignGetObject(ctx, in, awss3.WithPresignExpires(o.TTL))
	if err != nil {
		return "", fmt.Errorf("link to blob %s: %w", d, err)
	}
	return req.URL, nil
}
