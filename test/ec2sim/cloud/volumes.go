package cloud

import (
	"cmp"
	"slices"
	"strconv"
)

// volume is a disk of an instance.
type volume struct {
	object
	size       int64 // GiB
	instance   string
	device     string
	snapshot   string
	kms        string
	kind       string
	autoDelete bool
}

func missingVolume(id string) error {
	return problem("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
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
		Key         string       `xml:"kmsKeyId,omitempty"`
		Attachments []attachment `xml:"attachmentSet>item"`
		Tags        []tagItem    `xml:"tagSet>item"`
	}
	var out struct {
		Volumes []item `xml:"volumeSet>item"`
	}
	found, err := describe(c.region.volumes, func(v *volume) *object { return &v.object }, c.list("VolumeId"), c.params, func(v *volume) attributes {
		return attributes{"volume-id": {v.id}, "status": {v.status()}, "attachment.instance-id": {v.instance}, "attachment.device": {v.device}, "snapshot-id": {v.snapshot}, "volume-type": {v.kind},
			"size": {strconv.FormatInt(v.size, 10)}, "encrypted": {strconv.FormatBool(v.kms != "")}}
	}, missingVolume)
	for _, v := range found {
		it := item{v.id, v.size, v.snapshot, c.region.name + "a", v.status(), stamp(v.born), v.kind, v.kms != "", v.kms, nil, v.tags.items()}
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

// mapping is a disk of an image or a call.
type mapping struct {
	device     string
	snapshot   string
	size       int64 // GiB
	kind       string
	autoDelete bool
	kms        string
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
