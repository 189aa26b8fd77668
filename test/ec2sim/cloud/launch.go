package cloud

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

func runInstances(c *call) (any, error) {
	id, err := c.made()
	if err != nil {
		return nil, err
	}
	if in := c.region.instances[id]; in != nil {
		return c.reservation(in), nil
	}
	in, err := c.launch()
	if err != nil {
		return nil, err
	}
	c.remember(in.id)
	return c.reservation(in), nil
}

// launch makes and boots the instance that a call asks for.
func (c *call) launch() (*instance, error) {
	if c.or("MinCount", "1") != "1" || c.or("MaxCount", "1") != "1" {
		return nil, problem("UnsupportedOperation", "more than one instance of a call is not simulated")
	}
	t, err := c.tagged("instance", "volume", "network-interface", "spot-instances-request")
	if err != nil {
		return nil, err
	}
	in, im, err := c.newInstance()
	if err != nil {
		return nil, err
	}
	if c.text("InstanceMarketOptions.MarketType") == "spot" {
		if err := c.spotMarket(in, t["spot-instances-request"]); err != nil {
			return nil, err
		}
	}
	in.tags = t["instance"]
	if err := c.addVolumes(in, im, t["volume"]); err != nil {
		return nil, err
	}
	c.region.instances[in.id] = in
	c.boot(in)
	return in, nil
}

// newInstance is the instance that a call asks for.
func (c *call) newInstance() (*instance, *image, error) {
	im, found := c.region.images[c.text("ImageId")]
	if !found {
		return nil, nil, missingImage(c.text("ImageId"))
	}
	if im.shown() != imageAvailable {
		return nil, nil, problem("InvalidAMIID.Unavailable", "The image ID '%s' is not available", im.id)
	}
	key := c.text("KeyName")
	if _, there := c.region.keys[key]; key != "" && !there {
		return nil, nil, missingKey(key)
	}
	net, err := c.network()
	if err != nil {
		return nil, nil, err
	}
	kind := c.or("InstanceType", "m1.small")
	if err := fits(kind, net.subnet.zone, im); err != nil {
		return nil, nil, err
	}
	data, err := base64.StdEncoding.DecodeString(c.text("UserData"))
	if err != nil {
		return nil, nil, problem("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	hops, err := c.number("MetadataOptions.HttpPutResponseHopLimit", 1)
	if err != nil {
		return nil, nil, err
	}
	c.address++
	return &instance{object: c.fresh("i", "RunInstances"), image: im.id, kind: kind, key: key, state: pending,
		address: fmt.Sprintf("127.9.%d.%d", c.address>>8&255, c.address&255), public: net.public, subnet: net.subnet, groups: net.groups,
		userData: string(data), arch: im.arch, rootDevice: im.rootDevice, ena: im.ena, uefi: strings.HasPrefix(im.bootMode, "uefi"),
		terminates: c.text("InstanceInitiatedShutdownBehavior") == "terminate", profile: c.or("IamInstanceProfile.Name", c.text("IamInstanceProfile.Arn")), token: c.text("ClientToken"),
		metadata: metadata{c.or("MetadataOptions.HttpTokens", "optional"), c.or("MetadataOptions.HttpEndpoint", "enabled"), hops, c.or("MetadataOptions.InstanceMetadataTags", "disabled")}}, im, nil
}

// place is where an instance is in the network.
type place struct {
	subnet *subnet
	public bool
	groups []string
}

// network reads where in the network a call wants its instance: in a subnet that it names, or in the default one of a zone.
func (c *call) network() (place, error) {
	nics := c.each("NetworkInterface")
	switch {
	case len(nics) > 1:
		return place{}, problem("UnsupportedOperation", "more than one network interface is not simulated")
	case len(nics) == 1 && (c.text("SubnetId") != "" || len(c.list("SecurityGroupId")) > 0):
		return place{}, problem("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request")
	}
	p := c.params
	if len(nics) == 1 {
		p = nics[0]
	}
	s, err := c.subnetOf(p.text("SubnetId"))
	if err != nil {
		return place{}, err
	}
	ids := p.list("SecurityGroupId")
	for _, name := range p.list("SecurityGroup") {
		i, err := c.region.groupNamed(name)
		if err != nil {
			return place{}, err
		}
		ids = append(ids, i.id)
	}
	groups, err := c.groupsIn(ids, s)
	if err != nil {
		return place{}, err
	}
	public := s.public
	if text := p.text("AssociatePublicIpAddress"); text != "" {
		public = text == "true"
	}
	return place{s, public, groups}, nil
}

func (c *call) subnetOf(id string) (*subnet, error) {
	zone := c.text("Placement.AvailabilityZone")
	if zone != "" && !slices.Contains(c.region.zones(), zone) {
		return nil, problem("InvalidParameterValue", "Invalid availability zone: [%s]", zone)
	}
	if id == "" {
		i := slices.IndexFunc(c.region.subnets, func(s *subnet) bool { return s.isDefault && (zone == "" || s.zone == zone) })
		return c.region.subnets[i], nil
	}
	s, err := c.region.subnet(id)
	if err == nil && zone != "" && zone != s.zone {
		return nil, problem("InvalidParameterValue", "The availability zone %s is not that of the subnet %s", zone, id)
	}
	return s, err
}

// groupsIn are security groups, the default one for none, which must be of the subnet's network.
func (c *call) groupsIn(ids []string, s *subnet) ([]string, error) {
	for _, id := range ids {
		g, there := c.region.groups[id]
		switch {
		case !there:
			return nil, missingGroup(id)
		case g.vpc != s.vpc:
			return nil, problem("InvalidParameter", "Security group %s and subnet %s belong to different networks.", id, s.id)
		}
	}
	for _, g := range c.region.groups {
		if len(ids) == 0 && g.name == "default" && g.vpc == s.vpc {
			return []string{g.id}, nil
		}
	}
	return ids, nil
}

// addVolumes makes the volumes that the image has, changed and added to by the call.
func (c *call) addVolumes(in *instance, im *image, t tags) error {
	disks, err := c.mappings(im.disks)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(disks, func(d mapping) bool { return d.device == im.rootDevice && d.snapshot != "" }) {
		return problem("InvalidBlockDeviceMapping", "The root device %s of %s is in no block device mapping with a snapshot", im.rootDevice, im.id)
	}
	var all []*volume
	for _, d := range disks {
		if s, there := c.region.snapshots[d.snapshot]; there && d.size < s.size {
			return problem("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", d.size, s.id, s.size)
		}
		v := &volume{object: c.object("vol"), size: d.size, instance: in.id, device: d.device, snapshot: d.snapshot, kms: d.kms, kind: d.kind, autoDelete: d.autoDelete}
		v.tags = maps.Clone(t)
		v.show()
		all = append(all, v)
	}
	for _, v := range all {
		c.region.volumes[v.id] = v
		in.volumes = append(in.volumes, v.id)
	}
	return nil
}

// root is the volume that an instance boots from.
func (r *region) root(in *instance) *volume {
	for _, id := range in.volumes {
		if v := r.volumes[id]; v != nil && v.device == in.rootDevice {
			return v
		}
	}
	return nil
}

// guest is what the machine of an instance is told.
func (c *Cloud) guest(r *region, in *instance) Guest {
	g := Guest{ID: in.id, Address: in.address, UserData: []byte(in.userData), UEFI: in.uefi, Reachable: c.reachable(r, in)}
	if v := r.root(in); v != nil {
		g.Disk = c.volumeFile(v.id)
	}
	if k := r.keys[in.key]; k != nil {
		g.Key = k.authorized
	}
	return g
}

// filling is a volume to be made of a snapshot, or of nothing.
type filling struct {
	from, to string
	size     int64 // bytes
}

func (f filling) fill(ctx context.Context) error {
	if f.from != "" {
		if err := copyDisk(ctx, f.from, f.to); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(f.to, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(f.size), file.Close())
}

// boot fills an instance's volumes and starts its machine.
func (c *call) boot(in *instance) {
	dies := c.spoiled("RunInstances", InstanceDies)
	r, cloud, g := c.region, c.Cloud, c.guest(c.region, in)
	var all []filling
	ids := slices.Clone(in.volumes)
	for _, id := range ids {
		v := r.volumes[id]
		one := filling{to: c.volumeFile(id), size: v.size * gib}
		if v.snapshot != "" {
			one.from = c.snapshotFile(v.snapshot)
		}
		all = append(all, one)
	}
	cloud.do(func(ctx context.Context) error {
		for _, one := range all {
			if err := one.fill(ctx); err != nil {
				return err
			}
		}
		return cloud.startGuest(ctx, g)
	}, func(err error) {
		cloud.booted(r, in, errors.Join(err, dead(dies)))
		for i, id := range ids {
			if r.volumes[id] == nil {
				cloud.remove(all[i].to) // filled after its volume was deleted
			}
		}
	})
}

var errDies = errors.New("a fault wants it so")

func dead(yes bool) error {
	if yes {
		return errDies
	}
	return nil
}

// booted settles an instance whose machine was started, or could not be. c.mu is held.
func (c *Cloud) booted(r *region, in *instance, err error) {
	switch {
	case in.state != pending: // somebody has ended it meanwhile, maybe before there was a machine
		c.halt(in, func(ctx context.Context, g Guests) error { return g.Kill(ctx, in.id) }, func() {})
	case err != nil:
		c.cfg.Log.Error("instance", "id", in.id, "err", err)
		c.abandon(r, in, "Server.InternalError: Internal error on launch")
	default:
		in.state = running
		c.follow(r, in)
	}
}

func (c *Cloud) startGuest(ctx context.Context, g Guest) error {
	if c.cfg.Guests == nil {
		return nil
	}
	return c.cfg.Guests.Start(ctx, g)
}

// reachable tells whether a security group lets this host in to SSH.
func (c *Cloud) reachable(r *region, in *instance) bool {
	return slices.ContainsFunc(in.groups, func(id string) bool {
		return r.groups[id] != nil && r.groups[id].allows(22, loopback)
	})
}
