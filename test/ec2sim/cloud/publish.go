package cloud

import (
	"cmp"
	"context"
	"maps"
	"os"
)

// Publication is an image that a cloud has from the beginning.
type Publication struct {
	Name, Disk string // a raw image
	// Owner is the account that has published it, and Alias what that is called, such as amazon. The account's own unless set.
	Owner, Alias string
	Architecture string // x86_64 unless set
	RootDevice   string // /dev/xvda unless set
	BootMode     string // none unless set
	Description  string
	Tags         map[string]string
}

// AddImage makes an image of a raw disk, as if it had been there from the beginning, and returns its id.
func (c *Cloud) AddImage(ctx context.Context, regionName, name, disk string) (string, error) {
	return c.Publish(ctx, regionName, Publication{Name: name, Disk: disk})
}

// Publish makes an image of a raw disk, as if somebody had published it, and returns its id.
func (c *Cloud) Publish(ctx context.Context, regionName string, p Publication) (string, error) {
	info, err := os.Stat(p.Disk)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	s := &snapshot{object: c.object("snap"), size: (info.Size() + gib - 1) / gib, state: snapCompleted, volume: noVolume}
	root := cmp.Or(p.RootDevice, "/dev/xvda")
	im := &image{object: c.object("ami"), name: p.Name, description: p.Description, arch: cmp.Or(p.Architecture, "x86_64"), rootDevice: root, bootMode: p.BootMode, ena: true,
		state: imageAvailable, owner: p.Owner, alias: p.Alias, disks: []mapping{{device: root, snapshot: s.id, size: s.size, kind: "gp2", autoDelete: true}}}
	if p.Owner != "" {
		im.users.add(permission{Group: "all"})
	}
	maps.Copy(im.tags, p.Tags)
	for _, o := range []*object{&s.object, &im.object} {
		o.show()
		o.ready, o.given = o.born, true
	}
	c.mu.Unlock()
	if err := (filling{p.Disk, c.snapshotFile(s.id), s.size * gib}).fill(ctx); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.region(regionName)
	r.snapshots[s.id], r.images[im.id] = s, im
	return im.id, nil
}
