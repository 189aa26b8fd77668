package aws

// ImageArgs describe the image that is made.
type ImageArgs struct {
	Name               string            `json:"ami_name" doc:"Name of the image, unique in its region." arg:"required" guest:"no"`
	Description        string            `json:"ami_description" doc:"Description of the image." arg:"late" guest:"no"`
	VirtualizationType string            `json:"ami_virtualization_type" doc:"hvm (default) or paravirtual." guest:"yes"`
	Regions            []string          `json:"ami_regions" doc:"Regions to copy the image to." guest:"no"`
	Tags               map[string]string `json:"tags" doc:"Tags of the image and its snapshots." arg:"late" guest:"no"`
	Tag                []KeyValue        `json:"tag" doc:"A tag of the image and its snapshots." arg:"block" guest:"no"`
	SkipBuildRegion    bool              `json:"skip_save_build_region" doc:"Keep no image in the region of the build." guest:"no"`
	IMDSSupport        string            `json:"imds_support" doc:"v2.0: instances of the image use IMDSv2." guest:"no"`
	DeprecateAt        string            `json:"deprecate_at" doc:"When the image is deprecated, in RFC 3339." guest:"no"`
	Protection         *Protection       `json:"deregistration_protection" doc:"Protect the image from being removed." arg:"block" guest:"no"`
}

// Protection keeps an image from being removed.
type Protection struct {
	Enabled      bool `json:"enabled" doc:"Protect the image." guest:"no"`
	WithCooldown bool `json:"with_cooldown" doc:"Protect it for a day after protection was taken off." guest:"no"`
}

// SharingArgs say who else may use the image.
type SharingArgs struct {
	Users        []string `json:"ami_users" doc:"Accounts that may use the image." guest:"no"`
	Groups       []string `json:"ami_groups" doc:"Groups that may use the image; all makes it public." guest:"no"`
	OrgARNs      []string `json:"ami_org_arns" doc:"Organizations that may use the image." guest:"no"`
	OUARNs       []string `json:"ami_ou_arns" doc:"Organizational units that may use the image." guest:"no"`
	ProductCodes []string `json:"ami_product_codes" doc:"Product codes of the image." guest:"no"`
}

// ReplaceArgs say what happens to an image of the same name.
type ReplaceArgs struct {
	ForceDeregister     bool `json:"force_deregister" doc:"Deregister an image of the same name first." guest:"no"`
	ForceDeleteSnapshot bool `json:"force_delete_snapshot" doc:"Delete its snapshots too." guest:"no"`
}

// EncryptionArgs are about encrypted volumes. EncryptBoot is unset, true or false: unset keeps what the source has.
type EncryptionArgs struct {
	EncryptBoot     *bool             `json:"encrypt_boot" doc:"Encrypt the boot volume of the image." guest:"no"`
	KMSKeyID        string            `json:"kms_key_id" doc:"Key to encrypt with." guest:"no"`
	RegionKMSKeyIDs map[string]string `json:"region_kms_key_ids" doc:"Keys to encrypt with in other regions." guest:"no"`
}

// SnapshotArgs are about the snapshots behind the image.
type SnapshotArgs struct {
	Tags        map[string]string `json:"snapshot_tags" doc:"Tags of the snapshots." arg:"late" guest:"no"`
	Tag         []KeyValue        `json:"snapshot_tag" doc:"A tag of the snapshots." arg:"block" guest:"no"`
	Users       []string          `json:"snapshot_users" doc:"Accounts that may use the snapshots." guest:"no"`
	Groups      []string          `json:"snapshot_groups" doc:"Groups that may use the snapshots." guest:"no"`
	CopyMinutes int64             `json:"snapshot_copy_duration_minutes" doc:"Minutes in which a copy of a snapshot has to be done." guest:"no"`
}

// BlockDevice is a disk of an instance or an image.
type BlockDevice struct {
	DeviceName          string `json:"device_name" doc:"Name of the device, such as /dev/sda1." guest:"yes"`
	VirtualName         string `json:"virtual_name" doc:"Name of an instance store disk, such as ephemeral0." guest:"yes"`
	VolumeType          string `json:"volume_type" doc:"gp3, gp2, io1, io2, st1, sc1 or standard." guest:"no"`
	VolumeSize          int32  `json:"volume_size" doc:"Size in GiB." guest:"yes"`
	IOPS                int32  `json:"iops" doc:"Operations a second." guest:"no"`
	Throughput          int32  `json:"throughput" doc:"MiB a second of gp3." guest:"no"`
	Encrypted           *bool  `json:"encrypted" doc:"Encrypt the volume." guest:"no"`
	KMSKeyID            string `json:"kms_key_id" doc:"Key to encrypt with." guest:"no"`
	SnapshotID          string `json:"snapshot_id" doc:"Snapshot to start from." guest:"yes"`
	DeleteOnTermination bool   `json:"delete_on_termination" doc:"Delete the volume with its instance." guest:"no"`
	NoDevice            bool   `json:"no_device" doc:"Leave out a device of the source image." guest:"yes"`
}

// MappingArgs are about the disks of the instance and of the image.
type MappingArgs struct {
	Image  []BlockDevice `json:"ami_block_device_mappings" doc:"A disk of the image." arg:"block" guest:"no"`
	Launch []BlockDevice `json:"launch_block_device_mappings" doc:"A disk of the instance." arg:"block" guest:"yes"`
}

// EBSArgs are what amazon-ebs has alone.
type EBSArgs struct {
	SkipCreateAMI bool        `json:"skip_create_ami" doc:"Make no image: a trial run." guest:"no"`
	SkipRunTags   bool        `json:"skip_ami_run_tags" doc:"Do not put run_tags on the image when it has no tags." guest:"no"`
	NoEphemeral   bool        `json:"no_ephemeral" doc:"Take the instance store disks out of the image." guest:"no"`
	FastLaunch    *FastLaunch `json:"fast_launch" doc:"Prepare Windows images for a quick start." arg:"block" guest:"no"`
}

// FastLaunch prepares snapshots of a Windows image that start quickly.
type FastLaunch struct {
	Enable      bool                 `json:"enable_fast_launch" doc:"Prepare such snapshots." guest:"no"`
	MaxParallel int                  `json:"max_parallel_launches" doc:"Instances used for that at once." guest:"no"`
	TargetCount int                  `json:"target_resource_count" doc:"Snapshots to keep ready." guest:"no"`
	TemplateID  string               `json:"template_id" doc:"Launch template to use." guest:"no"`
	Template    string               `json:"template_name" doc:"Launch template to use, by name." guest:"no"`
	Version     int                  `json:"template_version" doc:"Version of the launch template." guest:"no"`
	Regions     []FastLaunchTemplate `json:"region_launch_templates" doc:"Launch template of another region." arg:"block" guest:"no"`
}

// FastLaunchTemplate is the launch template of a region.
type FastLaunchTemplate struct {
	Region     string `json:"region" doc:"Region." guest:"no"`
	TemplateID string `json:"template_id" doc:"Launch template to use." guest:"no"`
	Template   string `json:"template_name" doc:"Launch template to use, by name." guest:"no"`
	Version    int    `json:"template_version" doc:"Version of the launch template." guest:"no"`
}

// SurrogateArgs are what amazon-ebssurrogate has alone: an image is made of a volume that is not the instance's root.
type SurrogateArgs struct {
	Image          []BlockDevice     `json:"ami_block_device_mappings" doc:"A disk of the image." arg:"block" guest:"no"`
	Launch         []SurrogateDevice `json:"launch_block_device_mappings" doc:"A disk of the instance." arg:"block" guest:"yes"`
	Root           *RootDevice       `json:"ami_root_device" doc:"The volume that becomes the image's root." arg:"block" guest:"yes"`
	Architecture   string            `json:"ami_architecture" doc:"x86_64 (default), arm64, i386 ..." guest:"yes"`
	UseCreateImage bool              `json:"use_create_image" doc:"Make the image from the instance instead of registering a snapshot." guest:"no"`
}

// SurrogateDevice is a disk of a surrogate's instance.
type SurrogateDevice struct {
	BlockDevice
	Omit bool `json:"omit_from_artifact" doc:"Keep the disk out of the image." guest:"no"`
}

// RootDevice is the volume that becomes an image's root.
type RootDevice struct {
	Source              string `json:"source_device_name" doc:"Device of the instance." guest:"yes"`
	DeviceName          string `json:"device_name" doc:"Device of the image." guest:"yes"`
	VolumeType          string `json:"volume_type" doc:"gp3, gp2, io1, io2 or standard." guest:"no"`
	VolumeSize          int64  `json:"volume_size" doc:"Size in GiB." guest:"yes"`
	IOPS                int64  `json:"iops" doc:"Operations a second." guest:"no"`
	DeleteOnTermination bool   `json:"delete_on_termination" doc:"Delete the volume with its instance." guest:"no"`
}

// BootArgs are about how instances of a registered image start.
type BootArgs struct {
	Mode     string `json:"boot_mode" doc:"legacy-bios, uefi or uefi-preferred." guest:"yes"`
	UEFIData string `json:"uefi_data" doc:"UEFI variables of the image, in base64." guest:"yes"`
	TPM      string `json:"tpm_support" doc:"v2.0: give instances a TPM." guest:"yes"`
}

// VolumesArgs are what amazon-ebsvolume has alone.
type VolumesArgs struct {
	Volumes []Volume `json:"ebs_volumes" doc:"A volume to make." arg:"block" guest:"yes"`
}

// Volume is a volume that the build leaves behind.
type Volume struct {
	BlockDevice
	Tags           map[string]string `json:"tags" doc:"Tags of the volume." arg:"late" guest:"no"`
	Tag            []KeyValue        `json:"tag" doc:"A tag of the volume." arg:"block" guest:"no"`
	Snapshot       bool              `json:"snapshot_volume" doc:"Take a snapshot of the volume." guest:"no"`
	SnapshotText   string            `json:"snapshot_description" doc:"Description of the snapshot." guest:"no"`
	SnapshotTags   map[string]string `json:"snapshot_tags" doc:"Tags of the snapshot." arg:"late" guest:"no"`
	SnapshotTag    []KeyValue        `json:"snapshot_tag" doc:"A tag of the snapshot." arg:"block" guest:"no"`
	SnapshotUsers  []string          `json:"snapshot_users" doc:"Accounts that may use the snapshot." guest:"no"`
	SnapshotGroups []string          `json:"snapshot_groups" doc:"Groups that may use the snapshot." guest:"no"`
}

// BundleArgs are what amazon-instance has alone: the image is bundled in the guest and uploaded to S3.
type BundleArgs struct {
	AccountID      string `json:"account_id" doc:"Account that owns the bundle." guest:"no"`
	Destination    string `json:"bundle_destination" doc:"Where in the guest it is made. Default /tmp." guest:"yes"`
	Prefix         string `json:"bundle_prefix" doc:"Prefix of its files." guest:"no"`
	UploadCommand  string `json:"bundle_upload_command" doc:"Command that uploads it." arg:"late" guest:"no"`
	VolumeCommand  string `json:"bundle_vol_command" doc:"Command that makes it." arg:"late" guest:"no"`
	Bucket         string `json:"s3_bucket" doc:"Bucket that it goes to." guest:"no"`
	X509CertPath   string `json:"x509_cert_path" doc:"Certificate to sign it with." guest:"no"`
	X509KeyPath    string `json:"x509_key_path" doc:"Key of that certificate." guest:"no"`
	X509UploadPath string `json:"x509_upload_path" doc:"Where both go in the guest." guest:"no"`
}
