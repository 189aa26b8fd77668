package cloud

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// image is an AMI.
type image struct {
	object
	name, description, arch, rootDevice, bootMode string
	ena                                           bool
	imds                                          string
	tpm                                           string
	state                                         string
	disks                                         []mapping
	users, groups                                 []string
	deprecated                                    string
	guarded                                       bool // against deregistration
	source                                        string
}

// The states of an image.
const (
	imagePending   = "pending"
	imageAvailable = "available"
	imageFailed    = "failed"
)

// mapping is a disk of an image or a call.
type mapping struct {
	device     string
	snapshot   string
	size       int64 // GiB
	kind       string
	autoDelete bool
	encrypted  bool
}

func missingImage(id string) error {
	return problem("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
}

// shown is the state that others see: a while after the snapshots are made.
func (im *image) shown() string {
	if im.state == imageAvailable && !im.settled() {
		return imagePending
	}
	return im.state
}

func (im *image) rootSnapshot() string {
	for _, d := range im.disks {
		if d.device == im.rootDevice {
			return d.snapshot
		}
	}
	return ""
}

// mappings are the disks that a call describes, over those of an image.
func (c *call) mappings(base []mapping) ([]mapping, error) {
	all := slices.Clone(base)
	for _, p := range c.each("BlockDeviceMapping") {
		device := p.text("DeviceName")
		if p.text("NoDevice") != "" || p.text("VirtualName") != "" {
			continue // instance storage is none of EBS's
		}
		i := slices.IndexFunc(all, func(m mapping) bool { return m.device == device })
		if i < 0 {
			all, i = append(all, mapping{device: device, kind: "gp2", autoDelete: true}), len(all)
		}
		m := &all[i]
		m.snapshot = p.or("Ebs.SnapshotId", m.snapshot)
		s, there := c.region.snapshots[m.snapshot]
		if m.snapshot != "" && !there {
			return nil, missingSnapshot(m.snapshot)
		}
		if there {
			m.size = max(m.size, s.size)
		}
		size, err := p.number("Ebs.VolumeSize", m.size)
		if err != nil {
			return nil, err
		}
		m.size, m.kind = size, p.or("Ebs.VolumeType", m.kind)
		if text := p.text("Ebs.DeleteOnTermination"); text != "" {
			m.autoDelete = text == "true"
		}
		m.encrypted = m.encrypted || p.yes("Ebs.Encrypted")
		if m.size == 0 {
			return nil, problem("MissingParameter", "The request must contain the parameter size or snapshotId")
		}
	}
	return all, nil
}

type imageDisk struct {
	Device    string `xml:"deviceName"`
	Snapshot  string `xml:"ebs>snapshotId"`
	Size      int64  `xml:"ebs>volumeSize"`
	Delete    bool   `xml:"ebs>deleteOnTermination"`
	Kind      string `xml:"ebs>volumeType"`
	Encrypted bool   `xml:"ebs>encrypted"`
}

type imageItem struct {
	ID          string       `xml:"imageId"`
	Location    string       `xml:"imageLocation"`
	State       string       `xml:"imageState"`
	Owner       string       `xml:"imageOwnerId"`
	Public      bool         `xml:"isPublic"`
	Arch        string       `xml:"architecture"`
	Kind        string       `xml:"imageType"`
	Name        string       `xml:"name"`
	Description string       `xml:"description,omitempty"`
	RootKind    string       `xml:"rootDeviceType"`
	RootDevice  string       `xml:"rootDeviceName"`
	Disks       []imageDisk  `xml:"blockDeviceMapping>item"`
	Virtual     string       `xml:"virtualizationType"`
	Created     string       `xml:"creationDate"`
	ENA         bool         `xml:"enaSupport"`
	BootMode    string       `xml:"bootMode,omitempty"`
	IMDS        string       `xml:"imdsSupport,omitempty"`
	TPM         string       `xml:"tpmSupport,omitempty"`
	Deprecated  string       `xml:"deprecationTime,omitempty"`
	Guarded     string       `xml:"deregistrationProtection,omitempty"`
	Why         *stateReason `xml:"stateReason"`
	Tags        []tagItem    `xml:"tagSet>item"`
}

func (im *image) item() imageItem {
	it := imageItem{ID: im.id, Location: Account + "/" + im.name, State: im.shown(), Owner: Account, Public: slices.Contains(im.groups, "all"), Arch: im.arch, Kind: "machine",
		Name: im.name, Description: im.description, RootKind: "ebs", RootDevice: im.rootDevice, Virtual: "hvm", Created: stamp(im.born), ENA: im.ena, BootMode: im.bootMode,
		IMDS: im.imds, TPM: im.tpm, Deprecated: im.deprecated, Tags: im.tags.items()}
	if im.guarded {
		it.Guarded = "enabled"
	}
	if im.state == imageFailed {
		it.Why = &stateReason{"Client.InternalError", "Client error on launch"}
	}
	for _, d := range im.disks {
		it.Disks = append(it.Disks, imageDisk{d.device, d.snapshot, d.size, d.autoDelete, d.kind, d.encrypted})
	}
	return it
}

func (im *image) attributes() attributes {
	var snapshots []string
	for _, d := range im.disks {
		snapshots = append(snapshots, d.snapshot)
	}
	return attributes{"image-id": {im.id}, "name": {im.name}, "state": {im.shown()}, "architecture": {im.arch}, "owner-id": {Account}, "owner-alias": {"self"},
		"root-device-type": {"ebs"}, "virtualization-type": {"hvm"}, "image-type": {"machine"}, "description": {im.description}, "is-public": {fmt.Sprint(slices.Contains(im.groups, "all"))},
		"block-device-mapping.snapshot-id": snapshots, "boot-mode": {im.bootMode}, "ena-support": {fmt.Sprint(im.ena)}, "hypervisor": {"xen"}}
}

func describeImages(c *call) (any, error) {
	var out struct {
		Images []imageItem `xml:"imagesSet>item"`
	}
	owners := c.list("Owner")
	if len(owners) > 0 && !slices.Contains(owners, "self") && !slices.Contains(owners, Account) {
		return out, nil
	}
	found, err := describe(c.region.images, func(im *image) *object { return &im.object }, c.list("ImageId"), c.params, (*image).attributes, missingImage)
	for _, im := range found {
		out.Images = append(out.Images, im.item())
	}
	return out, err
}

// newImage is an image of a name that is free.
func (c *call) newImage() (*image, error) {
	name, err := c.must("Name")
	if err != nil {
		return nil, err
	}
	for _, im := range c.region.images {
		if im.name == name {
			return nil, problem("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, im.id)
		}
	}
	im := &image{object: c.object("ami"), name: name, description: c.text("Description"), state: imagePending, imds: c.text("ImdsSupport"), tpm: c.text("TpmSupport")}
	im.tags = c.tagged("image")
	im.hide(c, c.text("Action"))
	return im, nil
}

type imageAnswer struct {
	ID string `xml:"imageId"`
}

func createImage(c *call) (any, error) {
	in, found := c.region.instances[c.text("InstanceId")]
	if !found {
		return nil, missingInstance(c.text("InstanceId"))
	}
	if in.state != stopped && in.state != running {
		return nil, problem("IncorrectInstanceState", "Instance is not in state running or stopped: %s is %s", in.id, in.state.Name)
	}
	im, err := c.newImage()
	if err != nil {
		return nil, err
	}
	im.arch, im.rootDevice, im.ena, im.source = in.arch, in.rootDevice, true, in.id
	if in.uefi {
		im.bootMode = "uefi"
	}
	c.region.images[im.id] = im
	fails := c.spoiled("CreateImage", SnapshotFails)
	left := len(in.volumes)
	for _, id := range in.volumes {
		v := c.region.volumes[id]
		s := &snapshot{object: c.object("snap"), size: v.size, volume: v.id, description: fmt.Sprintf("Created by CreateImage(%s) for %s", in.id, im.id)}
		s.tags, s.hidden = c.tagged("snapshot"), 0
		im.disks = append(im.disks, mapping{device: v.device, snapshot: s.id, size: v.size, kind: cmp.Or(v.kind, "gp2"), autoDelete: true, encrypted: v.encrypted})
		c.freeze(c.region, c.volumeFile(v.id), s, im.settler(&left, fails))
	}
	return imageAnswer{im.id}, nil
}

// settler makes an image available when its last snapshot is made, or failed when one is not.
func (im *image) settler(left *int, fails bool) func(*snapshot) {
	return func(s *snapshot) {
		if fails {
			s.state, s.message = snapError, "the snapshot could not be made"
		}
		*left--
		switch {
		case s.state == snapError:
			im.state = imageFailed
		case *left == 0 && im.state == imagePending:
			im.state = imageAvailable
		}
	}
}

func registerImage(c *call) (any, error) {
	im, err := c.newImage()
	if err != nil {
		return nil, err
	}
	if im.disks, err = c.mappings(nil); err != nil {
		return nil, err
	}
	im.arch, im.rootDevice, im.bootMode, im.ena = c.or("Architecture", "i386"), c.text("RootDeviceName"), c.text("BootMode"), c.yes("EnaSupport")
	if c.or("VirtualizationType", "paravirtual") != "hvm" {
		return nil, problem("InvalidParameterValue", "virtualization type paravirtual is not supported")
	}
	if im.rootSnapshot() == "" {
		return nil, problem("InvalidBlockDeviceMapping", "The root device %s is in no block device mapping with a snapshot", im.rootDevice)
	}
	for _, d := range im.disks {
		if s := c.region.snapshots[d.snapshot]; s != nil && s.shown() != snapCompleted {
			return nil, problem("InvalidSnapshot.Unavailable", "The snapshot '%s' is not available: it is %s", s.id, s.shown())
		}
	}
	im.state = imageAvailable
	c.region.images[im.id] = im
	return imageAnswer{im.id}, nil
}

func copyImage(c *call) (any, error) {
	from, err := c.sourceRegion()
	if err != nil {
		return nil, err
	}
	src, found := from.images[c.text("SourceImageId")]
	if !found {
		return nil, missingImage(c.text("SourceImageId"))
	}
	if src.shown() != imageAvailable {
		return nil, problem("InvalidRequest", "The specified image %s is not available", src.id)
	}
	im, err := c.newImage()
	if err != nil {
		return nil, err
	}
	im.arch, im.rootDevice, im.bootMode, im.ena, im.imds, im.tpm = src.arch, src.rootDevice, src.bootMode, src.ena, src.imds, src.tpm
	im.description = cmp.Or(im.description, src.description)
	c.region.images[im.id] = im
	left, fails := len(src.disks), c.spoiled("CopyImage", SnapshotFails)
	for _, d := range src.disks {
		s := &snapshot{object: c.object("snap"), size: d.size, volume: "vol-ffffffff", description: fmt.Sprintf("Copied for DestinationAmi %s from SourceAmi %s", im.id, src.id)}
		s.hidden = 0
		if c.yes("CopyImageTags") {
			maps.Copy(s.tags, from.snapshots[d.snapshot].tags)
		}
		was := d.snapshot
		d.snapshot, d.encrypted = s.id, d.encrypted || c.yes("Encrypted")
		im.disks = append(im.disks, d)
		c.freeze(c.region, c.snapshotFile(was), s, im.settler(&left, fails))
	}
	if c.yes("CopyImageTags") {
		maps.Copy(im.tags, src.tags)
	}
	return imageAnswer{im.id}, nil
}

func (c *call) image() (*image, error) {
	im, found := c.region.images[c.text("ImageId")]
	if !found || !im.asked() {
		return nil, missingImage(c.text("ImageId"))
	}
	return im, nil
}

// deregisterImage leaves the snapshots, unless the call says otherwise, as the service does.
func deregisterImage(c *call) (any, error) {
	im, found := c.region.images[c.text("ImageId")]
	if !found {
		return nil, missingImage(c.text("ImageId"))
	}
	if im.guarded {
		return nil, problem("OperationNotPermitted", "The image %s is protected from deregistration", im.id)
	}
	delete(c.region.images, im.id)
	return ok()
}

func describeImageAttribute(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	type permission struct {
		User  string `xml:"userId,omitempty"`
		Group string `xml:"group,omitempty"`
	}
	var out struct {
		ID          string       `xml:"imageId"`
		Permissions []permission `xml:"launchPermission>item"`
	}
	out.ID = im.id
	for _, u := range im.users {
		out.Permissions = append(out.Permissions, permission{User: u})
	}
	for _, g := range im.groups {
		out.Permissions = append(out.Permissions, permission{Group: g})
	}
	return out, nil
}

func modifyImageAttribute(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	im.description = c.or("Description.Value", im.description)
	im.imds = c.or("ImdsSupport.Value", im.imds)
	adds := append(c.sub("LaunchPermission").each("Add"), c.launchList()...)
	for _, p := range adds {
		if u := p.text("UserId"); u != "" {
			im.users = append(im.users, u)
		}
		if g := p.text("Group"); g != "" {
			im.groups = append(im.groups, g)
		}
	}
	return ok()
}

// launchList is the older form of the launch permission's parameters.
func (c *call) launchList() []params {
	var all []params
	if c.text("OperationType") != "add" {
		return nil
	}
	for _, u := range c.list("UserId") {
		all = append(all, params{map[string][]string{"UserId": {u}}})
	}
	for _, g := range c.list("UserGroup") {
		all = append(all, params{map[string][]string{"Group": {g}}})
	}
	return all
}

func enableDeprecation(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	if im.deprecated, err = c.must("DeprecateAt"); err != nil {
		return nil, err
	}
	return ok()
}

func protectImage(on bool) action {
	return func(c *call) (any, error) {
		im, err := c.image()
		if err != nil {
			return nil, err
		}
		im.guarded = on
		return struct {
			Return string `xml:"return"`
		}{map[bool]string{true: "enabled-without-cooldown", false: "disabled"}[on]}, nil
	}
}

// AddImage makes an image of a raw disk, as if somebody had published it, and returns its id.
func (c *Cloud) AddImage(ctx context.Context, regionName, name, disk string) (string, error) {
	info, err := os.Stat(disk)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	s := &snapshot{object: c.object("snap"), size: (info.Size() + gib - 1) / gib, state: snapCompleted, volume: "vol-ffffffff"}
	im := &image{object: c.object("ami"), name: name, arch: "x86_64", rootDevice: "/dev/xvda", ena: true, state: imageAvailable,
		disks: []mapping{{device: "/dev/xvda", snapshot: s.id, size: s.size, kind: "gp2", autoDelete: true}}}
	for _, o := range []*object{&s.object, &im.object} {
		o.hidden, o.ready = 0, o.born
	}
	c.mu.Unlock()
	if err := copyDisk(ctx, disk, c.snapshotFile(s.id)); err != nil {
		return "", err
	}
	if err := os.Truncate(c.snapshotFile(s.id), s.size*gib); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.region(regionName)
	r.snapshots[s.id], r.images[im.id] = s, im
	return im.id, nil
}
