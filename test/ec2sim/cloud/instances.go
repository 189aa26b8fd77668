package cloud

import (
	"context"
	"encoding/base64"
	"fmt"
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
