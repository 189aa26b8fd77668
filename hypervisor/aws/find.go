package aws

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// The keys of the tags of what belongs to a machine, beside those of account.Tags.
const (
	tagMachine = "boxkiln:machine" // its name
	tagDir     = "boxkiln:dir"     // its directory on the daemon's host
)

// maxTag is the longest value of a tag, in characters.
const maxTag = 256

// kind is what a thing is, in EC2's words.
type kind string

// What is made for a machine, in the order in which it is removed.
const (
	kindInstance kind = "instance"
	kindVolume   kind = "volume"
	kindGroup    kind = "security-group"
	kindKey      kind = "key-pair"
)

// kinds are all of them.
func kinds() []kind { return []kind{kindInstance, kindVolume, kindGroup, kindKey} }

// thing is something that was made for a machine.
type thing struct {
	kind  kind
	id    string
	name  string // of a key pair, which is removed by it
	tags  []types.Tag
	state string // of an instance or volume
}

// gone tells that a thing costs nothing any more, though EC2 still shows it.
func (t thing) gone() bool {
	return t.kind == kindInstance && t.state == string(types.InstanceStateNameTerminated) ||
		t.kind == kindVolume && (t.state == string(types.VolumeStateDeleting) || t.state == string(types.VolumeStateDeleted))
}

// machine reads the tags of a thing into the handle of its machine.
func (t thing) machine() hypervisor.Handle {
	h := hypervisor.Handle{Driver: Name}
	h.Tag, _ = account.OwnerOf(t.tags)
	for _, tag := range t.tags {
		switch aws.ToString(tag.Key) {
		case tagMachine:
			h.Name = aws.ToString(tag.Value)
		case tagDir:
			h.Dir = aws.ToString(tag.Value)
		}
	}
	return h
}

// things are what a look at a region has found.
type things []thing

// none tells that nothing of them is there any more.
func (ts things) none() bool {
	return !slices.ContainsFunc(ts, func(t thing) bool { return !t.gone() })
}

// of lists those of a kind that are there.
func (ts things) of(k kind) things {
	return slices.DeleteFunc(slices.Clone(ts), func(t thing) bool { return t.kind != k || t.gone() })
}

// seen tells whether something of a kind was found, also if it is gone again.
func (ts things) seen(k kind) bool {
	return slices.ContainsFunc(ts, func(t thing) bool { return t.kind == k })
}

// machines are the handles of the machines that they belong to, each once.
func (ts things) machines() []hypervisor.Handle {
	var list []hypervisor.Handle
	for _, t := range ts {
		if h := t.machine(); !t.gone() && h.Name != "" && !slices.Contains(list, h) {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b hypervisor.Handle) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// find looks for what was made for a machine: for all of its build without a name, and of the installation without a build.
func find(ctx context.Context, r *account.Region, owner hypervisor.Tag, machine string) (things, error) {
	var all things
	for _, k := range kinds() {
		found, err := findKind(ctx, r, owner, machine, k)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// findKind is find for things of one kind.
func findKind(ctx context.Context, r *account.Region, owner hypervisor.Tag, machine string, k kind) (things, error) {
	filters := account.Filters(owner)
	if machine != "" {
		filters = append(filters, account.Filter("tag:"+tagMachine, machine))
	}
	look := map[kind]func(context.Context, *account.Region, []types.Filter) (things, error){
		kindInstance: findInstances, kindVolume: findVolumes, kindGroup: findGroups, kindKey: findKeys,
	}
	return look[k](ctx, r, filters)
}

func findInstances(ctx context.Context, r *account.Region, filters []types.Filter) (all things, err error) {
	in := &ec2.DescribeInstancesInput{Filters: filters}
	err = account.Pages(ctx, r.EC2.DescribeInstances, in, &in.NextToken, func(out *ec2.DescribeInstancesOutput) *string {
		for _, res := range out.Reservations {
			for _, i := range res.Instances {
				all = append(all, thing{kind: kindInstance, id: aws.ToString(i.InstanceId), tags: i.Tags, state: string(state(i))})
			}
		}
		return out.NextToken
	})
	return all, err
}

func findVolumes(ctx context.Context, r *account.Region, filters []types.Filter) (all things, err error) {
	in := &ec2.DescribeVolumesInput{Filters: filters}
	err = account.Pages(ctx, r.EC2.DescribeVolumes, in, &in.NextToken, func(out *ec2.DescribeVolumesOutput) *string {
		for _, v := range out.Volumes {
			all = append(all, thing{kind: kindVolume, id: aws.ToString(v.VolumeId), tags: v.Tags, state: string(v.State)})
		}
		return out.NextToken
	})
	return all, err
}

func findGroups(ctx context.Context, r *account.Region, filters []types.Filter) (all things, err error) {
	in := &ec2.DescribeSecurityGroupsInput{Filters: filters}
	err = account.Pages(ctx, r.EC2.DescribeSecurityGroups, in, &in.NextToken, func(out *ec2.DescribeSecurityGroupsOutput) *string {
		for _, g := range out.SecurityGroups {
			all = append(all, thing{kind: kindGroup, id: aws.ToString(g.GroupId), name: aws.ToString(g.GroupName), tags: g.Tags})
		}
		return out.NextToken
	})
	return all, err
}

func findKeys(ctx context.Context, r *account.Region, filters []types.Filter) (all things, err error) {
	out, err := r.EC2.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{Filters: filters})
	if err != nil {
		return nil, err
	}
	for _, k := range out.KeyPairs {
		all = append(all, thing{kind: kindKey, id: aws.ToString(k.KeyPairId), name: aws.ToString(k.KeyName), tags: k.Tags})
	}
	return all, nil
}
