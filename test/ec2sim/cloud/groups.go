package cloud

import (
	"net/netip"
	"slices"
	"strings"
)

// group is a security group.
type group struct {
	object
	name, description, vpc string
	rules                  []rule
}

// rule lets addresses in.
type rule struct {
	protocol string
	from, to int64
	cidrs    []string
}

func missingGroup(id string) error {
	return problem("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
}

func createGroup(c *call) (any, error) {
	name, err := c.must("GroupName")
	if err != nil {
		return nil, err
	}
	description, err := c.must("GroupDescription")
	if err != nil {
		return nil, err
	}
	v, err := c.region.vpc(c.or("VpcId", defaultVPC))
	if err != nil {
		return nil, err
	}
	for _, g := range c.region.groups {
		if g.name == name && g.vpc == v.id {
			return nil, problem("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, v.id)
		}
	}
	t, err := c.tagged("security-group")
	if err != nil {
		return nil, err
	}
	g := &group{object: c.fresh("sg", "CreateSecurityGroup"), name: name, description: description, vpc: v.id}
	g.tags = t["security-group"]
	c.region.groups[g.id] = g
	return struct {
		Return bool      `xml:"return"`
		ID     string    `xml:"groupId"`
		Tags   []tagItem `xml:"tagSet>item"`
	}{true, g.id, g.tags.items()}, nil
}

// group is the one that a call names, by its id or, in the default VPC, by its name.
func (c *call) group() (*group, error) {
	if id := c.text("GroupId"); id != "" {
		if g := c.region.groups[id]; g != nil {
			return g, nil
		}
		return nil, missingGroup(id)
	}
	return c.region.groupNamed(c.text("GroupName"))
}

func (r *region) groupNamed(name string) (*group, error) {
	for _, g := range r.groups {
		if g.name == name && g.vpc == defaultVPC {
			return g, nil
		}
	}
	return nil, missingGroup(name)
}

func authorizeIngress(c *call) (any, error) {
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	for _, p := range c.each("IpPermissions") {
		from, fromErr := p.number("FromPort", -1)
		to, toErr := p.number("ToPort", -1)
		if fromErr != nil || toErr != nil {
			return nil, problem("InvalidParameterValue", "Invalid port range")
		}
		r := rule{protocol: p.text("IpProtocol"), from: from, to: to}
		for _, kind := range []struct{ list, field string }{{"IpRanges", "CidrIp"}, {"Ipv6Ranges", "CidrIpv6"}} {
			for _, one := range p.each(kind.list) {
				cidr := one.text(kind.field)
				if _, err := netip.ParsePrefix(cidr); err != nil {
					return nil, problem("InvalidParameterValue", "CIDR block %s is malformed", cidr)
				}
				r.cidrs = append(r.cidrs, cidr)
			}
		}
		if slices.ContainsFunc(g.rules, r.same) {
			return nil, problem("InvalidPermission.Duplicate", "the specified rule \"peer: %s, %s, from port: %d, to port: %d, ALLOW\" already exists", strings.Join(r.cidrs, ", "), r.protocol, r.from, r.to)
		}
		g.rules = append(g.rules, r)
	}
	return ok()
}

func (r rule) same(other rule) bool {
	return r.protocol == other.protocol && r.from == other.from && r.to == other.to && slices.Equal(r.cidrs, other.cidrs)
}

// allows tells whether any of the groups lets this host in to a port.
func (g *group) allows(port int64, from netip.Addr) bool {
	return slices.ContainsFunc(g.rules, func(r rule) bool {
		return r.from <= port && port <= r.to && slices.ContainsFunc(r.cidrs, func(cidr string) bool {
			p, err := netip.ParsePrefix(cidr)
			return err == nil && p.Contains(from)
		})
	})
}

func describeGroups(c *call) (any, error) {
	type cidr struct {
		CIDR string `xml:"cidrIp"`
	}
	type cidr6 struct {
		CIDR string `xml:"cidrIpv6"`
	}
	type permission struct {
		Protocol string  `xml:"ipProtocol"`
		From     int64   `xml:"fromPort"`
		To       int64   `xml:"toPort"`
		Ranges   []cidr  `xml:"ipRanges>item"`
		Ranges6  []cidr6 `xml:"ipv6Ranges>item"`
	}
	type item struct {
		Owner       string       `xml:"ownerId"`
		ID          string       `xml:"groupId"`
		Name        string       `xml:"groupName"`
		Description string       `xml:"groupDescription"`
		VPC         string       `xml:"vpcId"`
		Permissions []permission `xml:"ipPermissions>item"`
		Tags        []tagItem    `xml:"tagSet>item"`
	}
	var out struct {
		Groups []item `xml:"securityGroupInfo>item"`
	}
	ids := c.list("GroupId")
	for _, name := range c.list("GroupName") {
		i := len(ids)
		for _, g := range c.region.groups {
			if g.name == name {
				ids = append(ids, g.id)
			}
		}
		if len(ids) == i {
			return nil, missingGroup(name)
		}
	}
	found, err := describe(c.region.groups, func(g *group) *object { return &g.object }, ids, c.params, func(g *group) attributes {
		return attributes{"group-name": {g.name}, "group-id": {g.id}, "vpc-id": {g.vpc}, "description": {g.description}, "owner-id": {Account}}
	}, missingGroup)
	for _, g := range found {
		it := item{Account, g.id, g.name, g.description, g.vpc, nil, g.tags.items()}
		for _, r := range g.rules {
			p := permission{Protocol: r.protocol, From: r.from, To: r.to}
			for _, one := range r.cidrs {
				if strings.Contains(one, ":") {
					p.Ranges6 = append(p.Ranges6, cidr6{one})
				} else {
					p.Ranges = append(p.Ranges, cidr{one})
				}
			}
			it.Permissions = append(it.Permissions, p)
		}
		out.Groups = append(out.Groups, it)
	}
	return out, err
}

func deleteGroup(c *call) (any, error) {
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	for _, in := range c.region.instances {
		if slices.Contains(in.groups, g.id) && !in.released() {
			return nil, problem("DependencyViolation", "resource %s has a dependent object", g.id)
		}
	}
	if g.name == "default" {
		return nil, problem("CannotDelete", "the specified group: %q name: \"default\" cannot be deleted by a user", g.id)
	}
	delete(c.region.groups, g.id)
	return ok()
}
