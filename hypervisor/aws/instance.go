package aws

import "github.com/boxkiln/boxkiln/internal/schema"

// SourceArgs name the image to start from.
type SourceArgs struct {
	SourceAMI string       `json:"source_ami" doc:"Id of the image to start from." guest:"yes"`
	Filter    *ImageFilter `json:"source_ami_filter" doc:"What to look for instead of an id." arg:"block" guest:"yes"`
}

// ImageFilter describes an image.
type ImageFilter struct {
	Filters           map[string]string `json:"filters" doc:"Filters of DescribeImages." guest:"yes"`
	Filter            []NameValue       `json:"filter" doc:"A filter of DescribeImages." arg:"block" guest:"yes"`
	Owners            []string          `json:"owners" doc:"Accounts that may own the image: ids, self, amazon ..." guest:"yes"`
	MostRecent        bool              `json:"most_recent" doc:"Take the newest of several." guest:"yes"`
	IncludeDeprecated bool              `json:"include_deprecated" doc:"Look at deprecated images too." guest:"yes"`
}

// KeyValue is a tag.
type KeyValue struct {
	Key   string `json:"key" doc:"Key of the tag." guest:"no"`
	Value string `json:"value" doc:"Value of the tag." arg:"late" guest:"no"`
}

// NameValue is a filter, or a tag of old templates.
type NameValue struct {
	Name  string `json:"name" doc:"Name." guest:"no"`
	Value string `json:"value" doc:"Value." guest:"no"`
}

// InstanceArgs are about the instance that is started.
type InstanceArgs struct {
	Type              string          `json:"instance_type" doc:"Type of the instance, such as t3.small." guest:"yes"`
	AvailabilityZone  string          `json:"availability_zone" doc:"Zone to start it in." guest:"no"`
	UserData          string          `json:"user_data" doc:"User data for cloud-init. Not together with user_data_file." guest:"yes"`
	UserDataFile      string          `json:"user_data_file" doc:"File with user data." guest:"yes"`
	Profile           string          `json:"iam_instance_profile" doc:"Instance profile." guest:"yes"`
	ProfilePolicy     *PolicyDocument `json:"temporary_iam_instance_profile_policy_document" doc:"Policy of a temporary instance profile." arg:"block" guest:"yes"`
	SkipProfileCheck  bool            `json:"skip_profile_validation" doc:"Do not check that the instance profile exists." guest:"no"`
	ShutdownBehavior  string          `json:"shutdown_behavior" doc:"What a shutdown in the guest does: stop (default) or terminate." guest:"no"`
	DisableStop       bool            `json:"disable_stop_instance" doc:"The guest stops itself." guest:"no"`
	Metadata          *Metadata       `json:"metadata_options" doc:"The metadata service." arg:"block" guest:"yes"`
	PasswordTimeout   schema.Duration `json:"windows_password_timeout" doc:"How long Windows may take to make its password. Default 20m." guest:"no"`
	AssociatePublicIP bool            `json:"associate_public_ip_address" doc:"Give it a public address." guest:"no"`
}

// PolicyDocument is an IAM policy, with IAM's own names.
type PolicyDocument struct {
	Version   string      `json:"Version" doc:"Version of the language. Default 2012-10-17." guest:"no"`
	Statement []Statement `json:"Statement" doc:"A statement." arg:"block" guest:"no"`
}

// Statement is one statement of a policy.
type Statement struct {
	Effect   string   `json:"Effect" doc:"Allow or Deny." guest:"no"`
	Action   []string `json:"Action" doc:"Actions." guest:"no"`
	Resource []string `json:"Resource" doc:"Resources." guest:"no"`
}

// Metadata is about the metadata service of an instance.
type Metadata struct {
	Endpoint     string `json:"http_endpoint" doc:"enabled (default) or disabled." guest:"yes"`
	Tokens       string `json:"http_tokens" doc:"optional (default) or required, which is IMDSv2." guest:"yes"`
	HopLimit     int32  `json:"http_put_response_hop_limit" doc:"How many hops an answer may take." guest:"yes"`
	InstanceTags string `json:"instance_metadata_tags" doc:"enabled or disabled (default)." guest:"yes"`
}

// PerformanceArgs are about how and where the instance runs.
type PerformanceArgs struct {
	EBSOptimized         bool             `json:"ebs_optimized" doc:"Have bandwidth for volumes of its own." guest:"no"`
	NitroEnclave         bool             `json:"enable_nitro_enclave" doc:"Allow enclaves." guest:"no"`
	T2Unlimited          bool             `json:"enable_t2_unlimited" doc:"Old name of enable_unlimited_credits." guest:"no"`
	UnlimitedCredits     bool             `json:"enable_unlimited_credits" doc:"Let a burstable instance run above its credits." guest:"no"`
	ReservationPref      string           `json:"capacity_reservation_preference" doc:"open or none." guest:"no"`
	ReservationID        string           `json:"capacity_reservation_id" doc:"Capacity reservation to use." guest:"no"`
	ReservationGroupARN  string           `json:"capacity_reservation_group_arn" doc:"Group of capacity reservations to use." guest:"no"`
	LicenseSpecification []LicenseRequest `json:"license_specifications" doc:"Licences to use." arg:"block" guest:"no"`
	Placement            *Placement       `json:"placement" doc:"Where the instance is placed." arg:"block" guest:"no"`
	Tenancy              string           `json:"tenancy" doc:"default, dedicated or host." guest:"no"`
}

// LicenseRequest is a licence to use.
type LicenseRequest struct {
	Configuration *LicenseConfiguration `json:"license_configuration_request" doc:"The licence." arg:"block" guest:"no"`
}

// LicenseConfiguration names a licence.
type LicenseConfiguration struct {
	ARN string `json:"license_configuration_arn" doc:"ARN of the licence configuration." guest:"no"`
}

// Placement is where an instance is placed.
type Placement struct {
	HostResourceGroupARN string `json:"host_resource_group_arn" doc:"Group of dedicated hosts." guest:"no"`
	HostID               string `json:"host_id" doc:"Dedicated host." guest:"no"`
	Tenancy              string `json:"tenancy" doc:"default, dedicated or host." guest:"no"`
}

// NetworkArgs are about the network of the instance.
type NetworkArgs struct {
	VPCID        string        `json:"vpc_id" doc:"VPC to start it in." guest:"no"`
	VPCFilter    *Filter       `json:"vpc_filter" doc:"What to look for instead of an id." arg:"block" guest:"no"`
	SubnetID     string        `json:"subnet_id" doc:"Subnet to start it in." guest:"no"`
	SubnetFilter *SubnetFilter `json:"subnet_filter" doc:"What to look for instead of an id." arg:"block" guest:"no"`
	ElasticIP    string        `json:"elastic_ip_allocation_id" doc:"Elastic address to use." guest:"no"`
}

// Filter describes a VPC or a security group.
type Filter struct {
	Filters map[string]string `json:"filters" doc:"Filters of the Describe call." guest:"no"`
	Filter  []NameValue       `json:"filter" doc:"A filter of the Describe call." arg:"block" guest:"no"`
}

// SubnetFilter describes a subnet.
type SubnetFilter struct {
	Filter
	MostFree bool `json:"most_free" doc:"Of several take the one with most free addresses." guest:"no"`
	Random   bool `json:"random" doc:"Of several take any." guest:"no"`
}

// SecurityGroupArgs are about who may reach the instance.
type SecurityGroupArgs struct {
	ID             string   `json:"security_group_id" doc:"Security group to use instead of a temporary one." guest:"no"`
	IDs            []string `json:"security_group_ids" doc:"Security groups to use instead of a temporary one." guest:"no"`
	Filter         *Filter  `json:"security_group_filter" doc:"What to look for instead of an id." arg:"block" guest:"no"`
	SourceCIDRs    []string `json:"temporary_security_group_source_cidrs" doc:"Who may reach the instance through the temporary group. Default: this host's public address." guest:"no"`
	SourcePublicIP bool     `json:"temporary_security_group_source_public_ip" doc:"Let only this host's public address in." guest:"no"`
}

// SpotArgs are about spot instances.
type SpotArgs struct {
	Price              string            `json:"spot_price" doc:"Highest price for an hour, or auto." guest:"no"`
	PriceAutoProduct   string            `json:"spot_price_auto_product" doc:"Taken for old templates: product whose price auto looks up." guest:"no"`
	InstanceTypes      []string          `json:"spot_instance_types" doc:"Types to choose from." guest:"yes"`
	AllocationStrategy string            `json:"spot_allocation_strategy" doc:"How one of them is chosen." guest:"no"`
	Tags               map[string]string `json:"spot_tags" doc:"Tags of the request." arg:"late" guest:"no"`
	Tag                []KeyValue        `json:"spot_tag" doc:"A tag of the request." arg:"block" guest:"no"`
	BlockMinutes       int64             `json:"block_duration_minutes" doc:"Minutes for which the instance must not be taken away." guest:"no"`
}

// FleetArgs are about the fleet that a spot instance is requested with.
type FleetArgs struct {
	Tags map[string]string `json:"fleet_tags" doc:"Tags of the fleet." guest:"no"`
	Tag  []KeyValue        `json:"fleet_tag" doc:"A tag of the fleet." arg:"block" guest:"no"`
}

// RunTagArgs are tags of what lives only while the build runs.
type RunTagArgs struct {
	Tags map[string]string `json:"run_tags" doc:"Tags of the instance." arg:"late" guest:"no"`
	Tag  []KeyValue        `json:"run_tag" doc:"A tag of the instance." arg:"block" guest:"no"`
}

// VolumeTagArgs are tags of the volumes of the instance.
type VolumeTagArgs struct {
	Tags map[string]string `json:"run_volume_tags" doc:"Tags of the instance's volumes." arg:"late" guest:"no"`
	Tag  []VolumeTag       `json:"run_volume_tag" doc:"A tag of the instance's volumes." arg:"block" guest:"no"`
}

// VolumeTag is a tag whose key some builders call name.
type VolumeTag struct {
	Key   string `json:"key" doc:"Key of the tag." guest:"no"`
	Name  string `json:"name" doc:"Other name of key." guest:"no"`
	Value string `json:"value" doc:"Value of the tag." arg:"late" guest:"no"`
}

// ConnectArgs are about how the instance is reached, beyond the communicator.
type ConnectArgs struct {
	Interface          string          `json:"ssh_interface" doc:"public_ip, private_ip, public_dns, private_dns or session_manager." guest:"no"`
	PauseBeforeSSM     schema.Duration `json:"pause_before_ssm" doc:"Wait before a session manager tunnel is opened." guest:"no"`
	SessionManagerPort int             `json:"session_manager_port" doc:"Port of this host for that tunnel." guest:"no"`
}
