package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
	"github.com/boxkiln/boxkiln/internal/interpolate"
)

// findSource finds the image to start from. It must be one that EBS holds: amazon-ebs can make an image of no other.
func findSource(ctx context.Context, r *account.Region, set settings) (source, error) {
	in := &ec2.DescribeImagesInput{}
	asked := set.Source.SourceAMI
	if asked != "" {
		in.ImageIds = []string{asked}
	} else {
		f := set.Source.Filter
		in.Owners, in.IncludeDeprecated = f.Owners, account.Optional(f.IncludeDeprecated)
		in.Filters = filtersOf(f.all())
		if kind := set.Image.VirtualizationType; kind != "" && f.all()["virtualization-type"] == "" {
			in.Filters = append(in.Filters, account.Filter("virtualization-type", kind))
		}
		asked = fmt.Sprintf("source_ami_filter %v of owners %v", f.all(), f.Owners)
	}
	images, err := ami.List(ctx, r, in)
	switch {
	case account.IsNotFound(err):
		return source{}, fmt.Errorf("source_ami = %q is not in %s, or not shared with this account: %w", asked, r.Name, err)
	case err != nil:
		return source{}, err
	case len(images) == 0:
		return source{}, fmt.Errorf("%s finds no image in %s", asked, r.Name)
	case len(images) > 1 && !set.Source.Filter.MostRecent:
		return source{}, fmt.Errorf("%s finds %d images in %s: set most_recent = true, or narrow it down", asked, len(images), r.Name)
	}
	newest := slices.MaxFunc(images, func(a, b types.Image) int {
		return strings.Compare(aws.ToString(a.CreationDate), aws.ToString(b.CreationDate)) // RFC 3339 in UTC
	})
	return sourceOf(newest)
}

func sourceOf(im types.Image) (source, error) {
	s := source{ID: aws.ToString(im.ImageId), Name: aws.ToString(im.Name), Owner: aws.ToString(im.OwnerId), OwnerName: aws.ToString(im.ImageOwnerAlias),
		Created: aws.ToString(im.CreationDate), RootDevice: aws.ToString(im.RootDeviceName), UEFI: strings.HasPrefix(string(im.BootMode), "uefi")}
	switch im.Architecture {
	case types.ArchitectureValuesX8664:
		s.Arch = "amd64"
	case types.ArchitectureValuesI386:
		s.Arch = "386"
	default:
		s.Arch = strings.TrimSuffix(string(im.Architecture), "_mac")
	}
	if im.RootDeviceType == types.DeviceTypeInstanceStore {
		return s, fmt.Errorf("the image %s (%s) has its root on an instance store: amazon-ebs needs one on EBS", s.ID, s.Name)
	}
	return s, nil
}

func filtersOf(m map[string]string) []types.Filter {
	var list []types.Filter
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, account.Filter(name, m[name]))
	}
	return list
}

// rendered fills in what arguments say about the source image, under Packer's names.
func (s settings) rendered(from source, region string) (settings, error) {
	c := &interpolate.Context{Now: time.Now(), NewUUID: uuid.NewString}
	data := interpolate.Data{"SourceAMI": from.ID, "SourceAMIName": from.Name, "SourceAMICreationDate": from.Created,
		"SourceAMIOwner": from.Owner, "SourceAMIOwnerName": from.OwnerName, "BuildRegion": region}
	var failed error
	text := func(t string) string {
		out, err := interpolate.Render(t, c, data)
		if err != nil && failed == nil {
			failed = fmt.Errorf("%q: %w; known are .SourceAMI, .SourceAMIName, .SourceAMICreationDate, .SourceAMIOwner, .SourceAMIOwnerName and .BuildRegion", t, err)
		}
		return out
	}
	tags := func(m map[string]string) map[string]string {
		out := make(map[string]string, len(m))
		for _, key := range slices.Sorted(maps.Keys(m)) {
			out[key] = text(m[key])
		}
		return out
	}
	s.RunTags = RunTagArgs{Tags: tags(s.runTags())}
	s.VolumeTags = VolumeTagArgs{Tags: tags(pairs(s.VolumeTags.Tags, s.VolumeTags.Tag, volumeTag))}
	s.Spot.Tags, s.Spot.Tag = tags(pairs(s.Spot.Tags, s.Spot.Tag, keyValue)), nil
	s.Image.Tags, s.Image.Tag = tags(pairs(s.Image.Tags, s.Image.Tag, keyValue)), nil
	s.Snapshot.Tags, s.Snapshot.Tag = tags(pairs(s.Snapshot.Tags, s.Snapshot.Tag, keyValue)), nil
	s.Image.Description = text(s.Image.Description)
	return s, failed
}
