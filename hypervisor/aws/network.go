package aws

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// findNetwork finds the subnets and the security groups that the template describes, and writes the VPC into the settings. Without
// any of that EC2 chooses a subnet of the default VPC.
func (m *Machine) findNetwork(ctx context.Context) error {
	n := &m.record.Settings.Network
	if err := m.findVPC(ctx, n); err != nil {
		return err
	}
	if n.SubnetID != "" || n.SubnetFilter != nil || n.VPCID != "" {
		subnets, err := m.findSubnets(ctx, *n)
		if err != nil {
			return err
		}
		n.VPCID = aws.ToString(subnets[0].VpcId)
		for _, s := range subnets {
			m.record.Subnets = append(m.record.Subnets, aws.ToString(s.SubnetId))
		}
	}
	return m.findOwnGroups(ctx)
}

// findVPC finds the VPC of vpc_filter, or the default one where an address is asked for: that belongs to a subnet.
func (m *Machine) findVPC(ctx context.Context, n *NetworkArgs) error {
	filters := []types.Filter{account.Filter("is-default", "true")}
	what := "the default VPC (there is none; name one by vpc_id)"
	switch {
	case n.VPCID != "" || n.SubnetID != "":
		return nil
	case n.VPCFilter != nil:
		filters, what = filtersOf(n.VPCFilter.all()), fmt.Sprintf("vpc_filter %v", n.VPCFilter.all())
	case !m.record.Settings.Instance.AssociatePublicIP || n.SubnetFilter != nil:
		return nil
	}
	out, err := m.region.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filters})
	if err != nil {
		return err
	}
	if len(out.Vpcs) != 1 {
		return fmt.Errorf("%s finds %d VPCs in %s: exactly one is needed", what, len(out.Vpcs), m.region.Name)
	}
	n.VPCID = aws.ToString(out.Vpcs[0].VpcId)
	return nil
}

// findSubnets lists the subnets to try, first the one to prefer: of a filter the one that the template wants, of a whole VPC all,
// those with most free addresses first.
func (m *Machine) findSubnets(ctx context.Context, n NetworkArgs) ([]types.Subnet, error) {
	in := &ec2.DescribeSubnetsInput{}
	f := n.SubnetFilter
	if n.SubnetID != "" {
		in.SubnetIds, f = []string{n.SubnetID}, nil
	} else {
		in.Filters = []types.Filter{account.Filter("state", "available")}
		if n.VPCID != "" {
			in.Filters = append(in.Filters, account.Filter("vpc-id", n.VPCID))
		}
		if zone := m.record.Settings.Instance.AvailabilityZone; zone != "" {
			in.Filters = append(in.Filters, account.Filter("availability-zone", zone))
		}
		if f != nil {
			in.Filters = append(in.Filters, filtersOf(f.all())...)
		}
	}
	out, err := m.region.EC2.DescribeSubnets(ctx, in)
	if err != nil {
		return nil, err
	}
	subnets := out.Subnets
	slices.SortStableFunc(subnets, func(a, b types.Subnet) int {
		return cmp.Compare(aws.ToInt32(b.AvailableIpAddressCount), aws.ToInt32(a.AvailableIpAddressCount))
	})
	switch {
	case len(subnets) == 0:
		return nil, fmt.Errorf("no subnet of %s fits vpc_id = %q, availability_zone = %q and subnet_filter", m.region.Name, n.VPCID, m.record.Settings.Instance.AvailabilityZone)
	case f != nil && f.Random:
		rand.Shuffle(len(subnets), func(i, j int) { subnets[i], subnets[j] = subnets[j], subnets[i] })
	case f != nil && !f.MostFree && len(subnets) > 1:
		return nil, fmt.Errorf("subnet_filter %v finds %d subnets: set most_free or random, or narrow it down", f.all(), len(subnets))
	}
	return subnets, nil
}

// findOwnGroups finds the security groups that the template names instead of a temporary one.
func (m *Machine) findOwnGroups(ctx context.Context) error {
	g := m.record.Settings.Groups
	if g.ID != "" {
		g.IDs = append([]string{g.ID}, g.IDs...)
	}
	if m.record.Groups = g.IDs; len(g.IDs) > 0 || g.Filter == nil {
		return nil
	}
	filters := filtersOf(g.Filter.all())
	if vpc := m.record.Settings.Network.VPCID; vpc != "" {
		filters = append(filters, account.Filter("vpc-id", vpc))
	}
	found, err := findGroups(ctx, m.region, filters)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("security_group_filter %v finds no group in %s", g.Filter.all(), m.region.Name)
	}
	for _, t := range found {
		m.record.Groups = append(m.record.Groups, t.id)
	}
	return nil
}
