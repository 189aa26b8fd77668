package cloud

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
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
	users                                         permissions
	deprecated                                    string
	guarded                                       string // against deregistration: enabled-with-cooldown, enabled-without-cooldown, or not
	source                                        string
	owner, alias                                  string // Account unless set, and amazon or another alias
}

// The states of an image.
const (
	imagePending   = "pending"
	imageAvailable = "available"
	imageFailed    = "failed"
)

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
	Alias       string       `xml:"imageOwnerAlias,omitempty"`
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
	it := imageItem{ID: im.id, Location: im.ownedBy() + "/" + im.name, State: im.shown(), Owner: im.ownedBy(), Alias: im.alias, Public: im.public(), Arch: im.arch, Kind: "machine",
		Name: im.name, Description: im.description, RootKind: "ebs", RootDevice: im.rootDevice, Virtual: "hvm", Created: stamp(im.born), ENA: im.ena, BootMode: im.bootMode,
		IMDS: im.imds, TPM: im.tpm, Deprecated: im.deprecated, Guarded: cmp.Or(im.guarded, "disabled"), Tags: im.tags.items()}
	if im.state == imageFailed {
		it.Why = &stateReason{"Client.InternalError", "Client error on launch"}
	}
	for _, d := range im.disks {
		it.Disks = append(it.Disks, imageDisk{d.device, d.snapshot, d.size, d.autoDelete, d.kind, d.kms != ""})
	}
	return it
}

func (im *image) public() bool { return slices.Contains(im.users, permission{Group: "all"}) }

func (im *image) ownedBy() string { return cmp.Or(im.owner, Account) }

func (im *image) attributes() attributes {
	var snapshots []string
	for _, d := range im.disks {
		snapshots = append(snapshots, d.snapshot)
	}
	return attributes{"image-id": {im.id}, "name": {im.name}, "state": {im.shown()}, "architecture": {im.arch}, "owner-id": {im.ownedBy()}, "owner-alias": {im.alias}, "creation-date": {stamp(im.born)}, "root-device-name": {im.rootDevice},
		"root-device-type": {"ebs"}, "virtualization-type": {"hvm"}, "image-type": {"machine"}, "description": {im.description}, "is-public": {fmt.Sprint(im.public())},
		"block-device-mapping.snapshot-id": snapshots, "boot-mode": {im.bootMode}, "ena-support": {fmt.Sprint(im.ena)}, "hypervisor": {"xen"}, "source-instance-id": {im.source}}
}

func describeImages(c *call) (any, error) {
	var out struct {
		Images []imageItem `xml:"imagesSet>item"`
	}
	found, err := describe(c.region.images, func(im *image) *object { return &im.object }, c.list("ImageId"), c.params, (*image).attributes, missingImage)
	for _, im := range found {
		if im.belongsTo(c.list("Owner")) {
			out.Images = append(out.Images, im.item())
		}
	}
	return out, err
}

// belongsTo tells whether an image has one of the owners, any for none.
func (im *image) belongsTo(owners []string) bool {
	return len(owners) == 0 || slices.Contains(owners, im.ownedBy()) || im.owner == "" && slices.Contains(owners, "self") || im.alias != "" && slices.Contains(owners, im.alias)
}

var imageName = regexp.MustCompile(`^[A-Za-z0-9()\[\] ./\-'@_]{3,128}$`)

// newImage is an image of a name that is free.
func (c *call) newImage() (*image, error) {
	name, err := c.must("Name")
	if err != nil {
		return nil, err
	}
	if !imageName.MatchString(name) {
		return nil, problem("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	}
	for _, im := range c.region.images {
		if im.name == name && im.owner == "" {
			return nil, problem("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, im.id)
		}
	}
	return &image{object: c.fresh("ami", c.text("Action")), name: name, description: c.text("Description"), state: imagePending, imds: c.text("ImdsSupport"), tpm: c.text("TpmSupport")}, nil
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
	t, err := c.tagged("image", "snapshot")
	if err != nil {
		return nil, err
	}
	im, err := c.newImage()
	if err != nil {
		return nil, err
	}
	im.tags, im.arch, im.rootDevice, im.ena, im.source = t["image"], in.arch, in.rootDevice, in.ena, in.id
	if in.uefi {
		im.bootMode = "uefi"
	}
	if err := c.imageVolumes(im, in, t["snapshot"]); err != nil {
		return nil, err
	}
	c.region.images[im.id] = im
	return imageAnswer{im.id}, nil
}

// imageVolumes makes the disks of an image of the volumes of an instance, changed and added to by the call.
func (c *call) imageVolumes(im *image, in *instance, t tags) error {
	var base []mapping
	files := map[string]string{}
	for _, id := range in.volumes {
		v := c.region.volumes[id]
		base = append(base, mapping{device: v.device, size: v.size, kind: cmp.Or(v.kind, "gp2"), autoDelete: v.autoDelete, kms: v.kms})
		files[v.device] = v.id
	}
	disks, err := c.mappings(base)
	if err != nil {
		return err
	}
	fails, left := c.spoiled("CreateImage", SnapshotFails), len(files)
	for _, d := range disks {
		id, ours := files[d.device]
		if ours {
			s := &snapshot{object: c.object("snap"), size: d.size, volume: id, key: d.kms, description: fmt.Sprintf("Created by CreateImage(%s) for %s", in.id, im.id)}
			s.tags = maps.Clone(t)
			s.show()
			d.snapshot = s.id
			c.freeze(c.region, c.volumeFile(id), s, im.settler(&left, fails))
		}
		im.disks = append(im.disks, d)
	}
	return nil
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
	t, err := c.tagged("image")
	if err != nil {
		return nil, err
	}
	im, err := c.newImage()
	if err != nil {
		return nil, err
	}
	im.tags = t["image"]
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
	id, err := c.made()
	if err != nil || id != "" {
		return imageAnswer{id}, err
	}
	from, err := c.sourceRegion()
	if err != nil {
		return nil, err
	}
	src, found := from.images[c.text("SourceImageId")]
	if !found || !src.asked() {
		return nil, missingImage(c.text("SourceImageId"))
	}
	if src.shown() != imageAvailable {
		return nil, problem("InvalidRequest", "The specified image %s is not available", src.id)
	}
	t, err := c.tagged("image", "snapshot")
	if err != nil {
		return nil, err
	}
	im, err := c.newImage()
	if err != nil {
		return nil, err
	}
	im.arch, im.rootDevice, im.bootMode, im.ena, im.imds, im.tpm = src.arch, src.rootDevice, src.bootMode, src.ena, src.imds, src.tpm
	im.description = cmp.Or(im.description, src.description)
	if c.yes("CopyImageTags") {
		maps.Copy(im.tags, src.tags)
	}
	maps.Copy(im.tags, t["image"])
	if err := c.copyDisks(im, src, t["snapshot"]); err != nil {
		return nil, err
	}
	c.region.images[im.id] = im
	c.remember(im.id)
	return imageAnswer{im.id}, nil
}

// copyDisks gives an image copies of another's disks.
func (c *call) copyDisks(im, src *image, t tags) error {
	left, fails := len(src.disks), c.spoiled("CopyImage", SnapshotFails)
	for _, d := range src.disks {
		key, err := c.encryption(d.kms)
		if err != nil {
			return err
		}
		s := &snapshot{object: c.object("snap"), size: d.size, volume: noVolume, key: key, description: fmt.Sprintf("Copied for DestinationAmi %s from SourceAmi %s for SourceSnapshot %s", im.id, src.id, d.snapshot)}
		s.tags = maps.Clone(t)
		s.show()
		was := d.snapshot
		d.snapshot, d.kms = s.id, key
		im.disks = append(im.disks, d)
		c.freeze(c.region, c.snapshotFile(was), s, im.settler(&left, fails))
	}
	return nil
}

// image is the one that a call names, which must be the account's own.
func (c *call) image() (*image, error) {
	im, found := c.region.images[c.text("ImageId")]
	switch {
	case !found || !im.asked():
		return nil, missingImage(c.text("ImageId"))
	case im.owner != "":
		return nil, notOurs(im)
	}
	return im, nil
}

func notOurs(im *image) error { return problem("AuthFailure", "Not authorized for image:%s", im.id) }

// deregisterImage leaves the snapshots, unless the call says otherwise.
func deregisterImage(c *call) (any, error) {
	im, found := c.region.images[c.text("ImageId")]
	switch {
	case !found:
		return nil, missingImage(c.text("ImageId"))
	case im.owner != "":
		return nil, notOurs(im)
	case im.guarded != "":
		return nil, problem("OperationNotPermitted", "The image %s is protected from deregistration. Disable deregistration protection first.", im.id)
	}
	type result struct {
		ID   string `xml:"snapshotId"`
		Code string `xml:"returnCode"`
	}
	var out struct {
		Return    bool     `xml:"return"`
		Snapshots []result `xml:"deleteSnapshotResultSet>item"`
	}
	out.Return = true
	delete(c.region.images, im.id)
	for _, d := range im.disks {
		if s := c.region.snapshots[d.snapshot]; s != nil && c.yes("DeleteAssociatedSnapshots") {
			code := "success"
			if err := c.dropSnapshot(s); err != nil {
				code = "skipped" // it belongs to another image too
			}
			out.Snapshots = append(out.Snapshots, result{s.id, code})
		}
	}
	return out, nil
}
