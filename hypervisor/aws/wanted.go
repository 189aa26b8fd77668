package aws

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
)

// wanted is the image that the template wants. What it takes from the source image is not filled in.
func (s settings) wanted() (ami.Wanted, error) {
	w := ami.Wanted{
		Name: s.Image.Name, Description: s.Image.Description, Tags: pairs(s.Image.Tags, s.Image.Tag, keyValue),
		SnapshotTags: pairs(s.Snapshot.Tags, s.Snapshot.Tag, keyValue), Regions: s.Image.Regions, SkipHome: s.Image.SkipBuildRegion,
		CopyMinutes: s.Snapshot.CopyMinutes, Devices: s.imageDevices(), IMDSSupport: s.Image.IMDSSupport,
		Sharing: ami.Sharing{Users: s.Sharing.Users, Groups: s.Sharing.Groups, OrgARNs: s.Sharing.OrgARNs, OUARNs: s.Sharing.OUARNs,
			ProductCodes: s.Sharing.ProductCodes, SnapshotUsers: s.Snapshot.Users, SnapshotGroups: s.Snapshot.Groups},
		Encryption: ami.Encryption{Boot: s.Encryption.EncryptBoot, Key: s.Encryption.KMSKeyID, RegionKeys: s.Encryption.RegionKMSKeyIDs},
		Replace:    ami.Replace{Image: s.Replace.ForceDeregister, Snapshots: s.Replace.ForceDeleteSnapshot},
	}
	if len(w.Tags) == 0 && !s.EBS.SkipRunTags { // as Packer
		w.Tags = s.runTags()
	}
	if p := s.Image.Protection; p != nil {
		w.Protection = ami.Protection{Enabled: p.Enabled, Cooldown: p.WithCooldown}
	}
	if at := s.Image.DeprecateAt; at != "" {
		var err error
		if w.DeprecateAt, err = time.Parse(time.RFC3339, at); err != nil {
			return w, fmt.Errorf("deprecate_at = %q: a time such as 2030-01-31T12:00:00Z is needed", at)
		}
	}
	return w, nil
}

func (s settings) runTags() map[string]string { return pairs(s.RunTags.Tags, s.RunTags.Tag, keyValue) }

// imageDevices are the disks of the image over those of the instance.
func (s settings) imageDevices() []types.BlockDeviceMapping {
	list := mappings(s.Disks.Image)
	if s.EBS.NoEphemeral {
		for i := range 26 { // as Packer: /dev/sdb to /dev/sdy
			if letter := 'b' + rune(i); letter <= 'y' {
				list = append(list, types.BlockDeviceMapping{DeviceName: aws.String("/dev/sd" + string(letter)), NoDevice: aws.String("")})
			}
		}
	}
	return list
}

// mappings are disks as EC2 wants them.
func mappings(disks []BlockDevice) []types.BlockDeviceMapping {
	var list []types.BlockDeviceMapping
	for _, d := range disks {
		m := types.BlockDeviceMapping{DeviceName: &d.DeviceName}
		switch {
		case d.NoDevice:
			m.NoDevice = aws.String("")
		case d.VirtualName != "":
			m.VirtualName = &d.VirtualName
		default:
			m.Ebs = &types.EbsBlockDevice{DeleteOnTermination: &d.DeleteOnTermination, VolumeType: types.VolumeType(d.VolumeType), Encrypted: d.Encrypted,
				VolumeSize: account.Optional(d.VolumeSize), Iops: account.Optional(d.IOPS), Throughput: account.Optional(d.Throughput), KmsKeyId: account.Optional(d.KMSKeyID), SnapshotId: account.Optional(d.SnapshotID)}
		}
		list = append(list, m)
	}
	return list
}
