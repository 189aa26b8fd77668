package cloud

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
)

// gib is what sizes are counted in.
const gib = 1 << 30

// snapshot is a frozen disk. Its bytes are a sparse raw file.
type snapshot struct {
	object
	size        int64 // GiB
	state       string
	message     string
	description string
	volume      string // that it was made of
	writing     *writing
	users       []string
}

// The states of a snapshot.
const (
	snapPending   = "pending"
	snapCompleted = "completed"
	snapError     = "error"
)

func (c *Cloud) snapshotFile(id string) string { return c.path("snap-" + id + ".raw") }
func (c *Cloud) volumeFile(id string) string   { return c.path("vol-" + id + ".raw") }

// copyDisk copies a sparse file.
func copyDisk(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "--sparse=always", "--reflink=auto", "--", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy a disk: %w: %s", err, out)
	}
	return nil
}

// freeze makes a snapshot of a disk; settled is called under the lock when its state is final.
func (c *Cloud) freeze(r *region, from string, s *snapshot, settled func(*snapshot)) {
	r.snapshots[s.id] = s
	s.state = snapPending
	c.do(func(ctx context.Context) error { return copyDisk(ctx, from, c.snapshotFile(s.id)) }, func(err error) {
		s.state = snapCompleted
		if err != nil {
			s.state, s.message = snapError, err.Error()
		}
		settled(s)
	})
}

// volume is a disk of an instance.
type volume struct {
	object
	size       int64 // GiB
	instance   string
	device     string
	snapshot   string
	encrypted  bool
	kind       string
	autoDelete bool
}

func missingSnapshot(id string) error {
	return problem("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
}

func missingVolume(id string) error {
	return problem("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
}

func (s *snapshot) attributes() attributes {
	return attributes{"snapshot-id": {s.id}, "status": {s.shown()}, "volume-size": {strconv.FormatInt(s.size, 10)},
		"volume-id": {s.volume}, "owner-id": {Account}, "description": {s.description}}
}

// shown is the state that others see: a while after the copy is made.
func (s *snapshot) shown() string {
	if s.state == snapCompleted && !s.settled() {
		return snapPending
	}
	return s.state
}

func describeSnapshots(c *call) (any, error) {
	type item struct {
		ID          string    `xml:"snapshotId"`
		Volume      string    `xml:"volumeId"`
		Status      string    `xml:"status"`
		Message     string    `xml:"statusMessage,omitempty"`
		Start       string    `xml:"startTime"`
		Progress    string    `xml:"progress"`
		Owner       string    `xml:"ownerId"`
		Size        int64     `xml:"volumeSize"`
		Description string    `xml:"description"`
		Encrypted   bool      `xml:"encrypted"`
		Tags        []tagItem `xml:"tagSet>item"`
	}
	var out struct {
		Snapshots []item `xml:"snapshotSet>item"`
	}
	found, err := describe(c.region.snapshots, func(s *snapshot) *object { return &s.object }, c.list("SnapshotId"), c.params, (*snapshot).attributes, missingSnapshot)
	for _, s := range found {
		progress := "50%"
		if s.shown() == snapCompleted {
			progress = "100%"
		}
		out.Snapshots = append(out.Snapshots, item{s.id, s.volume, s.shown(), s.message, stamp(s.born), progress, Account, s.size, s.description, false, s.tags.items()})
	}
	return out, err
}

func deleteSnapshot(c *call) (any, error) {
	s, found := c.region.snapshots[c.text("SnapshotId")]
	if !found {
		return nil, missingSnapshot(c.text("SnapshotId"))
	}
	for _, im := range c.region.images {
		if slices.ContainsFunc(im.disks, func(d mapping) bool { return d.snapshot == s.id }) {
			return nil, problem("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", s.id, im.id)
		}
	}
	delete(c.region.snapshots, s.id)
	c.remove(c.snapshotFile(s.id))
	return ok()
}

func createSnapshot(c *call) (any, error) {
	v, found := c.region.volumes[c.text("VolumeId")]
	if !found {
		return nil, missingVolume(c.text("VolumeId"))
	}
	s := &snapshot{object: c.object("snap"), size: v.size, volume: v.id, description: c.text("Description")}
	s.tags = c.tagged("snapshot")
	c.freeze(c.region, c.volumeFile(v.id), s, func(*snapshot) {})
	return struct {
		ID     string    `xml:"snapshotId"`
		Volume string    `xml:"volumeId"`
		Status string    `xml:"status"`
		Size   int64     `xml:"volumeSize"`
		Tags   []tagItem `xml:"tagSet>item"`
	}{s.id, v.id, snapPending, s.size, s.tags.items()}, nil
}

// sourceRegion is the one that a call copies something from.
func (c *call) sourceRegion() (*region, error) {
	name, err := c.must("SourceRegion")
	if err != nil {
		return nil, err
	}
	if !slices.Contains(known, name) {
		return nil, problem("InvalidParameterValue", "The region '%s' does not exist", name)
	}
	return c.Cloud.region(name), nil
}

func copySnapshot(c *call) (any, error) {
	from, err := c.sourceRegion()
	if err != nil {
		return nil, err
	}
	src, found := from.snapshots[c.text("SourceSnapshotId")]
	if !found {
		return nil, missingSnapshot(c.text("SourceSnapshotId"))
	}
	if src.shown() != snapCompleted {
		return nil, problem("IncorrectState", "Source snapshot '%s' is not in the completed state", src.id)
	}
	s := &snapshot{object: c.object("snap"), size: src.size, volume: "vol-ffffffff", description: c.text("Description")}
	s.tags = c.tagged("snapshot")
	c.freeze(c.region, c.snapshotFile(src.id), s, func(*snapshot) {})
	return struct {
		ID string `xml:"snapshotId"`
	}{s.id}, nil
}

func modifySnapshot(c *call) (any, error) {
	s, found := c.region.snapshots[c.text("SnapshotId")]
	if !found {
		return nil, missingSnapshot(c.text("SnapshotId"))
	}
	for _, p := range c.sub("CreateVolumePermission").each("Add") {
		s.users = append(s.users, p.text("UserId")+p.text("Group"))
	}
	return ok()
}

func describeVolumes(c *call) (any, error) {
	type attachment struct {
		Volume   string `xml:"volumeId"`
		Instance string `xml:"instanceId"`
		Device   string `xml:"device"`
		Status   string `xml:"status"`
		Delete   bool   `xml:"deleteOnTermination"`
	}
	type item struct {
		ID          string       `xml:"volumeId"`
		Size        int64        `xml:"size"`
		Snapshot    string       `xml:"snapshotId"`
		Zone        string       `xml:"availabilityZone"`
		Status      string       `xml:"status"`
		Created     string       `xml:"createTime"`
		Kind        string       `xml:"volumeType"`
		Encrypted   bool         `xml:"encrypted"`
		Attachments []attachment `xml:"attachmentSet>item"`
		Tags        []tagItem    `xml:"tagSet>item"`
	}
	var out struct {
		Volumes []item `xml:"volumeSet>item"`
	}
	found, err := describe(c.region.volumes, func(v *volume) *object { return &v.object }, c.list("VolumeId"), c.params, func(v *volume) attributes {
		return attributes{"volume-id": {v.id}, "status": {v.status()}, "attachment.instance-id": {v.instance}, "snapshot-id": {v.snapshot}}
	}, missingVolume)
	for _, v := range found {
		it := item{v.id, v.size, v.snapshot, c.region.name + "a", v.status(), stamp(v.born), v.kind, v.encrypted, nil, v.tags.items()}
		if v.instance != "" {
			it.Attachments = []attachment{{v.id, v.instance, v.device, "attached", v.autoDelete}}
		}
		out.Volumes = append(out.Volumes, it)
	}
	return out, err
}

func (v *volume) status() string {
	if v.instance != "" {
		return "in-use"
	}
	return "available"
}

func deleteVolume(c *call) (any, error) {
	v, found := c.region.volumes[c.text("VolumeId")]
	if !found {
		return nil, missingVolume(c.text("VolumeId"))
	}
	if v.instance != "" {
		return nil, problem("VolumeInUse", "Volume %s is currently attached to %s", v.id, v.instance)
	}
	c.dropVolume(c.region, v)
	return ok()
}

func (c *Cloud) dropVolume(r *region, v *volume) {
	delete(r.volumes, v.id)
	c.remove(c.volumeFile(v.id))
}

var errNoDisk = errors.New("the image has no root disk")
