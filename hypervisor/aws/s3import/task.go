package s3import

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// Guest is what ImportImage is told about the machine. Empty fields are for the service to find out.
type Guest struct {
	Architecture string // i386, x86_64, arm64
	Platform     string // Windows or Linux
	BootMode     string // legacy-bios, uefi, uefi-preferred
	License      string // AWS or BYOL
}

// Result is what a task made.
type Result struct {
	Image     string // of ImportImage
	Snapshots []string
}

// Image has the uploaded file made into an image, and waits for it. The image has no name but that of the task, and no tags.
func (j *Job) Image(ctx context.Context, g Guest) (Result, error) {
	in := &ec2.ImportImageInput{
		DiskContainers: []types.ImageDiskContainer{{Format: &j.Format, UserBucket: &types.UserBucket{S3Bucket: &j.Bucket, S3Key: &j.Key}}},
		ClientToken:    aws.String(account.Token(j.Owner, "import image "+j.Name)), RoleName: aws.String(cmp.Or(j.Role, DefaultRole)),
		Architecture: account.Optional(g.Architecture), Platform: account.Optional(g.Platform), LicenseType: account.Optional(g.License), Description: account.Optional(j.Description),
		BootMode:          types.BootModeValues(g.BootMode),
		TagSpecifications: []types.TagSpecification{account.Specification(types.ResourceTypeImportImageTask, j.tags())},
	}
	var task string
	err := j.withRole(ctx, func(ctx context.Context) error {
		out, err := j.Region.EC2.ImportImage(ctx, in)
		if err == nil {
			task = aws.ToString(out.ImportTaskId)
		}
		return err
	})
	if err != nil {
		return Result{}, err
	}
	j.tell("Importing the image: task %s", task)
	return j.waitFor(ctx, task, j.imageTask)
}

// Snapshot has the uploaded file made into a snapshot, and waits for it. The snapshot has no tags.
func (j *Job) Snapshot(ctx context.Context) (Result, error) {
	in := &ec2.ImportSnapshotInput{
		DiskContainer: &types.SnapshotDiskContainer{Format: &j.Format, UserBucket: &types.UserBucket{S3Bucket: &j.Bucket, S3Key: &j.Key}},
		ClientToken:   aws.String(account.Token(j.Owner, "import snapshot "+j.Name)), RoleName: aws.String(cmp.Or(j.Role, DefaultRole)),
		Description:       account.Optional(j.Description),
		TagSpecifications: []types.TagSpecification{account.Specification(types.ResourceTypeImportSnapshotTask, j.tags())},
	}
	var task string
	err := j.withRole(ctx, func(ctx context.Context) error {
		out, err := j.Region.EC2.ImportSnapshot(ctx, in)
		if err == nil {
			task = aws.ToString(out.ImportTaskId)
		}
		return err
	})
	if err != nil {
		return Result{}, err
	}
	j.tell("Importing the snapshot: task %s", task)
	return j.waitFor(ctx, task, j.snapshotTask)
}

// withRole begins a task. A role that was just made is unknown to the service for some tens of seconds, so it is asked again.
func (j *Job) withRole(ctx context.Context, do func(ctx context.Context) error) error {
	return j.explain(j.Region.Poll.Settle(ctx, func(err error) bool {
		return account.Code(err) == "InvalidParameter" && strings.Contains(err.Error(), "service role")
	}, do))
}

// task is what can be known of a task of either kind.
type task struct {
	id, state, message, progress string
	Result
}

// The states of a task. Others are on their way.
const (
	completed = "completed"
	deleting  = "deleting" // failed or cancelled, and the service tidies up
	deleted   = "deleted"
)

func (t task) ended() bool {
	return t.state == completed || t.state == deleted || t.state == deleting && t.message != ""
}

// waitFor waits for the end of a task.
func (j *Job) waitFor(ctx context.Context, id string, find func(context.Context, *string) ([]task, error)) (Result, error) {
	var last task
	err := j.Region.Poll.UntilSeen(ctx, id+" to end", func(ctx context.Context) (bool, error) {
		found, err := find(ctx, &id)
		if err != nil || len(found) == 0 {
			return false, unknownTask(err)
		}
		t := found[0]
		if t.state == last.state && t.message == last.message && t.progress == last.progress {
			return t.ended(), nil
		}
		last = t
		j.tell("%s: %s %s %s%%", id, t.state, t.message, t.progress)
		return t.ended(), nil
	})
	if err != nil {
		return Result{}, err
	}
	if last.state != completed {
		return Result{}, j.explain(fmt.Errorf("the import %s has failed: %s", id, last.message))
	}
	return last.Result, nil
}

// unknownTask drops the error that a task is not known: one that was just begun may not be seen yet.
func unknownTask(err error) error {
	if strings.HasPrefix(account.Code(err), "InvalidConversionTaskId") {
		return nil
	}
	return err
}

// imageTask asks about one task of ImportImage, or about all of the job.
func (j *Job) imageTask(ctx context.Context, id *string) ([]task, error) {
	in := &ec2.DescribeImportImageTasksInput{}
	if id != nil {
		in.ImportTaskIds = []string{*id}
	} else {
		in.Filters = j.filters()
	}
	out, err := j.Region.EC2.DescribeImportImageTasks(ctx, in)
	if err != nil {
		return nil, err
	}
	var all []task
	for _, t := range out.ImportImageTasks {
		if id == nil && !j.mine(t.Tags) {
			continue
		}
		one := task{aws.ToString(t.ImportTaskId), aws.ToString(t.Status), aws.ToString(t.StatusMessage), aws.ToString(t.Progress), Result{Image: aws.ToString(t.ImageId)}}
		for _, d := range t.SnapshotDetails {
			if s := aws.ToString(d.SnapshotId); s != "" {
				one.Snapshots = append(one.Snapshots, s)
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// snapshotTask asks about one task of ImportSnapshot, or about all of the job.
func (j *Job) snapshotTask(ctx context.Context, id *string) ([]task, error) {
	in := &ec2.DescribeImportSnapshotTasksInput{}
	if id != nil {
		in.ImportTaskIds = []string{*id}
	} else {
		in.Filters = j.filters()
	}
	out, err := j.Region.EC2.DescribeImportSnapshotTasks(ctx, in)
	if err != nil {
		return nil, err
	}
	var all []task
	for _, t := range out.ImportSnapshotTasks {
		if t.SnapshotTaskDetail == nil || id == nil && !j.mine(t.Tags) {
			continue
		}
		d := t.SnapshotTaskDetail
		one := task{aws.ToString(t.ImportTaskId), aws.ToString(d.Status), aws.ToString(d.StatusMessage), aws.ToString(d.Progress), Result{}}
		if s := aws.ToString(d.SnapshotId); s != "" {
			one.Snapshots = []string{s}
		}
		all = append(all, one)
	}
	return all, nil
}

// filters find the job's tasks.
func (j *Job) filters() []types.Filter {
	return []types.Filter{account.Filter("tag:"+TagImport, j.Name), account.Filter("tag:"+account.TagInstall, j.Owner.Install)}
}

// mine sees that a task is the job's, whatever the service makes of filters.
func (j *Job) mine(tags []types.Tag) bool {
	owner, ok := account.OwnerOf(tags)
	for _, t := range tags {
		if aws.ToString(t.Key) == TagImport && aws.ToString(t.Value) == j.Name {
			return ok && owner.Install == j.Owner.Install
		}
	}
	return false
}

// Clean removes what a job leaves: tasks that run, what they made, the object, and parts of it. It is content with what is not
// there, and goes on after an error.
func (j *Job) Clean(ctx context.Context) error {
	return errors.Join(j.cleanTasks(ctx), j.cleanObject(ctx))
}

func (j *Job) cleanTasks(ctx context.Context) error {
	var errs error
	for _, find := range []func(context.Context, *string) ([]task, error){j.imageTask, j.snapshotTask} {
		tasks, err := find(ctx, nil)
		errs = errors.Join(errs, err)
		for _, t := range tasks {
			if !t.ended() {
				t, err = j.cancel(ctx, t, find)
				errs = errors.Join(errs, err)
			}
			if t.state == completed {
				errs = errors.Join(errs, j.drop(ctx, t.Result))
			}
		}
	}
	return errs
}

// cancel cancels a task and waits until it has ended, one way or the other: it may complete at the same time.
func (j *Job) cancel(ctx context.Context, t task, find func(context.Context, *string) ([]task, error)) (task, error) {
	_, err := j.Region.EC2.CancelImportTask(ctx, &ec2.CancelImportTaskInput{ImportTaskId: &t.id, CancelReason: aws.String("the build was ended")})
	if err = unknownTask(err); err != nil && account.Code(err) != "IncorrectState" {
		return t, err
	}
	err = j.Region.Poll.Until(ctx, t.id+" to be cancelled", func(ctx context.Context) (bool, error) {
		found, err := find(ctx, &t.id)
		if err = unknownTask(err); err != nil {
			return false, err
		}
		if len(found) == 0 {
			t.state = deleted
			return true, nil
		}
		t = found[0]
		return t.state == completed || t.state == deleted || t.state == deleting, nil
	})
	return t, err
}

// drop removes what a task made.
func (j *Job) drop(ctx context.Context, r Result) error {
	if r.Image != "" {
		if _, err := j.Region.Deregister(ctx, r.Image); err != nil {
			return err
		}
	}
	return j.Region.DeleteUnused(ctx, r.Snapshots)
}

// cleanObject aborts uploads to the job's key and deletes the object.
func (j *Job) cleanObject(ctx context.Context) error {
	var errs error
	out, err := j.S3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &j.Bucket, Prefix: &j.Key})
	if isGone(err) {
		err = nil
	}
	errs = errors.Join(errs, err)
	var uploads []s3types.MultipartUpload
	if out != nil {
		uploads = out.Uploads
	}
	for _, u := range uploads {
		if aws.ToString(u.Key) == j.Key {
			errs = errors.Join(errs, j.abort(ctx, u.UploadId))
		}
	}
	return errors.Join(errs, j.DeleteObject(ctx))
}

// DeleteObject removes the uploaded file; nil if it is gone.
func (j *Job) DeleteObject(ctx context.Context) error {
	if _, err := j.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &j.Bucket, Key: &j.Key}); err != nil && !isGone(err) {
		return fmt.Errorf("delete s3://%s/%s: %w", j.Bucket, j.Key, err)
	}
	return nil
}
