package cloud

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"time"
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

// mapping is a disk of an image or a call.
type mapping struct {
	device     string
	snapshot   string
	size       int64 // GiB
	kind       string
	autoDelete bool
	kms        string
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
		if p.Has("NoDevice") {
			all = slices.DeleteFunc(all, func(m mapping) bool { return m.device == device })
			continue
		}
		if p.text("VirtualName") != "" {
			continue // instance storage is none of EBS's
		}
		i := slices.IndexFunc(all, func(m mapping) bool { return m.device == device })
		if i < 0 {
			all, i = append(all, mapping{device: device, kind: "gp2", autoDelete: true}), len(all)
		}
		if err := c.region.change(&all[i], p.sub("Ebs")); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// change makes a mapping what the parameters of its volume say.
func (r *region) change(m *mapping, p params) error {
	m.snapshot = p.or("SnapshotId", m.snapshot)
	s, there := r.snapshots[m.snapshot]
	if m.snapshot != "" && !there {
		return missingSnapshot(m.snapshot)
	}
	if there {
		m.size, m.kms = max(m.size, s.size), cmp.Or(m.kms, s.key)
	}
	size, err := p.number("VolumeSize", m.size)
	if err != nil {
		return err
	}
	m.size, m.kind = size, p.or("VolumeType", m.kind)
	if text := p.text("DeleteOnTermination"); text != "" {
		m.autoDelete = text == "true"
	}
	switch key := p.text("KmsKeyId"); {
	case key != "" && !p.yes("Encrypted"):
		return problem("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	case p.yes("Encrypted"):
		m.kms = r.kms(key)
	}
	if m.size == 0 {
		return problem("MissingParameter", "The request must contain the parameter size or snapshotId")
	}
	return nil
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

func describeImageAttribute(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	type value struct {
		Value string `xml:"value"`
	}
	var out struct {
		ID          string      `xml:"imageId"`
		Users       permissions `xml:"launchPermission>item"`
		Description *value      `xml:"description"`
		BootMode    *value      `xml:"bootMode"`
		IMDS        *value      `xml:"imdsSupport"`
		Guarded     *value      `xml:"deregistrationProtection"`
	}
	out.ID = im.id
	switch a := c.text("Attribute"); a {
	case "launchPermission":
		out.Users = im.users
	case "description":
		out.Description = &value{im.description}
	case "bootMode":
		out.BootMode = &value{im.bootMode}
	case "imdsSupport":
		out.IMDS = &value{im.imds}
	case "deregistrationProtection":
		out.Guarded = &value{cmp.Or(im.guarded, "disabled")}
	default:
		return nil, problem("InvalidParameterValue", "the attribute %s of an image is not simulated", a)
	}
	return out, nil
}

func modifyImageAttribute(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	before := slices.Clone(im.users)
	im.users.change(c.params, "LaunchPermission", "UserGroup")
	for _, d := range im.disks {
		if err := shareable(d.kms); err != nil && len(im.users) > len(before) {
			im.users = before
			return nil, err
		}
	}
	im.description = c.or("Description.Value", im.description)
	im.imds = c.or("ImdsSupport.Value", im.imds)
	if c.text("Attribute") == "description" {
		im.description = c.text("Value")
	}
	return ok()
}

func enableDeprecation(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	text, err := c.must("DeprecateAt")
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !at.After(time.Now()) {
		return nil, problem("InvalidParameterValue", "The deprecation date %s is no time in the future", text)
	}
	im.deprecated = stamp(at)
	return ok()
}

func disableDeprecation(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	im.deprecated = ""
	return ok()
}

type protection struct {
	Return string `xml:"return"`
}

func protectImage(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	im.guarded = "enabled-without-cooldown"
	if c.yes("WithCooldown") {
		im.guarded = "enabled-with-cooldown"
	}
	return protection{im.guarded}, nil
}

// unprotectImage takes protection away, at once even from an image that was protected with a cooldown of a day.
func unprotectImage(c *call) (any, error) {
	im, err := c.image()
	if err != nil {
		return nil, err
	}
	im.guarded = ""
	return protection{"disabled"}, nil
}

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
