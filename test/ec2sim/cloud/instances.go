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
	"time"
)

// Guests runs the machines of instances.
type Guests interface {
	// Start boots an instance from its root disk, a raw image, and returns once the machine runs. Port 22 of Guest.Address leads
	// to its own if Guest.Reachable.
	Start(ctx context.Context, g Guest) error
	// Stop asks the guest to power off and waits until it has, or kills it.
	Stop(ctx context.Context, id string) error
	// Kill ends it at once; nil if none runs.
	Kill(ctx context.Context, id string) error
	// Wait returns when the machine has ended by itself or by somebody's doing.
	Wait(ctx context.Context, id string) error
}

// Guest is an instance as its machine sees it.
type Guest struct {
	ID, Disk  string
	Address   string // on this host
	Key       string // a line for authorized_keys; empty for none
	UserData  []byte
	UEFI      bool
	Reachable bool // a security group lets this host in to port 22
}

// instanceState is the state of an instance: the code of the API and its name.
type instanceState struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

// The states of an instance.
var (
	pending      = instanceState{0, "pending"}
	running      = instanceState{16, "running"}
	shuttingDown = instanceState{32, "shutting-down"}
	terminated   = instanceState{48, "terminated"}
	stopping     = instanceState{64, "stopping"}
	stopped      = instanceState{80, "stopped"}
)

func (s instanceState) alive() bool { return s == pending || s == running || s == stopping }

// instance is a virtual machine.
type instance struct {
	object
	image, kind, key string
	state            instanceState
	reason           string
	address          string
	public           bool
	subnet           *subnet
	groups           []string
	volumes          []string
	userData         string
	arch             string
	rootDevice       string
	ena, uefi        bool
	terminates       bool // when it powers itself off
	profile          string
	metadata         metadata
	spot             string // request
	token            string
	ended            time.Time
}

// metadata are the options of the metadata service.
type metadata struct {
	Tokens   string `xml:"httpTokens"`
	Endpoint string `xml:"httpEndpoint"`
	Hops     int64  `xml:"httpPutResponseHopLimit"`
	Tags     string `xml:"instanceMetadataTags"`
}

// released tells whether the network interface of an instance is gone, which takes a little longer than the instance.
func (in *instance) released() bool {
	return in.state == terminated && time.Since(in.ended) > 300*time.Millisecond
}

func missingInstance(id string) error {
	return problem("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
}

// stamp is a time as answers write it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

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

// Interrupt ends an instance by the cloud's own doing, as a failed host does or somebody who bids more for a spot instance.
func (c *Cloud) Interrupt(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.regions {
		if in := r.instances[id]; in != nil && in.state.alive() {
			reason := "Server.InternalError: Internal error"
			if in.spot != "" {
				reason = "Server.SpotInstanceTermination: Spot instance termination"
			}
			c.abandon(r, in, reason)
			return nil
		}
	}
	return missingInstance(id)
}

// abandon ends an instance that nobody asked to end. c.mu is held.
func (c *Cloud) abandon(r *region, in *instance, reason string) {
	in.state = shuttingDown
	c.halt(in, func(ctx context.Context, g Guests) error { return g.Kill(ctx, in.id) }, func() { c.end(r, in, reason) })
}

func (c *Cloud) startGuest(ctx context.Context, g Guest) error {
	if c.cfg.Guests == nil {
		return nil
	}
	return c.cfg.Guests.Start(ctx, g)
}

// follow notices when a guest powers itself off: its instance is stopped then. c.mu is held.
func (c *Cloud) follow(r *region, in *instance) {
	if c.cfg.Guests == nil {
		return
	}
	c.do(func(ctx context.Context) error { return c.cfg.Guests.Wait(ctx, in.id) }, func(err error) {
		const reason = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
		switch {
		case err != nil || in.state != running:
		case in.terminates:
			c.end(r, in, reason)
		default:
			in.state, in.reason = stopped, reason
		}
	})
}

// reachable tells whether a security group lets this host in to SSH.
func (c *Cloud) reachable(r *region, in *instance) bool {
	return slices.ContainsFunc(in.groups, func(id string) bool {
		return r.groups[id] != nil && r.groups[id].allows(22, loopback)
	})
}

// end makes an instance terminated, with its volumes. c.mu is held.
func (c *Cloud) end(r *region, in *instance, reason string) {
	in.state, in.reason, in.ended = terminated, reason, time.Now()
	for _, id := range in.volumes {
		v := r.volumes[id]
		if v == nil {
			continue
		}
		v.instance = ""
		if v.autoDelete {
			c.dropVolume(r, v)
		}
	}
	in.volumes = nil
	if sir := r.spots[in.spot]; sir != nil {
		sir.over(reason)
	}
}

func modifyInstance(c *call) (any, error) {
	in, found := c.region.instances[c.text("InstanceId")]
	if !found {
		return nil, missingInstance(c.text("InstanceId"))
	}
	switch {
	case c.text("EnaSupport.Value") != "" || c.text("SriovNetSupport.Value") != "":
		if in.state != stopped {
			return nil, problem("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", in.id)
		}
		in.ena = in.ena || c.yes("EnaSupport.Value")
	case c.text("InstanceInitiatedShutdownBehavior.Value") != "":
		in.terminates = c.text("InstanceInitiatedShutdownBehavior.Value") == "terminate"
	default:
		return nil, problem("UnsupportedOperation", "that attribute of an instance is not simulated")
	}
	return ok()
}

// consoleOutput is what the guest has written to its first serial port.
func consoleOutput(c *call) (any, error) {
	in, found := c.region.instances[c.text("InstanceId")]
	if !found || !in.asked() {
		return nil, missingInstance(c.text("InstanceId"))
	}
	var text []byte
	if g, can := c.cfg.Guests.(interface {
		Console(id string) ([]byte, error)
	}); can {
		var err error
		if text, err = g.Console(in.id); err != nil {
			return nil, err
		}
	}
	return struct {
		ID     string `xml:"instanceId"`
		Time   string `xml:"timestamp"`
		Output string `xml:"output"`
	}{in.id, stamp(time.Now()), base64.StdEncoding.EncodeToString(text)}, nil
}

type stateReason struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

type instanceVolume struct {
	Device string `xml:"deviceName"`
	Volume string `xml:"ebs>volumeId"`
	Status string `xml:"ebs>status"`
	Delete bool   `xml:"ebs>deleteOnTermination"`
}

type groupItem struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type instanceItem struct {
	ID         string           `xml:"instanceId"`
	Image      string           `xml:"imageId"`
	State      instanceState    `xml:"instanceState"`
	PrivateDNS string           `xml:"privateDnsName"`
	PublicDNS  string           `xml:"dnsName"`
	Reason     string           `xml:"reason"`
	Key        string           `xml:"keyName,omitempty"`
	Kind       string           `xml:"instanceType"`
	Launched   string           `xml:"launchTime"`
	Zone       string           `xml:"placement>availabilityZone"`
	Subnet     string           `xml:"subnetId"`
	VPC        string           `xml:"vpcId"`
	Private    string           `xml:"privateIpAddress"`
	Public     string           `xml:"ipAddress,omitempty"`
	Groups     []groupItem      `xml:"groupSet>item"`
	StateWhy   *stateReason     `xml:"stateReason"`
	Arch       string           `xml:"architecture"`
	RootKind   string           `xml:"rootDeviceType"`
	RootDevice string           `xml:"rootDeviceName"`
	Volumes    []instanceVolume `xml:"blockDeviceMapping>item"`
	Virtual    string           `xml:"virtualizationType"`
	Token      string           `xml:"clientToken"`
	Lifecycle  string           `xml:"instanceLifecycle,omitempty"`
	Spot       string           `xml:"spotInstanceRequestId,omitempty"`
	Profile    string           `xml:"iamInstanceProfile>arn,omitempty"`
	Tags       []tagItem        `xml:"tagSet>item"`
	Metadata   metadata         `xml:"metadataOptions"`
	ENA        bool             `xml:"enaSupport"`
}

func (c *call) item(in *instance) instanceItem {
	it := instanceItem{ID: in.id, Image: in.image, State: in.state, Reason: in.reason, Key: in.key, Kind: in.kind, Launched: stamp(in.born), Zone: in.subnet.zone,
		Subnet: in.subnet.id, VPC: in.subnet.vpc, Private: in.address, Arch: in.arch, RootKind: "ebs", RootDevice: in.rootDevice, Virtual: "hvm", Token: in.token,
		Spot: in.spot, Profile: in.profile, Tags: in.tags.items(), Metadata: in.metadata, ENA: in.ena}
	if in.spot != "" {
		it.Lifecycle = "spot"
	}
	if in.state == running {
		it.PrivateDNS = in.address
		if in.public {
			it.Public, it.PublicDNS = in.address, in.address
		}
	}
	if code, message, told := strings.Cut(in.reason, ": "); told {
		it.StateWhy = &stateReason{code, message}
	}
	for _, id := range in.groups {
		if g := c.region.groups[id]; g != nil {
			it.Groups = append(it.Groups, groupItem{id, g.name})
		}
	}
	for _, id := range in.volumes {
		if v := c.region.volumes[id]; v != nil {
			it.Volumes = append(it.Volumes, instanceVolume{v.device, id, "attached", v.autoDelete})
		}
	}
	return it
}

type reservation struct {
	ID        string         `xml:"reservationId"`
	Owner     string         `xml:"ownerId"`
	Instances []instanceItem `xml:"instancesSet>item"`
}

func (c *call) reservation(in *instance) reservation {
	return reservation{"r" + strings.TrimPrefix(in.id, "i"), Account, []instanceItem{c.item(in)}}
}

func (in *instance) attributes() attributes {
	a := attributes{"instance-id": {in.id}, "instance-state-name": {in.state.Name}, "instance-state-code": {fmt.Sprint(in.state.Code)}, "image-id": {in.image},
		"key-name": {in.key}, "instance.group-id": in.groups, "network-interface.group-id": in.groups, "client-token": {in.token}, "vpc-id": {in.subnet.vpc},
		"subnet-id": {in.subnet.id}, "availability-zone": {in.subnet.zone}, "private-ip-address": {in.address}, "ip-address": nil, "instance-type": {in.kind},
		"architecture": {in.arch}, "spot-instance-request-id": {in.spot}, "instance-lifecycle": nil, "root-device-name": {in.rootDevice}, "block-device-mapping.volume-id": in.volumes}
	if in.public {
		a["ip-address"] = []string{in.address}
	}
	if in.spot != "" {
		a["instance-lifecycle"] = []string{"spot"}
	}
	return a
}

func describeInstances(c *call) (any, error) {
	var out struct {
		Reservations []reservation `xml:"reservationSet>item"`
	}
	found, err := c.describeInstances()
	for _, in := range found {
		out.Reservations = append(out.Reservations, c.reservation(in))
	}
	return out, err
}

func (c *call) describeInstances() ([]*instance, error) {
	return describe(c.region.instances, func(in *instance) *object { return &in.object }, c.list("InstanceId"), c.params, (*instance).attributes, missingInstance)
}

func describeStatus(c *call) (any, error) {
	type item struct {
		ID       string        `xml:"instanceId"`
		Zone     string        `xml:"availabilityZone"`
		State    instanceState `xml:"instanceState"`
		System   string        `xml:"systemStatus>status"`
		Instance string        `xml:"instanceStatus>status"`
	}
	var out struct {
		Statuses []item `xml:"instanceStatusSet>item"`
	}
	found, err := c.describeInstances()
	for _, in := range found {
		if in.state == running || c.yes("IncludeAllInstances") {
			out.Statuses = append(out.Statuses, item{in.id, in.subnet.zone, in.state, "ok", "ok"})
		}
	}
	return out, err
}
