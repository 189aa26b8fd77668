package ami

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// TagArtifact is the key of the tag of images and snapshots that belong to the user. Its value is the build that made them.
const TagArtifact = "boxkiln:artifact"

// HandOver marks images as the user's, so that nobody takes them for what a build has left behind. It is the last thing to do
// before the caller forgets them.
func (m *Maker) HandOver(ctx context.Context, list []Image) error {
	return eachOf(ctx, list, func(ctx context.Context, im Image) error {
		r := m.In(im.Region)
		return m.change(ctx, r, im, "mark it as the user's", func(ctx context.Context) error {
			_, err := r.EC2.CreateTags(ctx, &ec2.CreateTagsInput{
				Resources: append([]string{im.ID}, im.Snapshots...),
				Tags:      []types.Tag{{Key: aws.String(TagArtifact), Value: &m.Owner.Build}},
			})
			return err
		})
	})
}

// settle gives an available image what no call that makes one can give it.
func (m *Maker) settle(ctx context.Context, im Image, w Wanted) error {
	r := m.In(im.Region)
	for _, in := range w.attributes() {
		in.ImageId = &im.ID
		if err := m.change(ctx, r, im, "modify its attributes", func(ctx context.Context) error {
			_, err := r.EC2.ModifyImageAttribute(ctx, in)
			return err
		}); err != nil {
			return err
		}
	}
	if err := m.shareSnapshots(ctx, r, im, w.Sharing); err != nil || w.DeprecateAt.IsZero() {
		return err
	}
	m.tell(r.Name, NoPercent, "AMI %s is deprecated from %s on", im.ID, w.DeprecateAt.UTC().Format("2006-01-02 15:04"))
	return m.change(ctx, r, im, "deprecate it", func(ctx context.Context) error {
		_, err := r.EC2.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: &im.ID, DeprecateAt: &w.DeprecateAt})
		return err
	})
}

// attributes are the calls that modify an image: EC2 takes one kind of change in each.
func (w Wanted) attributes() []*ec2.ModifyImageAttributeInput {
	var all []*ec2.ModifyImageAttributeInput
	if w.IMDSSupport != "" {
		all = append(all, &ec2.ModifyImageAttributeInput{ImdsSupport: &types.AttributeValue{Value: &w.IMDSSupport}})
	}
	permit := func(names []string, permission func(name string) types.LaunchPermission) {
		var add []types.LaunchPermission
		for _, name := range names {
			add = append(add, permission(name))
		}
		if len(add) > 0 {
			all = append(all, &ec2.ModifyImageAttributeInput{LaunchPermission: &types.LaunchPermissionModifications{Add: add}})
		}
	}
	s := w.Sharing
	permit(s.Users, func(n string) types.LaunchPermission { return types.LaunchPermission{UserId: &n} })
	permit(s.Groups, func(n string) types.LaunchPermission {
		return types.LaunchPermission{Group: types.PermissionGroup(n)}
	})
	permit(s.OrgARNs, func(n string) types.LaunchPermission { return types.LaunchPermission{OrganizationArn: &n} })
	permit(s.OUARNs, func(n string) types.LaunchPermission { return types.LaunchPermission{OrganizationalUnitArn: &n} })
	if len(s.ProductCodes) > 0 {
		all = append(all, &ec2.ModifyImageAttributeInput{ProductCodes: slices.Clone(s.ProductCodes)})
	}
	return all
}

// shareSnapshots lets others make volumes of an image's snapshots.
func (m *Maker) shareSnapshots(ctx context.Context, r *account.Region, im Image, s Sharing) error {
	var users, groups []types.CreateVolumePermission
	for _, u := range s.SnapshotUsers {
		users = append(users, types.CreateVolumePermission{UserId: &u})
	}
	for _, g := range s.SnapshotGroups {
		groups = append(groups, types.CreateVolumePermission{Group: types.PermissionGroup(g)})
	}
	for _, id := range im.Snapshots {
		for _, add := range [][]types.CreateVolumePermission{users, groups} {
			if len(add) == 0 {
				continue
			}
			if err := m.change(ctx, r, im, "share its snapshot "+id, func(ctx context.Context) error {
				_, err := r.EC2.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
					SnapshotId: &id, Attribute: types.SnapshotAttributeNameCreateVolumePermission,
					CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: add},
				})
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// protect keeps an image from being deregistered.
func (m *Maker) protect(ctx context.Context, im Image, p Protection) error {
	r := m.In(im.Region)
	m.tell(r.Name, NoPercent, "AMI %s is protected from being deregistered", im.ID)
	return m.change(ctx, r, im, "protect it", func(ctx context.Context) error {
		_, err := r.EC2.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: &im.ID, WithCooldown: &p.Cooldown})
		return err
	})
}

// change does something to an image that may not be known everywhere yet. what says what, for errors.
func (m *Maker) change(ctx context.Context, r *account.Region, im Image, what string, do func(ctx context.Context) error) error {
	if err := r.Poll.Settle(ctx, account.IsNotFound, do); err != nil {
		return fmt.Errorf("the image %s in %s: %s: %w", im.ID, r.Name, what, err)
	}
	return nil
}
