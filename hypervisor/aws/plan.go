package aws

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// Planner turns the arguments of amazon-ebs into a Spec. It is pure.
type Planner struct{}

var (
	_ hypervisor.Planner     = Planner{}
	_ hypervisor.Reacher     = Planner{}
	_ hypervisor.HostToucher = Planner{}
)

// userData is the name under which the file of user_data_file is known to Spec.Reads and Spec.Fetched.
const userData = "user_data_file"

// Plan resolves defaults, checks every argument and returns all problems at once.
func (Planner) Plan(args json.RawMessage) (hypervisor.Spec, error) {
	var p planner
	for _, group := range append(p.groups(), &p.access, &p.client, &p.others) {
		if err := json.Unmarshal(args, group); err != nil {
			return hypervisor.Spec{}, fmt.Errorf("the arguments of the machine cannot be read: %w", err)
		}
	}
	var err error
	p.Port, err = hypervisor.CommunicatorPort(args)
	p.Problem(err)
	p.place()
	p.source()
	p.instance()
	p.network()
	p.connect()
	p.notBuilt()
	region := p.access.Region
	if region == "" {
		region = "us-east-1" // any, for rules that compare regions
	}
	wanted, err := p.wanted()
	p.Problem(err)
	p.Problem(wanted.Check(region))
	spec := hypervisor.Spec{Arch: architectureOf(p.types()[0]), Remote: true}
	if file := p.Instance.UserDataFile; file != "" {
		spec.Reads = map[string]string{userData: file}
	}
	spec.Options, err = json.Marshal(p.settings)
	p.Problem(err)
	return spec, p.Err()
}

// planner resolves the arguments of one template.
type planner struct {
	hypervisor.Checks
	settings
	access AccessArgs
	client ClientArgs
	others others
}

// others are arguments that their owners declare.
type others struct {
	OldArgs
	KeypairName string `json:"ssh_keypair_name"`
	KeyName     string `json:"temporary_key_pair_name"`
	Bastion     string `json:"ssh_bastion_host"`
}

// place is who asks, and where.
func (p *planner) place() {
	a, c := p.access, p.client
	p.Positive("max_retries", c.MaxRetries)
	if poll := c.Polling; poll != nil {
		p.Positive("aws_polling.delay_seconds", poll.DelaySeconds)
		p.Positive("aws_polling.max_attempts", poll.MaxAttempts)
	}
	access := accessOf(a, c)
	p.Problem(access.Check())
	var err error
	p.URI, err = formatPlace(access, p.Image.Regions)
	p.Problem(err)
}

var imageID = regexp.MustCompile(`^ami-[0-9a-f]{8,17}$`)

func (p *planner) source() {
	s := p.Source
	switch {
	case s.SourceAMI == "" && s.Filter == nil:
		p.Problem(errors.New("source_ami or source_ami_filter is missing: name the image to start from"))
	case s.SourceAMI != "" && !imageID.MatchString(s.SourceAMI):
		p.Problem(fmt.Errorf("source_ami = %q: an id such as ami-0123456789abcdef0 is needed", s.SourceAMI))
	case s.SourceAMI == "" && len(s.Filter.Owners) == 0 && s.Filter.all()["owner-id"] == "" && s.Filter.all()["owner-alias"] == "":
		p.Problem(errors.New("source_ami_filter without owners would take an image of anybody who chooses its name: set owners, such as [\"self\"] or [\"amazon\"]"))
	}
	p.OneOf("ami_virtualization_type", p.Image.VirtualizationType, "", "hvm", "paravirtual")
}

func (p *planner) instance() {
	in := p.Instance
	if in.Type == "" && len(p.Spot.InstanceTypes) == 0 {
		p.Problem(errors.New("instance_type is missing, such as t3.small"))
	}
	if in.Type != "" && len(p.Spot.InstanceTypes) > 0 {
		p.Problem(fmt.Errorf("instance_type = %q and spot_instance_types exclude each other: keep one", in.Type))
	}
	if in.UserData != "" && in.UserDataFile != "" {
		p.Problem(errors.New("user_data and user_data_file exclude each other: keep one"))
	}
	p.OneOf("shutdown_behavior", in.ShutdownBehavior, "stop", "stop", "terminate")
	if m := in.Metadata; m != nil {
		p.OneOf("metadata_options.http_endpoint", m.Endpoint, "", "enabled", "disabled")
		p.OneOf("metadata_options.http_tokens", m.Tokens, "", "optional", "required")
		p.OneOf("metadata_options.instance_metadata_tags", m.InstanceTags, "", "enabled", "disabled")
	}
	p.OneOf("tenancy", p.Performance.Tenancy, "", "default", "dedicated", "host")
	p.OneOf("capacity_reservation_preference", p.Performance.ReservationPref, "", "open", "none")
	if price := p.Spot.Price; price != "" && price != "auto" && price != "0" {
		if f, err := strconv.ParseFloat(price, 64); err != nil || f <= 0 {
			p.Problem(fmt.Errorf("spot_price = %q: a price such as \"0.05\" or \"auto\" is needed", price))
		}
	}
	for _, d := range p.Disks.Launch {
		if d.DeviceName == "" {
			p.Problem(errors.New("launch_block_device_mappings: device_name is missing, such as /dev/sda1"))
		}
		if d.VolumeSize < 0 {
			p.Problem(fmt.Errorf("launch_block_device_mappings: volume_size = %d: a size in GiB above 0 is needed", d.VolumeSize))
		}
	}
}

// network checks who may reach the instance, and takes the old form of that.
func (p *planner) network() {
	g := &p.Groups
	if old := p.others.SourceCIDR; old != "" && len(g.SourceCIDRs) == 0 {
		g.SourceCIDRs = []string{old}
	}
	for _, cidr := range g.SourceCIDRs {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			p.Problem(fmt.Errorf("temporary_security_group_source_cidrs: %q is no network such as 192.0.2.0/24", cidr))
		}
	}
	if len(g.SourceCIDRs) > 0 && g.SourcePublicIP {
		p.Problem(errors.New("temporary_security_group_source_cidrs and temporary_security_group_source_public_ip exclude each other: keep one"))
	}
}

// The values of ssh_interface.
const (
	publicIP       = "public_ip"
	privateIP      = "private_ip"
	publicDNS      = "public_dns"
	privateDNS     = "private_dns"
	sessionManager = "session_manager"
)

func (p *planner) connect() {
	if p.others.SSHPrivateIP && p.Connect.Interface == "" {
		p.Connect.Interface = privateIP
	}
	p.OneOf("ssh_interface", p.Connect.Interface, "", publicIP, privateIP, publicDNS, privateDNS, sessionManager)
	if p.Connect.Interface == sessionManager && p.Instance.Profile == "" {
		p.Problem(errors.New("ssh_interface = \"session_manager\": the instance needs an iam_instance_profile that allows AmazonSSMManagedInstanceCore"))
	}
	p.KeyName, p.TemporaryKeyName, p.Bastion = p.others.KeypairName, p.others.KeyName, p.others.Bastion
}

// notBuilt refuses what validates and has no code.
func (p *planner) notBuilt() {
	for arg, given := range map[string]bool{
		"vault_aws_engine": p.access.VaultEngine != nil,
		"temporary_iam_instance_profile_policy_document": p.Instance.ProfilePolicy != nil,
		"elastic_ip_allocation_id":                       p.Network.ElasticIP != "",
		"fast_launch":                                    p.EBS.FastLaunch != nil && p.EBS.FastLaunch.Enable,
	} {
		if given {
			p.Problem(fmt.Errorf("%s validates, but cannot be built yet: leave it out", arg))
		}
	}
}

// types are the types of instances to try, in their order.
func (s settings) types() []string {
	if len(s.Spot.InstanceTypes) > 0 {
		return s.Spot.InstanceTypes
	}
	return []string{s.Instance.Type}
}

// spot tells whether the instance is one that AWS may take away.
func (s settings) spot() bool {
	return s.Spot.Price != "" && s.Spot.Price != "0" || len(s.Spot.InstanceTypes) > 0
}

// graviton are the types with ARM processors: a letter g after the number of their generation, and the first of them, a1.
// Source: Amazon EC2 instance types, naming conventions.
var graviton = regexp.MustCompile(`^(a1|[a-z]+\d+[a-z]*g[a-z]*)\.`)

// architectureOf is the processor of a type of instance, in Go's words.
func architectureOf(typ string) string {
	if graviton.MatchString(typ) {
		return "arm64"
	}
	return "amd64"
}

// Reaching implements hypervisor.Reacher. Nothing is kept of a machine in a cloud: it cannot be frozen, and the image that it starts
// from is somebody else's.
func (Planner) Reaching(json.RawMessage, schema.Reach) (values []schema.Value, never string, err error) {
	return nil, "runs in AWS, where machines cannot be frozen", nil
}

// TouchesHost implements hypervisor.HostToucher: whoever may only submit builds must not spend the money of the daemon's owner.
func (Planner) TouchesHost(options json.RawMessage) string {
	s, err := decodeSettings(options)
	if err != nil {
		return err.Error()
	}
	at, err := parsePlace(s.URI)
	if err != nil {
		return err.Error()
	}
	switch {
	case s.Connect.Interface == sessionManager:
		return "ssh_interface = \"session_manager\" runs a program on the daemon's host"
	case at.Keys.None():
		return "amazon-ebs without access_key uses the AWS credentials of the daemon's host"
	}
	return ""
}

// pairs are tags of both forms that templates have, or filters.
func pairs[T any](m map[string]string, blocks []T, pair func(T) (key, value string)) map[string]string {
	all := map[string]string{}
	maps.Copy(all, m)
	for _, b := range blocks {
		key, value := pair(b)
		all[key] = value
	}
	return all
}

func keyValue(t KeyValue) (key, value string)   { return t.Key, t.Value }
func nameValue(t NameValue) (key, value string) { return t.Name, t.Value }

func volumeTag(t VolumeTag) (key, value string) {
	if t.Key == "" {
		return t.Name, t.Value
	}
	return t.Key, t.Value
}

func (f *ImageFilter) all() map[string]string { return pairs(f.Filters, f.Filter, nameValue) }

func (f *Filter) all() map[string]string { return pairs(f.Filters, f.Filter, nameValue) }
