package cloud

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
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
	groups           []string
	volumes          []string
	userData         string
	arch             string
	rootDevice       string
	uefi             bool
	profile          string
	tokenRequired    bool // IMDSv2
	spot             bool
	ended            time.Time
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

// request is a canonical form of a call's parameters, to compare two with one ClientToken.
func (c *call) request() string {
	var keep []string
	for k, v := range c.Values {
		if len(v) > 0 && v[0] != "" {
			keep = append(keep, url.QueryEscape(k)+"="+url.QueryEscape(v[0]))
		}
	}
	slices.Sort(keep)
	return strings.Join(keep, "&")
}

func runInstances(c *call) (any, error) {
	if t, again := c.region.tokens[c.text("ClientToken")]; again && c.text("ClientToken") != "" {
		if t.request != c.request() {
			return nil, problem("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
		}
		return c.reservation(c.region.instances[t.made]), nil
	}
	in, im, err := c.newInstance()
	if err != nil {
		return nil, err
	}
	if err := c.addVolumes(in, im); err != nil {
		return nil, err
	}
	c.region.instances[in.id] = in
	if t := c.text("ClientToken"); t != "" {
		c.region.tokens[t] = token{c.request(), in.id}
	}
	c.boot(c.region, in, im.rootSnapshot())
	return c.reservation(in), nil
}

// newInstance is the instance that a call asks for.
func (c *call) newInstance() (*instance, *image, error) {
	im, found := c.region.images[c.text("ImageId")]
	if !found {
		return nil, nil, missingImage(c.text("ImageId"))
	}
	if im.shown() != imageAvailable {
		return nil, nil, problem("InvalidAMIID.Unavailable", "The image id '[%s]' is no longer available", im.id)
	}
	key := c.text("KeyName")
	if _, there := c.region.keys[key]; key != "" && !there {
		return nil, nil, problem("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", key)
	}
	groups := c.list("SecurityGroupId")
	for _, nic := range c.each("NetworkInterface") {
		groups = append(groups, nic.list("SecurityGroupId")...)
	}
	for _, id := range groups {
		if _, there := c.region.groups[id]; !there {
			return nil, nil, missingGroup(id)
		}
	}
	data, err := base64.StdEncoding.DecodeString(c.text("UserData"))
	if err != nil {
		return nil, nil, problem("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	c.address++
	in := &instance{object: c.object("i"), image: im.id, kind: c.or("InstanceType", "m1.small"), key: key, state: pending,
		address: fmt.Sprintf("127.9.%d.%d", c.address>>8&255, c.address&255), groups: groups, userData: string(data), arch: im.arch,
		rootDevice: im.rootDevice, uefi: strings.HasPrefix(im.bootMode, "uefi"), profile: c.text("IamInstanceProfile.Name"),
		tokenRequired: c.text("MetadataOptions.HttpTokens") == "required", spot: c.text("InstanceMarketOptions.MarketType") == "spot"}
	in.tags = c.tagged("instance")
	in.hide(c, "RunInstances")
	return in, im, nil
}

// addVolumes makes the volumes that the image has, changed and added to by the call.
func (c *call) addVolumes(in *instance, im *image) error {
	if im.rootSnapshot() == "" {
		return errNoDisk
	}
	disks, err := c.mappings(im.disks)
	if err != nil {
		return err
	}
	for _, d := range disks {
		v := &volume{object: c.object("vol"), size: d.size, instance: in.id, device: d.device, snapshot: d.snapshot, encrypted: d.encrypted, kind: d.kind, autoDelete: d.autoDelete}
		v.tags, v.hidden = c.tagged("volume"), 0
		if s, there := c.region.snapshots[d.snapshot]; there && v.size < s.size {
			return problem("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", v.size, s.id, s.size)
		}
		c.region.volumes[v.id] = v
		in.volumes = append(in.volumes, v.id)
	}
	return nil
}

// boot fills an instance's volumes and starts its machine.
func (c *call) boot(r *region, in *instance, root string) {
	dies := c.spoiled("RunInstances", InstanceDies)
	g := Guest{ID: in.id, Address: in.address, UserData: []byte(in.userData), UEFI: in.uefi, Reachable: c.reachable(r, in)}
	if k := r.keys[in.key]; k != nil {
		g.Key = k.authorized
	}
	type copyOf struct {
		from, to string
		size     int64
	}
	var copies []copyOf
	for _, id := range in.volumes {
		v := r.volumes[id]
		one := copyOf{to: c.volumeFile(id), size: v.size << 30}
		if v.snapshot != "" {
			one.from = c.snapshotFile(v.snapshot)
		}
		if v.snapshot == root {
			g.Disk = one.to
		}
		copies = append(copies, one)
	}
	cloud := c.Cloud
	cloud.do(func(ctx context.Context) error {
		for _, one := range copies {
			if one.from != "" {
				if err := copyDisk(ctx, one.from, one.to); err != nil {
					return err
				}
			}
			f, err := os.OpenFile(one.to, os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			err = f.Truncate(one.size)
			f.Close()
			if err != nil {
				return err
			}
		}
		return cloud.startGuest(ctx, g)
	}, func(err error) {
		if err != nil || dies {
			cloud.cfg.Log.Error("instance", "id", in.id, "err", err)
			cloud.end(r, in, "Server.InternalError: Internal error on launch")
			return
		}
		if in.state == pending {
			in.state = running
		}
		cloud.follow(r, in)
	})
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
		if err == nil && in.state == running {
			in.state, in.reason = stopped, "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
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
}

func modifyInstance(c *call) (any, error) {
	id := c.text("InstanceId")
	if _, found := c.region.instances[id]; !found {
		return nil, missingInstance(id)
	}
	return ok()
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
	Tags       []tagItem        `xml:"tagSet>item"`
	HTTPTokens string           `xml:"metadataOptions>httpTokens"`
	ENA        bool             `xml:"enaSupport"`
}

func (c *call) item(in *instance) instanceItem {
	it := instanceItem{ID: in.id, Image: in.image, State: in.state, Reason: in.reason, Key: in.key, Kind: in.kind, Launched: stamp(in.born), Zone: c.region.name + "a",
		Subnet: subnetID, VPC: vpcID, Private: in.address, Arch: in.arch, RootKind: "ebs", RootDevice: in.rootDevice, Virtual: "hvm", Tags: in.tags.items(), HTTPTokens: "optional", ENA: true}
	if in.tokenRequired {
		it.HTTPTokens = "required"
	}
	if in.spot {
		it.Lifecycle = "spot"
	}
	if in.state == running {
		it.Public, it.PublicDNS, it.PrivateDNS = in.address, in.address, in.address
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
		v := c.region.volumes[id]
		it.Volumes = append(it.Volumes, instanceVolume{v.device, id, "attached", v.autoDelete})
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
	return attributes{"instance-id": {in.id}, "instance-state-name": {in.state.Name}, "instance-state-code": {fmt.Sprint(in.state.Code)}, "image-id": {in.image},
		"key-name": {in.key}, "instance.group-id": in.groups, "network-interface.group-id": in.groups, "client-token": nil, "vpc-id": {vpcID}, "ip-address": {in.address}, "instance-type": {in.kind}}
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
			out.Statuses = append(out.Statuses, item{in.id, c.region.name + "a", in.state, "ok", "ok"})
		}
	}
	return out, err
}

// kinds of instances that can be had.
var kinds = []string{"m1.small", "t2.micro", "t3.micro", "t3.small", "m5.large", "t4g.micro"}

func describeOfferings(c *call) (any, error) {
	type item struct {
		Kind     string `xml:"instanceType"`
		Where    string `xml:"locationType"`
		Location string `xml:"location"`
	}
	var out struct {
		Offerings []item `xml:"instanceTypeOfferingSet>item"`
	}
	for _, kind := range kinds {
		pass, err := c.selects(attributes{"instance-type": {kind}, "location": {c.region.name + "a"}})
		if err != nil {
			return nil, err
		}
		if pass {
			out.Offerings = append(out.Offerings, item{kind, "availability-zone", c.region.name + "a"})
		}
	}
	return out, nil
}
