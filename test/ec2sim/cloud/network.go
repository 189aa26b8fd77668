package cloud

import (
	"fmt"
	"slices"
)

// vpc is a virtual network.
type vpc struct {
	object
	cidr      string
	isDefault bool
}

// subnet is a part of one, in one zone.
type subnet struct {
	object
	vpc, cidr, zone string
	free            int // addresses
	isDefault       bool
	public          bool // instances get public addresses
}

// The networks that there are in every region, by the same ids: the default VPC with a subnet in both zones, and another that
// has no public addresses.
const (
	defaultVPC    = "vpc-0a1b2c3d4e5f60718"
	otherVPC      = "vpc-0b1b2c3d4e5f60718"
	defaultSubnet = "subnet-0a1b2c3d4e5f60718" // in the first zone
	roomySubnet   = "subnet-0a2b2c3d4e5f60718" // of the default VPC too, in the second zone and with more free addresses
	privateSubnet = "subnet-0b1b2c3d4e5f60718"
)

// addNetwork gives a region what an account has in it from the beginning.
func (c *Cloud) addNetwork(r *region) {
	given := func(id, name string) object {
		o := c.object("")
		o.show()
		o.id, o.given = id, true
		if name != "" {
			o.tags["Name"] = name
		}
		return o
	}
	r.vpcs = []*vpc{{given(defaultVPC, ""), "172.31.0.0/16", true}, {given(otherVPC, "private"), "10.0.0.0/16", false}}
	r.subnets = []*subnet{
		{given(defaultSubnet, ""), defaultVPC, "172.31.0.0/20", r.name + "a", 4081, true, true},
		{given(roomySubnet, ""), defaultVPC, "172.31.16.0/20", r.name + "b", 4091, true, true},
		{given(privateSubnet, "private"), otherVPC, "10.0.0.0/24", r.name + "a", 251, false, false},
	}
	for _, v := range r.vpcs {
		g := &group{object: given(c.id("sg"), ""), name: "default", description: "default VPC security group", vpc: v.id}
		r.groups[g.id] = g
	}
}

func missingVPC(id string) error {
	return problem("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
}

func missingSubnet(id string) error {
	return problem("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
}

func (r *region) vpc(id string) (*vpc, error) {
	if i := slices.IndexFunc(r.vpcs, func(v *vpc) bool { return v.id == id }); i >= 0 {
		return r.vpcs[i], nil
	}
	return nil, missingVPC(id)
}

func (r *region) subnet(id string) (*subnet, error) {
	if i := slices.IndexFunc(r.subnets, func(v *subnet) bool { return v.id == id }); i >= 0 {
		return r.subnets[i], nil
	}
	return nil, missingSubnet(id)
}

type regionItem struct {
	Name        string `xml:"regionName"`
	Endpoint    string `xml:"regionEndpoint"`
	OptInStatus string `xml:"optInStatus"`
}

func describeRegions(c *call) (any, error) {
	var out struct {
		Regions []regionItem `xml:"regionInfo>item"`
	}
	wanted := c.list("RegionName")
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return nil, problem("InvalidParameterValue", "Invalid region names: %s", name)
		}
	}
	for _, name := range known {
		if len(wanted) == 0 || slices.Contains(wanted, name) {
			out.Regions = append(out.Regions, regionItem{name, "ec2." + name + ".amazonaws.com", "opt-in-not-required"})
		}
	}
	return out, nil
}

func describeZones(c *call) (any, error) {
	type zone struct {
		Name   string `xml:"zoneName"`
		State  string `xml:"zoneState"`
		Region string `xml:"regionName"`
		ID     string `xml:"zoneId"`
	}
	var out struct {
		Zones []zone `xml:"availabilityZoneInfo>item"`
	}
	wanted := c.list("ZoneName")
	for i, name := range c.region.zones() {
		pass, err := c.selects(attributes{"zone-name": {name}, "state": {"available"}, "region-name": {c.region.name}})
		if err != nil {
			return nil, err
		}
		if pass && (len(wanted) == 0 || slices.Contains(wanted, name)) {
			out.Zones = append(out.Zones, zone{name, "available", c.region.name, fmt.Sprintf("az%d", i+1)})
		}
	}
	return out, nil
}

func (r *region) zones() []string { return []string{r.name + "a", r.name + "b"} }

func byID[T any](all []*T, o func(*T) *object) map[string]*T {
	m := map[string]*T{}
	for _, v := range all {
		m[o(v).id] = v
	}
	return m
}

func describeVPCs(c *call) (any, error) {
	type item struct {
		ID        string    `xml:"vpcId"`
		State     string    `xml:"state"`
		CIDR      string    `xml:"cidrBlock"`
		IsDefault bool      `xml:"isDefault"`
		Owner     string    `xml:"ownerId"`
		Tags      []tagItem `xml:"tagSet>item"`
	}
	var out struct {
		VPCs []item `xml:"vpcSet>item"`
	}
	of := func(v *vpc) *object { return &v.object }
	found, err := describe(byID(c.region.vpcs, of), of, c.list("VpcId"), c.params, func(v *vpc) attributes {
		isDefault := []string{fmt.Sprint(v.isDefault)}
		return attributes{"vpc-id": {v.id}, "isDefault": isDefault, "is-default": isDefault, "state": {"available"}, "cidr": {v.cidr}, "owner-id": {Account}}
	}, missingVPC)
	for _, v := range found {
		out.VPCs = append(out.VPCs, item{v.id, "available", v.cidr, v.isDefault, Account, v.tags.items()})
	}
	return out, err
}

func describeSubnets(c *call) (any, error) {
	type item struct {
		ID      string    `xml:"subnetId"`
		State   string    `xml:"state"`
		VPC     string    `xml:"vpcId"`
		CIDR    string    `xml:"cidrBlock"`
		Free    int       `xml:"availableIpAddressCount"`
		Zone    string    `xml:"availabilityZone"`
		Default bool      `xml:"defaultForAz"`
		Public  bool      `xml:"mapPublicIpOnLaunch"`
		Tags    []tagItem `xml:"tagSet>item"`
	}
	var out struct {
		Subnets []item `xml:"subnetSet>item"`
	}
	of := func(v *subnet) *object { return &v.object }
	found, err := describe(byID(c.region.subnets, of), of, c.list("SubnetId"), c.params, func(v *subnet) attributes {
		zone, isDefault := []string{v.zone}, []string{fmt.Sprint(v.isDefault)}
		return attributes{"subnet-id": {v.id}, "vpc-id": {v.vpc}, "state": {"available"}, "availability-zone": zone, "availabilityZone": zone, "cidr-block": {v.cidr},
			"default-for-az": isDefault, "defaultForAz": isDefault, "map-public-ip-on-launch": {fmt.Sprint(v.public)}, "available-ip-address-count": {fmt.Sprint(c.region.free(v))}}
	}, missingSubnet)
	for _, v := range found {
		out.Subnets = append(out.Subnets, item{v.id, "available", v.vpc, v.cidr, c.region.free(v), v.zone, v.isDefault, v.public, v.tags.items()})
	}
	return out, err
}

// free is how many addresses a subnet has left.
func (r *region) free(s *subnet) int {
	n := s.free
	for _, in := range r.instances {
		if in.subnet == s && !in.released() {
			n--
		}
	}
	return n
}
