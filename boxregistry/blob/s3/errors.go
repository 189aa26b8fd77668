package s3

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// hasCode tells whether the service answered with one of these codes.
func hasCode(err error, codes ...string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode())
}

func hasStatus(err error, status int) bool {
	var res *awshttp.ResponseError
	return errors.As(err, &res) && res.HTTPStatusCode() == status
}

// isNotFound recognises an object that is not there. The answer to a HEAD has no code.
func isNotFound(err error) bool { return hasCode(err, "NoSuchKey", "NotFound") }

func notFound(d blob.Digest, err error) error {
	if isNotFound(err) {
		return fmt.Errorf("%w: sha256 %q", blob.ErrNotFound, d)
	}
	return err
}

// spaceError adds blob.ErrNoSpace to a bucket, an account or a service that is full. Amazon has no code for it; these are
// those of Ceph, MinIO and the HTTP standard.
func spaceError(err error) error {
	if hasCode(err, "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage") ||
		hasStatus(err, http.StatusInsufficientStorage) {
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	}
	return err
}
