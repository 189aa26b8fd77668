// Package s3import is the classic way of a disk into EC2: by a bucket of S3, which VM Import reads with a role of its own.
//
// A [Job] uploads a file in parts ([Job.Upload]) and has the service make an image of it ([Job.Image]) or a snapshot
// ([Job.Snapshot]). ImportImage looks into the guest, installs drivers in it and refuses systems and kernels that it does not know;
// ImportSnapshot takes the bytes as they are. Both are tasks that run for minutes and are asked about. What was for the way only
// goes with [Job.Clean].
//
// All that a job makes has the job's name: the object is called so or as the template says, the tasks have a tag with it. So
// Clean needs no memory of what was done, and does for a job that was stopped anywhere: it cancels the tasks that run, removes what those
// made that ran to their end, aborts uploads and deletes the object.
//
// Source: VM Import/Export User Guide, docs.aws.amazon.com/vm-import/latest/userguide; packer-plugin-amazon
// post-processor/import/post-processor.go for the arguments and their defaults.
package s3import

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// DefaultRole is the role that VM Import takes on unless another is named.
const DefaultRole = "vmimport"

// Job is one import.
type Job struct {
	Region *account.Region
	S3     account.S3
	Owner  hypervisor.Tag
	// Name is that of the import, of letters, digits and dashes.
	Name string

	Bucket, Key string
	// Encryption of the object is "AES256", "aws:kms" with EncryptionKey, or empty.
	Encryption, EncryptionKey string
	Format                    string // ova, raw, vhd, vhdx or vmdk
	Role                      string // empty for DefaultRole
	Description               string
	Tell                      func(text string) // may be nil
}

// TagImport is the key of the tag of tasks, with the name of the job.
const TagImport = "boxkiln:import"

// tags are those of a task.
func (j *Job) tags() []types.Tag {
	return account.Tags(j.Owner, "", map[string]string{TagImport: j.Name})
}

func (j *Job) tell(format string, args ...any) {
	if j.Tell != nil {
		j.Tell(fmt.Sprintf(format, args...))
	}
}

// The limits of S3: at most 10000 parts of at most 5 GiB. Source: Amazon S3 User Guide, "Multipart upload limits".
const (
	maxParts = 10000
	partSize = 16 << 20
	// inFlight is how many parts are sent at once. They are read from the file and take no memory.
	inFlight = 8
)

// Upload puts a file into the bucket. progress may be nil. After an error the upload is aborted, so that its parts cost nothing.
func (j *Job) Upload(ctx context.Context, path string, progress func(done, total int64)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() == 0 {
		return fmt.Errorf("%q is empty", path)
	}
	j.tell("Uploading to s3://%s/%s", j.Bucket, j.Key)
	in := &s3.CreateMultipartUploadInput{Bucket: &j.Bucket, Key: &j.Key, ServerSideEncryption: s3types.ServerSideEncryption(j.Encryption)}
	if j.EncryptionKey != "" {
		in.SSEKMSKeyId = &j.EncryptionKey
	}
	out, err := j.S3.CreateMultipartUpload(ctx, in)
	if err != nil {
		return j.explain(err)
	}
	u := upload{Job: j, id: out.UploadId, file: f, size: st.Size(), progress: progress}
	if err := u.send(ctx); err != nil {
		return errors.Join(j.explain(err), j.abort(context.WithoutCancel(ctx), out.UploadId))
	}
	return nil
}

func (j *Job) abort(ctx context.Context, id *string) error {
	_, err := j.S3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &j.Bucket, Key: &j.Key, UploadId: id})
	if isGone(err) {
		return nil
	}
	return err
}

// isGone tells that S3 does not have what is removed.
func isGone(err error) bool {
	switch account.Code(err) {
	case "NoSuchUpload", "NoSuchKey", "NoSuchBucket", "NotFound":
		return true
	}
	return false
}

// upload is a multipart upload that runs.
type upload struct {
	*Job
	id       *string
	file     *os.File
	size     int64
	progress func(done, total int64)

	mu   sync.Mutex
	done int64
}

func (u *upload) send(ctx context.Context) error {
	size := max(int64(partSize), (u.size+maxParts-1)/maxParts)
	parts := make([]s3types.CompletedPart, (u.size+size-1)/size)
	g, sending := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for i := range parts {
		g.Go(func() error {
			at := int64(i) * size
			tag, err := u.part(sending, int32(i+1), at, min(size, u.size-at))
			parts[i] = s3types.CompletedPart{ETag: tag, PartNumber: aws.Int32(int32(i + 1))}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err := u.S3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: &u.Bucket, Key: &u.Key, UploadId: u.id,
		MultipartUpload: &s3types.CompletedMultipartUpload{Parts: parts}})
	return err
}

func (u *upload) part(ctx context.Context, number int32, at, length int64) (etag *string, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	out, err := u.S3.UploadPart(ctx, &s3.UploadPartInput{Bucket: &u.Bucket, Key: &u.Key, UploadId: u.id, PartNumber: &number,
		Body: io.NewSectionReader(u.file, at, length), ContentLength: &length})
	if err != nil {
		return nil, fmt.Errorf("part %d: %w", number, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done += length
	if u.progress != nil {
		u.progress(u.done, u.size)
	}
	return out.ETag, nil
}

// remedies are what to do when an import ends with one of these texts. Source: VM Import/Export User Guide, "Troubleshoot", and the
// issues of packer-plugin-amazon.
var remedies = []struct{ text, remedy string }{
	{"Unknown OS / Missing OS files", `ImportImage finds no system that it knows: import without s3_bucket_name, or with s3_import = "snapshot", neither of which looks into the guest`},
	{"Unable to determine kernel version", `ImportImage finds no kernel that it knows: import without s3_bucket_name, or with s3_import = "snapshot"`},
	{"Unsupported kernel version", `ImportImage does not know kernels that are this new: import without s3_bucket_name, or with s3_import = "snapshot"`},
	{"BLSC-style GRUB found", `ImportImage cannot read the guest's boot loader: import without s3_bucket_name, or with s3_import = "snapshot"`},
	{"Reason 403 Forbidden", "the import role cannot read the bucket: allow it s3:GetBucketLocation, s3:GetObject and s3:ListBucket, and take a bucket in the region of the import"},
	{"Unsupported OVA format", `the appliance is of a kind that ImportImage cannot read: set format = "raw" or "vmdk"`},
	{"Disk validation failed [Unsupported", "see that format says what the file is"},
	{"No valid partitions", "the disk has no partition table that ImportImage can read: see that format says what the file is"},
	{"does not exist or does not have sufficient permissions", "make the role (VM Import/Export User Guide, \"Required service role\": vmie.amazonaws.com may take it on with the external id vmimport), " +
		"or name another in role_name, or import without s3_bucket_name, which needs no role"},
	{"NoSuchBucket", "make the bucket first, in the region of the import"},
	{"PermanentRedirect", "the bucket is in another region: take one in the region of the import"},
}

// explain adds what can be done about an error.
func (j *Job) explain(err error) error {
	if err == nil {
		return nil
	}
	for _, r := range remedies {
		if strings.Contains(err.Error(), r.text) {
			return fmt.Errorf("%w; %s", err, r.remedy)
		}
	}
	return err
}
