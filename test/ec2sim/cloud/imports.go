package cloud

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// task imports an object of S3 as an image or a snapshot.
type task struct {
	object
	kind    string // image or snapshot
	state   string // active, completed, deleting, deleted
	message string
	format  string
	bucket  string
	key     string
	result  string // the image's or the snapshot's id
	snap    string // of the image
	stop    context.CancelFunc
}

// Objects gives the files of buckets to imports: the path of an object, and false if there is none.
type Objects func(bucket, key string) (path string, found bool)

// UseObjects lets imports find what clients have put into S3. Call it before the first one.
func (c *Cloud) UseObjects(o Objects) { c.objects = o }

// rolePhrase is what the service says when its role is not there, or not there yet.
const rolePhrase = "The service role vmimport provided does not exist or does not have sufficient permissions"

var formats = map[string]string{"raw": "raw", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx"}

// source reads where an import comes from.
func (c *call) source(p params, kind string) (*task, error) {
	if role := c.or("RoleName", "vmimport"); role != "vmimport" {
		return nil, problem("InvalidParameter", "%s", strings.Replace(rolePhrase, "vmimport", role, 1))
	}
	t := &task{object: c.object("import-ami"), kind: kind, state: "active", format: strings.ToLower(p.text("Format")), bucket: p.text("UserBucket.S3Bucket"), key: p.text("UserBucket.S3Key")}
	if kind == "snapshot" {
		t.object = c.object("import-snap")
	}
	t.tags = c.tagged(map[string]string{"image": "import-image-task", "snapshot": "import-snapshot-task"}[kind])
	if _, known := formats[t.format]; !known && (t.format != "ova" || kind == "snapshot") {
		return nil, problem("InvalidParameter", "The format %s is not supported", t.format)
	}
	if t.bucket == "" || t.key == "" {
		return nil, problem("MissingParameter", "The request must contain the parameter UserBucket")
	}
	c.region.tasks[t.id] = t
	c.run(c.region, t, im{arch: c.or("Architecture", "x86_64"), bootMode: c.text("BootMode")})
	return t, nil
}

// im is what an imported image is told to be.
type im struct{ arch, bootMode string }

// run makes the snapshot, and the image, of a task.
func (c *Cloud) run(r *region, t *task, as im) {
	s := &snapshot{object: c.object("snap"), state: snapPending, volume: "vol-ffffffff", description: "Created by AWS-VMImport service for " + t.id}
	s.hidden = 0
	path, found := "", false
	if c.objects != nil {
		path, found = c.objects(t.bucket, t.key)
	}
	ctx, stop := context.WithCancel(c.ctx)
	t.stop = stop
	c.do(func(context.Context) error {
		defer stop()
		if !found {
			return fmt.Errorf("ClientError: Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]")
		}
		return c.unpackDisk(ctx, t.format, path, c.snapshotFile(s.id))
	}, func(err error) {
		if err != nil {
			t.state, t.message = "deleted", err.Error()
			c.remove(c.snapshotFile(s.id))
			return
		}
		if info, err := os.Stat(c.snapshotFile(s.id)); err == nil {
			s.size = (info.Size() + gib - 1) / gib
			_ = os.Truncate(c.snapshotFile(s.id), s.size*gib)
		}
		s.state = snapCompleted
		r.snapshots[s.id] = s
		t.state, t.result, t.snap = "completed", s.id, s.id
		if t.kind == "image" {
			made := &image{object: c.object("ami"), name: t.id, arch: as.arch, rootDevice: "/dev/sda1", bootMode: as.bootMode, state: imageAvailable,
				disks: []mapping{{device: "/dev/sda1", snapshot: s.id, size: s.size, kind: "gp2", autoDelete: true}}}
			r.images[made.id] = made
			t.result = made.id
		}
	})
}

// unpackDisk makes a raw disk of an image.
func (c *Cloud) unpackDisk(ctx context.Context, format, from, to string) error {
	if format == "ova" {
		disk := to + ".vmdk"
		defer os.Remove(disk)
		out, err := exec.CommandContext(ctx, "sh", "-c", `tar -xOf "$1" "$(tar -tf "$1" | grep -m 1 '\.vmdk$')" >"$2"`, "sh", from, disk).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ClientError: Disk validation failed [Unsupported OVA format]: %s", out)
		}
		format, from = "vmdk", disk
	}
	out, err := exec.CommandContext(ctx, "qemu-img", "convert", "-f", formats[format], "-O", "raw", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ClientError: No valid partitions. Not a valid volume. (%s)", strings.TrimSpace(string(out)))
	}
	return nil
}

func (t *task) shown() (state, message, progress string) {
	switch {
	case t.state == "active" || t.state == "completed" && !t.settled():
		return "active", "converting", "28"
	case t.state == "completed":
		return "completed", "", "100"
	}
	return t.state, t.message, ""
}

type userBucket struct {
	Bucket string `xml:"s3Bucket"`
	Key    string `xml:"s3Key"`
}

type imageTask struct {
	ID       string `xml:"importTaskId"`
	Status   string `xml:"status"`
	Message  string `xml:"statusMessage,omitempty"`
	Progress string `xml:"progress,omitempty"`
	Image    string `xml:"imageId,omitempty"`
	Arch     string `xml:"architecture,omitempty"`
	License  string `xml:"licenseType"`
	Details  []struct {
		Format string     `xml:"format"`
		Snap   string     `xml:"snapshotId,omitempty"`
		Bucket userBucket `xml:"userBucket"`
	} `xml:"snapshotDetailSet>item"`
	Tags []tagItem `xml:"tagSet>item"`
}

func (t *task) image() imageTask {
	it := imageTask{ID: t.id, License: "BYOL", Tags: t.tags.items()}
	it.Status, it.Message, it.Progress = t.shown()
	it.Details = append(it.Details, struct {
		Format string     `xml:"format"`
		Snap   string     `xml:"snapshotId,omitempty"`
		Bucket userBucket `xml:"userBucket"`
	}{strings.ToUpper(t.format), t.snap, userBucket{t.bucket, t.key}})
	if it.Status == "completed" {
		it.Image = t.result
	}
	return it
}

func importImage(c *call) (any, error) {
	containers := c.each("DiskContainer")
	if len(containers) != 1 {
		return nil, problem("InvalidParameter", "one disk container is simulated, not %d", len(containers))
	}
	t, err := c.source(containers[0], "image")
	if err != nil {
		return nil, err
	}
	return t.image(), nil
}

type snapshotTask struct {
	ID     string    `xml:"importTaskId"`
	Detail detail    `xml:"snapshotTaskDetail"`
	Tags   []tagItem `xml:"tagSet>item"`
}

type detail struct {
	Status   string     `xml:"status"`
	Message  string     `xml:"statusMessage,omitempty"`
	Progress string     `xml:"progress,omitempty"`
	Snap     string     `xml:"snapshotId,omitempty"`
	Format   string     `xml:"format"`
	Bucket   userBucket `xml:"userBucket"`
}

func (t *task) snapshot() snapshotTask {
	d := detail{Format: strings.ToUpper(t.format), Bucket: userBucket{t.bucket, t.key}}
	d.Status, d.Message, d.Progress = t.shown()
	if d.Status == "completed" {
		d.Snap = t.snap
	}
	return snapshotTask{t.id, d, t.tags.items()}
}

func importSnapshot(c *call) (any, error) {
	t, err := c.source(c.sub("DiskContainer"), "snapshot")
	if err != nil {
		return nil, err
	}
	return t.snapshot(), nil
}

func (c *call) importTasks(kind string) ([]*task, error) {
	mine := map[string]*task{}
	for id, t := range c.region.tasks {
		if t.kind == kind {
			mine[id] = t
		}
	}
	return describe(mine, func(t *task) *object { return &t.object }, c.list("ImportTaskId"), c.params,
		func(t *task) attributes { return attributes{"task-state": {t.state}} },
		func(id string) error {
			return problem("InvalidConversionTaskId.Malformed", "The import task '%s' does not exist", id)
		})
}

func describeImageTasks(c *call) (any, error) {
	var out struct {
		Tasks []imageTask `xml:"importImageTaskSet>item"`
	}
	all, err := c.importTasks("image")
	for _, t := range all {
		out.Tasks = append(out.Tasks, t.image())
	}
	return out, err
}

func describeSnapshotTasks(c *call) (any, error) {
	var out struct {
		Tasks []snapshotTask `xml:"importSnapshotTaskSet>item"`
	}
	all, err := c.importTasks("snapshot")
	for _, t := range all {
		out.Tasks = append(out.Tasks, t.snapshot())
	}
	return out, err
}

func cancelTask(c *call) (any, error) {
	t, found := c.region.tasks[c.text("ImportTaskId")]
	if !found {
		return nil, problem("InvalidConversionTaskId.Malformed", "The import task '%s' does not exist", c.text("ImportTaskId"))
	}
	was := t.state
	if was == "active" {
		t.stop()
	}
	return struct {
		ID       string `xml:"importTaskId"`
		State    string `xml:"state"`
		Previous string `xml:"previousState"`
	}{t.id, "deleting", was}, nil
}
