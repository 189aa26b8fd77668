package ami

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// create makes an image of an instance and waits for it.
func (m *Maker) create(ctx context.Context, in Instance, d draft) (Image, error) {
	r := m.In(m.Home)
	m.tell(r.Name, NoPercent, "Creating AMI %s from instance %s", d.name, in.ID)
	input := &ec2.CreateImageInput{
		InstanceId: &in.ID, Name: &d.name, Description: account.Optional(d.description), BlockDeviceMappings: d.devices, NoReboot: &in.Stopped,
		TagSpecifications: []types.TagSpecification{
			account.Specification(types.ResourceTypeImage, d.tags), account.Specification(types.ResourceTypeSnapshot, d.snapTags),
		},
	}
	id, err := m.once(ctx, r, d.name, instanceBusy, func(ctx context.Context) (*string, error) {
		out, err := r.EC2.CreateImage(ctx, input)
		if err != nil {
			return nil, err
		}
		return out.ImageId, nil
	})
	if err != nil {
		return Image{}, fmt.Errorf("make an image of the instance %s in %s: %w", in.ID, r.Name, err)
	}
	return m.available(ctx, r, id, given(d.devices))
}

// instanceBusy tells that an instance is on its way to a state of which an image can be made.
func instanceBusy(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && strings.Contains(api.ErrorMessage(), "Instance is not in state")
}

// register makes an image of snapshots, which it waits for, and waits for it.
func (m *Maker) register(ctx context.Context, h Hardware, d draft) (Image, error) {
	r := m.In(m.Home)
	snapshots, err := m.completed(ctx, r, given(d.devices))
	if err != nil {
		return Image{}, err
	}
	var ours, others []string
	for _, s := range snapshots {
		if owner, _ := account.OwnerOf(s.Tags); owner == m.Owner {
			ours = append(ours, aws.ToString(s.SnapshotId))
		} else {
			others = append(others, aws.ToString(s.SnapshotId))
		}
	}
	if len(ours) > 0 {
		if _, err := r.EC2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: ours, Tags: d.snapTags}); err != nil {
			return Image{}, fmt.Errorf("tag the snapshots %s in %s: %w", strings.Join(ours, ", "), r.Name, err)
		}
	}
	m.tell(r.Name, NoPercent, "Registering AMI %s of snapshot %s", d.name, strings.Join(given(d.devices), ", "))
	id, err := m.once(ctx, r, d.name, account.IsNotFound, func(ctx context.Context) (*string, error) {
		out, err := r.EC2.RegisterImage(ctx, h.input(d))
		if err != nil {
			return nil, err
		}
		return out.ImageId, nil
	})
	if err != nil {
		return Image{}, fmt.Errorf("register an image of %s in %s: %w", strings.Join(given(d.devices), ", "), r.Name, err)
	}
	return m.available(ctx, r, id, others)
}

// input is the call that registers an image of such hardware.
func (h Hardware) input(d draft) *ec2.RegisterImageInput {
	in := &ec2.RegisterImageInput{
		Name: &d.name, Description: account.Optional(d.description), BlockDeviceMappings: d.devices, RootDeviceName: &h.RootDevice,
		Architecture: h.Architecture, VirtualizationType: account.Optional(h.Virtualization), BootMode: h.BootMode, UefiData: account.Optional(h.UEFIData),
		TpmSupport: h.TPM, EnaSupport: &h.ENA, ImdsSupport: d.imds,
		TagSpecifications: []types.TagSpecification{account.Specification(types.ResourceTypeImage, d.tags)},
	}
	if h.Virtualization == "" {
		in.VirtualizationType = aws.String(string(types.VirtualizationTypeHvm))
	}
	if h.SRIOV {
		in.SriovNetSupport = aws.String("simple") // the only value there is
	}
	return in
}

// copyAll copies an image to the regions in which w wants one and none is yet, all at once.
func (m *Maker) copyAll(ctx context.Context, from Image, w Wanted, d draft) ([]Image, error) {
	targets := w.targets(m.Home)
	if !w.indirect() {
		targets = targets[1:] // from is the one of the first
	}
	images := make([]Image, len(targets))
	err := eachOf(ctx, indices(targets), func(ctx context.Context, i int) (err error) {
		images[i], err = m.copy(ctx, from, m.In(targets[i]), w, d)
		return err
	})
	return images, err
}

// copy copies an image to a region and waits for the copy.
func (m *Maker) copy(ctx context.Context, from Image, r *account.Region, w Wanted, d draft) (Image, error) {
	if err := m.makeRoom(ctx, r, w); err != nil {
		return Image{}, err
	}
	m.tell(r.Name, NoPercent, "Copying AMI %s of %s", from.ID, from.Region)
	input := &ec2.CopyImageInput{
		SourceRegion: &from.Region, SourceImageId: &from.ID, Name: &d.name, Description: account.Optional(d.description), Encrypted: w.Encryption.Boot,
		ClientToken: aws.String(account.Token(m.Owner, fmt.Sprintf("copy %s to %s as %q", from.ID, r.Name, d.name))),
		TagSpecifications: []types.TagSpecification{
			account.Specification(types.ResourceTypeImage, d.tags), account.Specification(types.ResourceTypeSnapshot, d.snapTags),
		},
	}
	if w.Encryption.on() {
		input.KmsKeyId = account.Optional(w.Encryption.key(r.Name, m.Home))
	}
	if w.CopyMinutes > 0 {
		input.SnapshotCopyCompletionDurationMinutes = &w.CopyMinutes
	}
	id, err := m.once(ctx, r, d.name, account.IsNotFound, func(ctx context.Context) (*string, error) {
		out, err := r.EC2.CopyImage(ctx, input)
		if err != nil {
			return nil, err
		}
		return out.ImageId, nil
	})
	if err != nil {
		return Image{}, fmt.Errorf("copy the image %s of %s to %s: %w", from.ID, from.Region, r.Name, err)
	}
	return m.available(ctx, r, id, nil) // all snapshots of a copy were made for it
}

// once makes an image of a name. An image of that name that is ours is the one that the call makes: the connection broke after EC2
// had made it, and the call was sent again. Errors that pass are waited for: those that busy tells, and that a name is taken by
// nobody whom EC2 can show, which is an image that is just going or coming.
func (m *Maker) once(ctx context.Context, r *account.Region, name string, busy func(error) bool, call func(context.Context) (*string, error)) (id string, err error) {
	hidden := false // the image that has the name
	err = r.Poll.Settle(ctx, func(err error) bool { return hidden || busy(err) }, func(ctx context.Context) error {
		made, err := call(ctx)
		id, hidden = aws.ToString(made), false
		if taken(err) {
			id, hidden, err = m.holder(ctx, r, name, err)
		}
		return err
	})
	return id, err
}

// holder finds the image that has a name: ours, or one that is hidden, or somebody's, for which the error is taken.
func (m *Maker) holder(ctx context.Context, r *account.Region, name string, taken error) (id string, hidden bool, err error) {
	found, err := listImages(ctx, r, account.Filter("name", name))
	if err != nil {
		return "", false, errors.Join(taken, err)
	}
	for _, im := range found {
		if owner, _ := account.OwnerOf(im.Tags); owner == m.Owner {
			return aws.ToString(im.ImageId), false, nil
		}
	}
	return "", len(found) == 0, taken
}

// taken tells that another image has the name.
func taken(err error) bool { return account.Code(err) == "InvalidAMIName.Duplicate" }

// given are the snapshots that devices are made of.
func given(devices []types.BlockDeviceMapping) []string {
	var ids []string
	for _, d := range devices {
		if d.Ebs != nil && aws.ToString(d.Ebs.SnapshotId) != "" {
			ids = append(ids, *d.Ebs.SnapshotId)
		}
	}
	return ids
}

// indices counts a list.
func indices[T any](list []T) []int {
	all := make([]int, len(list))
	for i := range all {
		all[i] = i
	}
	return all
}
