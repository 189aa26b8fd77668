package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// task imports an object of S3 as an image or a snapshot.
type task struct {
	object
	kind        string // image or snapshot
	state       string // active, completed, deleting, then deleted
	stage       stage
	message     string
	description string
	format      string
	bucket, key string
	arch, boot  string
	license     string
	kms         string
	snap        string
	image       string
	stop        context.CancelFunc
}

// stage is where an active task has got to.
type stage struct{ message, progress string }

// The stages of a task: those before the disk is converted, those while and after it is. Snapshots have the first ones only.
var (
	pendingStage = stage{"pending", "2"}
	validation   = []stage{pendingStage, {"validating", "5"}, {"validated", "19"}}
	converting   = stage{"converting", "28"}
	finishing    = []stage{{"updating", "58"}, {"booting", "76"}, {"preparing ami", "86"}}
)

// rolePhrase is what the service says when its role is not there, or not there yet.
const rolePhrase = "The service role vmimport provided does not exist or does not have sufficient permissions"

var formats = map[string]string{"raw": "raw", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx"}

// active tells whether a task still does something, so that it can be cancelled.
func (t *task) active() bool { return t.state == "active" }

// newTask is the import that a call asks for, of a disk that p describes.
func (c *call) newTask(kind string, p params) (*task, error) {
	if role := c.or("RoleName", "vmimport"); role != "vmimport" {
		return nil, problem("InvalidParameter", "%s", strings.Replace(rolePhrase, "vmimport", role, 1))
	}
	prefix := map[string]string{"image": "import-ami", "snapshot": "import-snap"}[kind]
	t := &task{object: c.fresh(prefix, c.text("Action")), kind: kind, state: "active", stage: pendingStage, format: strings.ToLower(p.text("Format")), description: c.text("Description"),
		arch: c.or("Architecture", "x86_64"), boot: c.text("BootMode"), license: c.or("LicenseType", "BYOL")}
	tagged, err := c.tagged("import-" + kind + "-task")
	if err != nil {
		return nil, err
	}
	t.tags = tagged["import-"+kind+"-task"]
	if t.kms, err = c.encryption(""); err != nil {
		return nil, err
	}
	if _, known := formats[t.format]; !known && (t.format != "ova" || kind == "snapshot") {
		return nil, problem("InvalidParameter", "The format %s is not supported", t.format)
	}
	t.bucket, t.key = p.text("UserBucket.S3Bucket"), p.text("UserBucket.S3Key")
	if rest, ok := strings.CutPrefix(p.text("Url"), "s3://"); ok {
		t.bucket, t.key, _ = strings.Cut(rest, "/")
	}
	if t.bucket == "" || t.key == "" {
		return nil, problem("MissingParameter", "The request must contain the parameter UserBucket")
	}
	if where, found := c.buckets.regionOf(t.bucket); found && where != c.region.name {
		return nil, problem("InvalidParameter", "The given S3 bucket is not local to the region")
	}
	c.region.tasks[t.id] = t
	c.remember(t.id)
	c.runTask(t)
	return t, nil
}

// runTask makes the snapshot, and the image, of a task.
func (c *call) runTask(t *task) {
	s := &snapshot{object: c.object("snap"), state: snapPending, volume: noVolume, key: t.kms, description: "Created by AWS-VMImport service for " + t.id}
	s.show()
	text, fails := c.spoiledWith(c.text("Action"), ImportFails)
	r, cloud := c.region, c.Cloud
	var ctx context.Context
	ctx, t.stop = context.WithCancel(c.ctx)
	cloud.do(func(context.Context) error {
		defer t.stop()
		if fails {
			text = cmp.Or(text, "ClientError: Unknown OS / Missing OS files.")
		}
		return cloud.convert(ctx, t, cloud.snapshotFile(s.id), text)
	}, func(err error) {
		if err != nil {
			t.state, t.message, t.ready = "deleting", err.Error(), time.Now().Add(cloud.cfg.Pace)
			cloud.remove(cloud.snapshotFile(s.id))
			return
		}
		cloud.imported(r, t, s)
	})
}

// errCancelled is what a task that was cancelled says.
var errCancelled = errors.New("ClientError: The import task was canceled by the user")

// convert goes through the stages of a task and leaves its disk in a file. With a text it fails with that.
func (c *Cloud) convert(ctx context.Context, t *task, to, failure string) error {
	if err := c.pass(ctx, t, validation...); err != nil {
		return err
	}
	path, found, err := c.buckets.file(t.bucket, t.key)
	if err != nil {
		return err
	}
	if !found {
		return errors.New("ClientError: Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]")
	}
	if err := c.pass(ctx, t, converting); err != nil {
		return err
	}
	if failure != "" {
		return errors.New(failure)
	}
	if err := unpackDisk(ctx, t.format, path, to); err != nil {
		return err
	}
	if t.kind == "snapshot" {
		return nil
	}
	if c.cfg.Inspect {
		if err := inspect(ctx, to); err != nil {
			return err
		}
	}
	return c.pass(ctx, t, finishing...)
}

// pass has a task be in stages, one after the other.
func (c *Cloud) pass(ctx context.Context, t *task, stages ...stage) error {
	for _, s := range stages {
		c.mu.Lock()
		t.stage = s
		c.mu.Unlock()
		select {
		case <-time.After(c.cfg.Pace):
		case <-ctx.Done():
			return errCancelled
		}
	}
	return nil
}

// imported settles a task that has ended well. c.mu is held.
func (c *Cloud) imported(r *region, t *task, s *snapshot) {
	info, err := os.Stat(c.snapshotFile(s.id))
	if err == nil {
		s.size = (info.Size() + gib - 1) / gib
		err = os.Truncate(c.snapshotFile(s.id), s.size*gib)
	}
	if err != nil {
		t.state, t.message = "deleting", "ServerError: "+err.Error()
		return
	}
	s.state = snapCompleted
	r.snapshots[s.id] = s
	t.state, t.snap = "completed", s.id
	if t.kind == "image" {
		made := &image{object: c.object("ami"), name: t.id, description: cmp.Or(t.description, "AWS-VMImport service: Linux"), arch: t.arch, rootDevice: "/dev/sda1", bootMode: t.boot, ena: true,
			state: imageAvailable, disks: []mapping{{device: "/dev/sda1", snapshot: s.id, size: s.size, kind: "gp2", autoDelete: true, kms: t.kms}}}
		made.ready = made.born
		r.images[made.id] = made
		t.image = made.id
	}
}

// unpackDisk makes a raw disk of what was uploaded.
func unpackDisk(ctx context.Context, format, from, to string) error {
	if format == "ova" {
		disk := to + ".vmdk"
		defer os.Remove(disk)
		const first = `set -e; name=$(tar -tf "$1" | grep -m 1 '\.vmdk$'); tar -xOf "$1" "$name" >"$2"`
		if out, err := exec.CommandContext(ctx, "sh", "-c", first, "sh", from, disk).CombinedOutput(); err != nil {
			return errors.New("ClientError: Disk validation failed [Unsupported OVA format]" + strings.TrimSpace(" "+string(out)))
		}
		format, from = "vmdk", disk
	}
	out, err := exec.CommandContext(ctx, "qemu-img", "convert", "-f", formats[format], "-O", "raw", from, to).CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return errCancelled
	case err != nil:
		return fmt.Errorf("ClientError: Disk validation failed [Unsupported %s format: %s]", strings.ToUpper(format), strings.TrimSpace(string(out)))
	}
	return nil
}

// clientError is why ImportImage does not take a disk, in Amazon's words.
type clientError string

func (e clientError) Error() string { return "ClientError: " + string(e) }

// inspect looks for an operating system as ImportImage does: a Linux partition with a system and its kernel.
func inspect(ctx context.Context, disk string) error {
	fs, err := openLinux(ctx, disk)
	if err != nil {
		return clientError("No valid partitions. Not a valid volume.")
	}
	if has, err := fs.has("/etc/os-release", "/usr/lib/os-release"); err != nil || !has {
		return errors.Join(clientError("Unknown OS / Missing OS files."), err)
	}
	if names, err := fs.list("/lib/modules", "/usr/lib/modules"); err != nil || len(names) == 0 {
		return errors.Join(clientError("Unable to determine kernel version."), err)
	}
	return nil
}

func (t *task) shown() (state string, at stage) {
	switch {
	case t.state == "active":
		return t.state, t.stage
	case t.state == "deleting" && t.settled():
		return "deleted", stage{message: t.message}
	}
	return t.state, stage{message: t.message}
}

type userBucket struct {
	Bucket string `xml:"s3Bucket"`
	Key    string `xml:"s3Key"`
}

type imageTask struct {
	ID          string           `xml:"importTaskId"`
	Status      string           `xml:"status"`
	Message     string           `xml:"statusMessage,omitempty"`
	Progress    string           `xml:"progress,omitempty"`
	Image       string           `xml:"imageId,omitempty"`
	Arch        string           `xml:"architecture,omitempty"`
	Boot        string           `xml:"bootMode,omitempty"`
	Description string           `xml:"description,omitempty"`
	Encrypted   bool             `xml:"encrypted"`
	Platform    string           `xml:"platform"`
	License     string           `xml:"licenseType"`
	Details     []snapshotDetail `xml:"snapshotDetailSet>item"`
	Tags        []tagItem        `xml:"tagSet>item"`
}

type snapshotDetail struct {
	Format string     `xml:"format"`
	Status string     `xml:"status,omitempty"`
	Snap   string     `xml:"snapshotId,omitempty"`
	Bucket userBucket `xml:"userBucket"`
}

func (t *task) imageTask() imageTask {
	state, at := t.shown()
	it := imageTask{ID: t.id, Status: state, Message: at.message, Progress: at.progress, Image: t.image, Arch: t.arch, Boot: t.boot, Description: t.description,
		Encrypted: t.kms != "", Platform: "Linux", License: t.license, Tags: t.tags.items()}
	d := snapshotDetail{Format: strings.ToUpper(t.format), Snap: t.snap, Bucket: userBucket{t.bucket, t.key}}
	if t.snap != "" {
		d.Status = "completed"
	}
	it.Details = []snapshotDetail{d}
	return it
}

// again is the task of an earlier call with the same ClientToken, if there was one.
func (c *call) again() (*task, error) {
	id, err := c.made()
	return c.region.tasks[id], err
}

func importImage(c *call) (any, error) {
	t, err := c.again()
	if err == nil && t == nil {
		containers := c.each("DiskContainer")
		if len(containers) != 1 {
			return nil, problem("InvalidParameter", "one disk container is simulated, not %d", len(containers))
		}
		t, err = c.newTask("image", containers[0])
	}
	if err != nil {
		return nil, err
	}
	return t.imageTask(), nil
}

type snapshotTask struct {
	ID          string       `xml:"importTaskId"`
	Description string       `xml:"description,omitempty"`
	Detail      importDetail `xml:"snapshotTaskDetail"`
	Tags        []tagItem    `xml:"tagSet>item"`
}

type importDetail struct {
	Status    string     `xml:"status"`
	Message   string     `xml:"statusMessage,omitempty"`
	Progress  string     `xml:"progress,omitempty"`
	Snap      string     `xml:"snapshotId,omitempty"`
	Format    string     `xml:"format"`
	Encrypted bool       `xml:"encrypted"`
	Bucket    userBucket `xml:"userBucket"`
}

func (t *task) snapshotTask() snapshotTask {
	state, at := t.shown()
	return snapshotTask{t.id, t.description, importDetail{state, at.message, at.progress, t.snap, strings.ToUpper(t.format), t.kms != "", userBucket{t.bucket, t.key}}, t.tags.items()}
}

func importSnapshot(c *call) (any, error) {
	t, err := c.again()
	if err == nil && t == nil {
		t, err = c.newTask("snapshot", c.sub("DiskContainer"))
	}
	if err != nil {
		return nil, err
	}
	return t.snapshotTask(), nil
}

func missingTask(id string) error {
	return problem("InvalidConversionTaskId.Malformed", "The import task '%s' does not exist", id)
}

func (c *call) importTasks(kind string) ([]*task, error) {
	mine := map[string]*task{}
	for id, t := range c.region.tasks {
		if t.kind == kind {
			mine[id] = t
		}
	}
	return describe(mine, func(t *task) *object { return &t.object }, c.list("ImportTaskId"), c.params,
		func(t *task) attributes {
			state, _ := t.shown()
			return attributes{"task-state": {state}}
		}, missingTask)
}

func describeImageTasks(c *call) (any, error) {
	var out struct {
		Tasks []imageTask `xml:"importImageTaskSet>item"`
	}
	all, err := c.importTasks("image")
	for _, t := range all {
		out.Tasks = append(out.Tasks, t.imageTask())
	}
	return out, err
}

func describeSnapshotTasks(c *call) (any, error) {
	var out struct {
		Tasks []snapshotTask `xml:"importSnapshotTaskSet>item"`
	}
	all, err := c.importTasks("snapshot")
	for _, t := range all {
		out.Tasks = append(out.Tasks, t.snapshotTask())
	}
	return out, err
}

func cancelTask(c *call) (any, error) {
	t, found := c.region.tasks[c.text("ImportTaskId")]
	if !found || !t.asked() {
		return nil, missingTask(c.text("ImportTaskId"))
	}
	was, _ := t.shown()
	now := was
	if t.active() {
		t.stop()
		now = "deleting"
	}
	return struct {
		ID       string `xml:"importTaskId"`
		State    string `xml:"state"`
		Previous string `xml:"previousState"`
	}{t.id, now, was}, nil
}
