package aws

// The kinds of builders.
const (
	TypeEBS       = "amazon-ebs"
	TypeSurrogate = "amazon-ebssurrogate"
	TypeVolume    = "amazon-ebsvolume"
	TypeInstance  = "amazon-instance"
)

// Types returns the kinds of builders.
func Types() []string { return []string{TypeEBS, TypeSurrogate, TypeVolume, TypeInstance} }

// Groups returns the groups of arguments of a kind of builder, nil for a kind that is not of EC2.
func Groups(typ string) []any {
	run := []any{
		AccessArgs{}, ClientArgs{}, SourceArgs{}, InstanceArgs{}, PerformanceArgs{}, NetworkArgs{}, SecurityGroupArgs{},
		SpotArgs{}, FleetArgs{}, RunTagArgs{}, ConnectArgs{}, DriverArgs{}, OldArgs{},
	}
	image := []any{ImageArgs{}, SharingArgs{}, ReplaceArgs{}, EncryptionArgs{}, SnapshotArgs{}}
	switch typ {
	case TypeEBS:
		return append(append(run, image...), VolumeTagArgs{}, MappingArgs{}, EBSArgs{})
	case TypeSurrogate:
		return append(append(run, image...), VolumeTagArgs{}, SurrogateArgs{}, BootArgs{})
	case TypeVolume:
		return append(run, VolumeTagArgs{}, VolumesArgs{})
	case TypeInstance:
		return append(append(run, image...), MappingArgs{}, BundleArgs{})
	}
	return nil
}

// AccessArgs say who asks, and where. What is missing comes from the environment and the shared files of the AWS tools.
type AccessArgs struct {
	Region          string       `json:"region" doc:"Region to build in." guest:"no"`
	AccessKey       string       `json:"access_key" doc:"Access key." guest:"no"`
	SecretKey       string       `json:"secret_key" doc:"Secret of the access key." arg:"sensitive" guest:"no"`
	Token           string       `json:"token" doc:"Session token of temporary credentials." arg:"sensitive" guest:"no"`
	Profile         string       `json:"profile" doc:"Profile of the shared credentials file." guest:"no"`
	CredentialsFile string       `json:"shared_credentials_file" doc:"Shared credentials file. Default ~/.aws/credentials." guest:"no"`
	MFACode         string       `json:"mfa_code" doc:"Code of a second factor." arg:"sensitive" guest:"no"`
	AssumeRole      *AssumeRole  `json:"assume_role" doc:"Role to take on." arg:"block" guest:"no"`
	VaultEngine     *VaultEngine `json:"vault_aws_engine" doc:"HashiCorp Vault's AWS engine to get credentials from." arg:"block" guest:"no"`
}

// AssumeRole is a role to take on.
type AssumeRole struct {
	RoleARN           string            `json:"role_arn" doc:"ARN of the role." guest:"no"`
	DurationSeconds   int               `json:"duration_seconds" doc:"How long the session lasts." guest:"no"`
	ExternalID        string            `json:"external_id" doc:"External id to show." guest:"no"`
	Policy            string            `json:"policy" doc:"JSON policy that narrows the role." guest:"no"`
	PolicyARNs        []string          `json:"policy_arns" doc:"Policies that narrow the role." guest:"no"`
	SessionName       string            `json:"session_name" doc:"Name of the session." guest:"no"`
	Tags              map[string]string `json:"tags" doc:"Tags of the session." guest:"no"`
	TransitiveTagKeys []string          `json:"transitive_tag_keys" doc:"Tags to pass on." guest:"no"`
}

// VaultEngine is where HashiCorp Vault hands out credentials.
type VaultEngine struct {
	Name       string `json:"name" doc:"Role of the engine." guest:"no"`
	RoleARN    string `json:"role_arn" doc:"ARN of a role to take on." guest:"no"`
	TTL        string `json:"ttl" doc:"How long the credentials are valid." guest:"no"`
	EngineName string `json:"engine_name" doc:"Where the engine is mounted. Default aws." guest:"no"`
}

// ClientArgs are about how the API is called.
type ClientArgs struct {
	Endpoint            string   `json:"custom_endpoint_ec2" doc:"Address of another EC2 API." guest:"no"`
	InsecureTLS         bool     `json:"insecure_skip_tls_verify" doc:"Do not check its certificate." guest:"no"`
	DecodeAuthorization bool     `json:"decode_authorization_messages" doc:"Decode messages about missing permissions." guest:"no"`
	MaxRetries          int      `json:"max_retries" doc:"How often a call is tried again." guest:"no"`
	SkipMetadataCheck   bool     `json:"skip_metadata_api_check" doc:"Ask no metadata service for credentials." guest:"no"`
	SkipCredentialCheck bool     `json:"skip_credential_validation" doc:"Do not try the credentials first." guest:"no"`
	SkipRegionCheck     bool     `json:"skip_region_validation" doc:"Do not check names of regions." guest:"no"`
	Polling             *Polling `json:"aws_polling" doc:"How states are waited for." arg:"block" guest:"no"`
}

// Polling says how states are waited for.
type Polling struct {
	DelaySeconds int `json:"delay_seconds" doc:"Seconds between two questions." guest:"no"`
	MaxAttempts  int `json:"max_attempts" doc:"How many questions are asked." guest:"no"`
}

// DriverArgs say what the virtual hardware supports.
type DriverArgs struct {
	ENASupport   bool `json:"ena_support" doc:"Mark the image as able to use ENA." guest:"no"`
	SRIOVSupport bool `json:"sriov_support" doc:"Mark the image as able to use SR-IOV." guest:"no"`
}

// OldArgs are arguments that Packer has dropped and old templates still have.
type OldArgs struct {
	SSHPrivateIP bool   `json:"ssh_private_ip" doc:"Taken for old templates: ssh_interface = \"private_ip\"." guest:"no"`
	SSHKeyPath   string `json:"ssh_key_path" doc:"Old name of ssh_private_key_file." guest:"no"`
	SourceCIDR   string `json:"temporary_security_group_source_cidr" doc:"Old form of temporary_security_group_source_cidrs." guest:"no"`
}
