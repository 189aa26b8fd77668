package cloud

import (
	"bytes"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// group is a security group.
type group struct {
	object
	name, description string
	rules             []rule
}

// rule lets addresses in.
type rule struct {
	protocol string
	from, to int64
	cidrs    []string
}

// keyPair is a key that instances can be started with.
type keyPair struct {
	object
	name, fingerprint, kind string
	authorized              string // as a line of authorized_keys
}

const (
	vpcID    = "vpc-0a1b2c3d4e5f60718"
	subnetID = "subnet-0a1b2c3d4e5f60718"
)

// addNetwork gives a region what an account has in it from the beginning.
func (c *Cloud) addNetwork(r *region) {
	g := &group{object: c.object("sg"), name: "default", description: "default VPC security group"}
	g.hidden = 0
	r.groups[g.id] = g
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
	for i, letter := range []string{"a", "b"} {
		out.Zones = append(out.Zones, zone{c.region.name + letter, "available", c.region.name, fmt.Sprintf("az%d", i+1)})
	}
	return out, nil
}

// selected answers a description of what there is one of in every region.
func selected[T any](c *call, ids []string, id string, a attributes, item T, missing string) ([]T, error) {
	for _, want := range ids {
		if want != id {
			return nil, problem(missing, "The ID '%s' does not exist", want)
		}
	}
	ok, err := c.selects(a)
	if err != nil || !ok {
		return nil, err
	}
	return []T{item}, nil
}

func describeVPCs(c *call) (any, error) {
	type vpc struct {
		ID        string `xml:"vpcId"`
		State     string `xml:"state"`
		CIDR      string `xml:"cidrBlock"`
		IsDefault bool   `xml:"isDefault"`
		Owner     string `xml:"ownerId"`
	}
	var out struct {
		VPCs []vpc `xml:"vpcSet>item"`
	}
	var err error
	a := attributes{"vpc-id": {vpcID}, "isDefault": {"true"}, "is-default": {"true"}, "state": {"available"}, "cidr": {"172.31.0.0/16"}, "owner-id": {Account}}
	out.VPCs, err = selected(c, c.list("VpcId"), vpcID, a, vpc{vpcID, "available", "172.31.0.0/16", true, Account}, "InvalidVpcID.NotFound")
	return out, err
}

func describeSubnets(c *call) (any, error) {
	type subnet struct {
		ID      string `xml:"subnetId"`
		State   string `xml:"state"`
		VPC     string `xml:"vpcId"`
		CIDR    string `xml:"cidrBlock"`
		Free    int    `xml:"availableIpAddressCount"`
		Zone    string `xml:"availabilityZone"`
		Default bool   `xml:"defaultForAz"`
		Public  bool   `xml:"mapPublicIpOnLaunch"`
	}
	var out struct {
		Subnets []subnet `xml:"subnetSet>item"`
	}
	zone := c.region.name + "a"
	a := attributes{"subnet-id": {subnetID}, "vpc-id": {vpcID}, "state": {"available"}, "availability-zone": {zone}, "availabilityZone": {zone}, "default-for-az": {"true"}, "defaultForAz": {"true"}}
	var err error
	out.Subnets, err = selected(c, c.list("SubnetId"), subnetID, a, subnet{subnetID, "available", vpcID, "172.31.0.0/20", 4091, zone, true, true}, "InvalidSubnetID.NotFound")
	return out, err
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
	for _, g := range c.region.groups {
		if g.name == name {
			return nil, problem("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, vpcID)
		}
	}
	g := &group{object: c.object("sg"), name: name, description: description}
	g.tags = c.tagged("security-group")
	g.hide(c, "CreateSecurityGroup")
	c.region.groups[g.id] = g
	return struct {
		Return bool      `xml:"return"`
		ID     string    `xml:"groupId"`
		Tags   []tagItem `xml:"tagSet>item"`
	}{true, g.id, g.tags.items()}, nil
}

// hide keeps a new object from being found for long, if a fault says so.
func (o *object) hide(c *call, action string) {
	if c.spoiled(action, StaysHidden) {
		o.hidden = 10
	}
}

func (c *call) group() (*group, error) {
	id := c.text("GroupId")
	for _, g := range c.region.groups {
		if g.id == id || id == "" && g.name == c.text("GroupName") {
			return g, nil
		}
	}
	return nil, missingGroup(id + c.text("GroupName"))
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
		g.rules = append(g.rules, r)
	}
	return ok()
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
	type permission struct {
		Protocol string `xml:"ipProtocol"`
		From     int64  `xml:"fromPort"`
		To       int64  `xml:"toPort"`
		Ranges   []cidr `xml:"ipRanges>item"`
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
		return attributes{"group-name": {g.name}, "group-id": {g.id}, "vpc-id": {vpcID}, "description": {g.description}, "owner-id": {Account}}
	}, missingGroup)
	for _, g := range found {
		it := item{Account, g.id, g.name, g.description, vpcID, nil, g.tags.items()}
		for _, r := range g.rules {
			p := permission{r.protocol, r.from, r.to, nil}
			for _, one := range r.cidrs {
				p.Ranges = append(p.Ranges, cidr{one})
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

// newKey makes a key as EC2 hands it out: PEM of PKCS 1 for RSA, OpenSSH's own form for ED25519.
func newKey(kind string) (private []byte, public ssh.PublicKey, err error) {
	switch kind {
	case "", "rsa":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, nil, err
		}
		public, err = ssh.NewPublicKey(&key.PublicKey)
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), public, err
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return nil, nil, err
		}
		public, err = ssh.NewPublicKey(key.Public())
		return pem.EncodeToMemory(block), public, err
	}
	return nil, nil, problem("InvalidParameterValue", "Value (%s) for parameter KeyType is invalid. Valid values are: rsa, ed25519", kind)
}

func addKey(c *call, name, kind string, public ssh.PublicKey) (*keyPair, error) {
	if _, there := c.region.keys[name]; there {
		return nil, problem("InvalidKeyPair.Duplicate", "The keypair already exists")
	}
	sum := md5.Sum(public.Marshal())
	k := &keyPair{object: c.object("key"), name: name, kind: kind, fingerprint: strings.Trim(strings.ReplaceAll(fmt.Sprintf("% x", sum), " ", ":"), ":"),
		authorized: string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(public))) + " " + name}
	k.tags = c.tagged("key-pair")
	c.region.keys[name] = k
	return k, nil
}

type keyAnswer struct {
	Name        string    `xml:"keyName"`
	Fingerprint string    `xml:"keyFingerprint"`
	Material    string    `xml:"keyMaterial,omitempty"`
	ID          string    `xml:"keyPairId"`
	Kind        string    `xml:"keyType,omitempty"`
	Tags        []tagItem `xml:"tagSet>item"`
}

func (k *keyPair) answer() keyAnswer {
	return keyAnswer{Name: k.name, Fingerprint: k.fingerprint, ID: k.id, Kind: k.kind, Tags: k.tags.items()}
}

func createKey(c *call) (any, error) {
	name, err := c.must("KeyName")
	if err != nil {
		return nil, err
	}
	kind := c.or("KeyType", "rsa")
	private, public, err := newKey(kind)
	if err != nil {
		return nil, err
	}
	k, err := addKey(c, name, kind, public)
	if err != nil {
		return nil, err
	}
	a := k.answer()
	a.Material = string(private)
	return a, nil
}

func importKey(c *call) (any, error) {
	name, err := c.must("KeyName")
	if err != nil {
		return nil, err
	}
	material, err := base64.StdEncoding.DecodeString(c.text("PublicKeyMaterial"))
	if err != nil {
		return nil, problem("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(material)
	if err != nil {
		return nil, problem("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	k, err := addKey(c, name, strings.TrimPrefix(public.Type(), "ssh-"), public)
	if err != nil {
		return nil, err
	}
	return k.answer(), nil
}

func describeKeys(c *call) (any, error) {
	var out struct {
		Keys []keyAnswer `xml:"keySet>item"`
	}
	ids := c.list("KeyPairId")
	missing := func(name string) error {
		return problem("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
	}
	for _, name := range c.list("KeyName") {
		k, ok := c.region.keys[name]
		if !ok {
			return nil, missing(name)
		}
		ids = append(ids, k.id)
	}
	byID := map[string]*keyPair{}
	for _, k := range c.region.keys {
		byID[k.id] = k
	}
	found, err := describe(byID, func(k *keyPair) *object { return &k.object }, ids, c.params, func(k *keyPair) attributes {
		return attributes{"key-name": {k.name}, "key-pair-id": {k.id}, "fingerprint": {k.fingerprint}}
	}, missing)
	for _, k := range found {
		out.Keys = append(out.Keys, k.answer())
	}
	return out, err
}

// deleteKey succeeds for a key that is not there, as the service does.
func deleteKey(c *call) (any, error) {
	for name, k := range c.region.keys {
		if name == c.text("KeyName") || k.id == c.text("KeyPairId") {
			delete(c.region.keys, name)
		}
	}
	return ok()
}
