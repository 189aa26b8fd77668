package cloud

import (
	"context"
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
	key         string // that it is encrypted with; empty for none
	writing     *writing
	users       permissions
}

// noVolume is the volume of snapshots that were made of none.
const noVolume = "vol-ffffffff"

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
		if r.snapshots[s.id] == nil {
			c.remove(c.snapshotFile(s.id)) // it was deleted before it was made
		}
		settled(s)
	})
}

func missingSnapshot(id string) error {
	return problem("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
}

func (s *snapshot) attributes() attributes {
	return attributes{"snapshot-id": {s.id}, "status": {s.shown()}, "volume-size": {strconv.FormatInt(s.size, 10)},
		"volume-id": {s.volume}, "owner-id": {Account}, "owner-alias": nil, "description": {s.description}, "encrypted": {strconv.FormatBool(s.key != "")}, "start-time": {stamp(s.born)}}
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
		Key         string    `xml:"kmsKeyId,omitempty"`
		Tags        []tagItem `xml:"tagSet>item"`
	}
	var out struct {
		Snapshots []item `xml:"snapshotSet>item"`
	}
	owners := c.list("Owner")
	if len(owners) > 0 && !slices.Contains(owners, "self") && !slices.Contains(owners, Account) {
		return out, nil
	}
	found, err := describe(c.region.snapshots, func(s *snapshot) *object { return &s.object }, c.list("SnapshotId"), c.params, (*snapshot).attributes, missingSnapshot)
	for _, s := range found {
		progress := "50%"
		if s.shown() == snapCompleted {
			progress = "100%"
		}
		out.Snapshots = append(out.Snapshots, item{s.id, s.volume, s.shown(), s.message, stamp(s.born), progress, Account, s.size, s.description, s.key != "", s.key, s.tags.items()})
	}
	return out, err
}

func deleteSnapshot(c *call) (any, error) {
	s, found := c.region.snapshots[c.text("SnapshotId")]
	if !found {
		return nil, missingSnapshot(c.text("SnapshotId"))
	}
	if err := c.dropSnapshot(s); err != nil {
		return nil, err
	}
	return ok()
}

// dropSnapshot deletes a snapshot unless an image uses it.
func (c *call) dropSnapshot(s *snapshot) error {
	for _, im := range c.region.images {
		if slices.ContainsFunc(im.disks, func(d mapping) bool { return d.snapshot == s.id }) {
			return problem("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", s.id, im.id)
		}
	}
	if s.writing != nil {
		if err := s.writing.file.Close(); err != nil {
			return err
		}
		s.writing = nil
	}
	delete(c.region.snapshots, s.id)
	c.remove(c.snapshotFile(s.id))
	return nil
}

func createSnapshot(c *call) (any, error) {
	v, found := c.region.volumes[c.text("VolumeId")]
	if !found {
		return nil, missingVolume(c.text("VolumeId"))
	}
	s, err := c.newSnapshot(v.size, v.id)
	if err != nil {
		return nil, err
	}
	s.key = v.kms
	c.freeze(c.region, c.volumeFile(v.id), s, c.failing())
	return struct {
		ID        string    `xml:"snapshotId"`
		Volume    string    `xml:"volumeId"`
		Status    string    `xml:"status"`
		Size      int64     `xml:"volumeSize"`
		Encrypted bool      `xml:"encrypted"`
		Tags      []tagItem `xml:"tagSet>item"`
	}{s.id, v.id, snapPending, s.size, s.key != "", s.tags.items()}, nil
}

// newSnapshot is the one that a call of CreateSnapshot or CopySnapshot makes.
func (c *call) newSnapshot(size int64, volume string) (*snapshot, error) {
	t, err := c.tagged("snapshot")
	if err != nil {
		return nil, err
	}
	s := &snapshot{object: c.fresh("snap", c.text("Action")), size: size, volume: volume, description: c.text("Description")}
	s.tags = t["snapshot"]
	return s, nil
}

// failing has a snapshot end in an error if a fault says so.
func (c *call) failing() func(*snapshot) {
	fails := c.spoiled(c.text("Action"), SnapshotFails)
	return func(s *snapshot) {
		if fails {
			s.state, s.message = snapError, "the snapshot could not be made"
		}
	}
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
	key, err := c.encryption(src.key)
	if err != nil {
		return nil, err
	}
	s, err := c.newSnapshot(src.size, noVolume)
	if err != nil {
		return nil, err
	}
	s.key = key
	c.freeze(c.region, c.snapshotFile(src.id), s, c.failing())
	return struct {
		ID   string    `xml:"snapshotId"`
		Tags []tagItem `xml:"tagSet>item"`
	}{s.id, s.tags.items()}, nil
}
