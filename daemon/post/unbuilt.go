package post

import "encoding/json"

// Unbuilt returns the groups of arguments of post-processors that are known but cannot be built yet, by name, so that
// templates which use them validate. Sources: the hcl2spec files of Packer and of its plugins.
func Unbuilt() map[string][]any {
	return map[string][]any{
		"vagrant-cloud":        {boxVersionArgs{}, vagrantCloudArgs{}},
		"vagrant-registry":     {boxVersionArgs{}, vagrantRegistryArgs{}},
		"docker-import":        {dockerImportArgs{}},
		"docker-tag":           {dockerTagArgs{}},
		"docker-push":          {dockerPushArgs{}},
		"docker-save":          {dockerSaveArgs{}},
		"googlecompute-export": {googleAccessArgs{}, googleExportArgs{}},
		"googlecompute-import": {googleAccessArgs{}, googleImportArgs{}},
		"vsphere":              {vsphereArgs{}},
		"vsphere-template":     {vsphereTemplateArgs{}},
		"digitalocean-import":  {digitaloceanImportArgs{}},
		"alicloud-import":      {alicloudAccessArgs{}, alicloudImportArgs{}},
		"exoscale-import":      {exoscaleImportArgs{}},
		"yandex-export":        {yandexAccessArgs{}, yandexExportArgs{}},
		"yandex-import":        {yandexAccessArgs{}, yandexImportArgs{}},
	}
}

// boxVersionArgs are those with which both registries name what is uploaded.
type boxVersionArgs struct {
	Tag                 string `json:"box_tag" doc:"The box, as org/name." arg:"required" guest:"no"`
	Version             string `json:"version" doc:"Version of the box." arg:"required" guest:"no"`
	VersionDescription  string `json:"version_description" doc:"Text of the version, in Markdown." guest:"no"`
	NoRelease           bool   `json:"no_release" doc:"Leave the version unreleased." guest:"no"`
	Architecture        string `json:"architecture" doc:"Architecture of the box." guest:"no"`
	DefaultArchitecture string `json:"default_architecture" doc:"Architecture that clients get that do not ask for one." guest:"no"`
	DownloadURL         string `json:"box_download_url" doc:"Where the box lies, instead of an upload." guest:"no"`
	Checksum            string `json:"box_checksum" doc:"Check sum of the box, as type:hex." guest:"no"`
	NoDirectUpload      bool   `json:"no_direct_upload" doc:"Upload through the server instead of to its store." guest:"no"`
	Insecure            bool   `json:"insecure_skip_tls_verify" doc:"Do not check the server's certificate." guest:"no"`
}

type vagrantCloudArgs struct {
	Token string `json:"access_token" doc:"Token for the server." arg:"sensitive" guest:"no"`
	URL   string `json:"vagrant_cloud_url" doc:"The server's API." guest:"no"`
}

type vagrantRegistryArgs struct {
	Description  string `json:"box_description" doc:"Text of the box, in Markdown." guest:"no"`
	Private      bool   `json:"box_private" doc:"Show the box to its organization only." guest:"no"`
	ClientID     string `json:"client_id" doc:"Id of the service principal." guest:"no"`
	ClientSecret string `json:"client_secret" doc:"Its secret." arg:"sensitive" guest:"no"`
	Address      string `json:"hcp_api_address" doc:"Address of the API." guest:"no"`
	AuthURL      string `json:"hcp_auth_url" doc:"Address for logging in." guest:"no"`
}

type dockerImportArgs struct {
	Repository string   `json:"repository" doc:"Repository of the image." arg:"required" guest:"no"`
	Tag        string   `json:"tag" doc:"Tag of the image." guest:"no"`
	Changes    []string `json:"changes" doc:"Dockerfile instructions." guest:"no"`
	Platform   string   `json:"platform" doc:"Platform of the image." guest:"no"`
	DockerPath string   `json:"docker_path" doc:"The docker program." guest:"no"`
}

type dockerTagArgs struct {
	Repository string   `json:"repository" doc:"Repository of the image." arg:"required" guest:"no"`
	Tag        []string `json:"tag" doc:"Old name of tags." guest:"no"`
	Tags       []string `json:"tags" doc:"Tags of the image." guest:"no"`
	Force      bool     `json:"force" doc:"Replace the tag." guest:"no"`
	DockerPath string   `json:"docker_path" doc:"The docker program." guest:"no"`
}

type dockerPushArgs struct {
	Login      bool   `json:"login" doc:"Log in first." guest:"no"`
	Username   string `json:"login_username" doc:"User to log in as." guest:"no"`
	Password   string `json:"login_password" doc:"Password of that user." arg:"sensitive" guest:"no"`
	Server     string `json:"login_server" doc:"Server to log in to." guest:"no"`
	ECRLogin   bool   `json:"ecr_login" doc:"Log in to Amazon's registry." guest:"no"`
	AccessKey  string `json:"aws_access_key" doc:"Access key for that." guest:"no"`
	SecretKey  string `json:"aws_secret_key" doc:"Secret key for that." arg:"sensitive" guest:"no"`
	Token      string `json:"aws_token" doc:"Session token for that." arg:"sensitive" guest:"no"`
	Profile    string `json:"aws_profile" doc:"Profile for that." guest:"no"`
	Public     bool   `json:"aws_force_use_public_ecr" doc:"Use Amazon's public registry." guest:"no"`
	DockerPath string `json:"docker_path" doc:"The docker program." guest:"no"`
}

type dockerSaveArgs struct {
	Path       string `json:"path" doc:"The file." arg:"required" guest:"no"`
	DockerPath string `json:"docker_path" doc:"The docker program." guest:"no"`
}

// googleAccessArgs are how Google's API is reached. Source: packer-plugin-googlecompute lib/common/auth.go.
type googleAccessArgs struct {
	AccountFile     string   `json:"account_file" doc:"Key of the service account." guest:"no"`
	AccessToken     string   `json:"access_token" doc:"OAuth token." arg:"sensitive" guest:"no"`
	CredentialsFile string   `json:"credentials_file" doc:"Credentials file." guest:"no"`
	CredentialsJSON string   `json:"credentials_json" doc:"Credentials." arg:"sensitive" guest:"no"`
	Impersonate     string   `json:"impersonate_service_account" doc:"Service account to act as." guest:"no"`
	VaultEngine     string   `json:"vault_gcp_oauth_engine" doc:"Path of Vault's engine." guest:"no"`
	Scopes          []string `json:"scopes" doc:"OAuth scopes." guest:"no"`
	ProjectID       string   `json:"project_id" doc:"The project." guest:"no"`
}

type googleExportArgs struct {
	DiskSize       int64    `json:"disk_size" doc:"Gigabytes of the exporter's disk." guest:"no"`
	DiskType       string   `json:"disk_type" doc:"Its type." guest:"no"`
	MachineType    string   `json:"machine_type" doc:"Type of the exporter." guest:"no"`
	Network        string   `json:"network" doc:"Its network." guest:"no"`
	Subnetwork     string   `json:"subnetwork" doc:"Its subnetwork." guest:"no"`
	Zone           string   `json:"zone" doc:"Its zone." guest:"no"`
	ServiceAccount string   `json:"service_account_email" doc:"Its service account." guest:"no"`
	Paths          []string `json:"paths" doc:"Where the image goes." arg:"required" guest:"no"`
}

type googleImportArgs struct {
	Bucket         string            `json:"bucket" doc:"Bucket for the upload." arg:"required" guest:"no"`
	Object         string            `json:"gcs_object_name" doc:"Name in the bucket." arg:"late" guest:"no"`
	Name           string            `json:"image_name" doc:"Name of the image." arg:"required" guest:"no"`
	Description    string            `json:"image_description" doc:"Description of the image." guest:"no"`
	Family         string            `json:"image_family" doc:"Family of the image." guest:"no"`
	Labels         map[string]string `json:"image_labels" doc:"Labels of the image." guest:"no"`
	Features       []string          `json:"image_guest_os_features" doc:"Features of the guest." guest:"no"`
	Architecture   string            `json:"image_architecture" doc:"Architecture of the image." guest:"no"`
	Locations      []string          `json:"image_storage_locations" doc:"Where the image is kept." guest:"no"`
	PlatformKey    string            `json:"image_platform_key" doc:"Secure boot: platform key." guest:"no"`
	KeyExchangeKey []string          `json:"image_key_exchange_key" doc:"Secure boot: key exchange keys." guest:"no"`
	SignaturesDB   []string          `json:"image_signatures_db" doc:"Secure boot: allowed signatures." guest:"no"`
	ForbiddenDB    []string          `json:"image_forbidden_signatures_db" doc:"Secure boot: forbidden signatures." guest:"no"`
	SkipClean      bool              `json:"skip_clean" doc:"Leave the upload in the bucket." guest:"no"`
}

type vsphereArgs struct {
	Cluster      string   `json:"cluster" doc:"Cluster of the machine." guest:"no"`
	Datacenter   string   `json:"datacenter" doc:"Datacenter of the machine." guest:"no"`
	Datastore    string   `json:"datastore" doc:"Datastore of the machine." guest:"no"`
	DiskMode     string   `json:"disk_mode" doc:"thin, thick ..." guest:"no"`
	Host         string   `json:"host" doc:"vCenter." arg:"required" guest:"no"`
	ESXiHost     string   `json:"esxi_host" doc:"Host of the machine." guest:"no"`
	Insecure     bool     `json:"insecure" doc:"Do not check certificates." guest:"no"`
	Options      []string `json:"options" doc:"Switches for ovftool." guest:"no"`
	Overwrite    bool     `json:"overwrite" doc:"Replace an existing machine." guest:"no"`
	Username     string   `json:"username" doc:"User of vCenter." arg:"required" guest:"no"`
	Password     string   `json:"password" doc:"Password of that user." arg:"required,sensitive" guest:"no"`
	ResourcePool string   `json:"resource_pool" doc:"Resource pool of the machine." guest:"no"`
	Folder       string   `json:"vm_folder" doc:"Folder of the machine." guest:"no"`
	Name         string   `json:"vm_name" doc:"Name of the machine." guest:"no"`
	Network      string   `json:"vm_network" doc:"Network of the machine." guest:"no"`
	Hardware     string   `json:"hardware_version" doc:"Hardware version of the machine." guest:"no"`
	MaxRetries   int      `json:"max_retries" doc:"How often the upload is tried again." guest:"no"`
}

type vsphereTemplateArgs struct {
	Host        string `json:"host" doc:"vCenter." arg:"required" guest:"no"`
	Insecure    bool   `json:"insecure" doc:"Do not check certificates." guest:"no"`
	Username    string `json:"username" doc:"User of vCenter." arg:"required" guest:"no"`
	Password    string `json:"password" doc:"Password of that user." arg:"required,sensitive" guest:"no"`
	Datacenter  string `json:"datacenter" doc:"Datacenter of the template." guest:"no"`
	Folder      string `json:"folder" doc:"Folder of the template." guest:"no"`
	Snapshot    bool   `json:"snapshot_enable" doc:"Take a snapshot first." guest:"no"`
	SnapName    string `json:"snapshot_name" doc:"Its name." guest:"no"`
	SnapText    string `json:"snapshot_description" doc:"Its description." guest:"no"`
	Reregister  *bool  `json:"reregister_vm" doc:"Register the machine anew first." guest:"no"`
	Template    string `json:"template_name" doc:"Name of the template." guest:"no"`
	ClusterName string `json:"cluster" doc:"Cluster of the template." guest:"no"`
}

type digitaloceanImportArgs struct {
	Token        string   `json:"api_token" doc:"Token for the API." arg:"sensitive" guest:"no"`
	SpacesKey    string   `json:"spaces_key" doc:"Access key of Spaces." guest:"no"`
	SpacesSecret string   `json:"spaces_secret" doc:"Secret key of Spaces." arg:"sensitive" guest:"no"`
	SpacesRegion string   `json:"spaces_region" doc:"Region of the space." guest:"no"`
	Space        string   `json:"space_name" doc:"Space for the upload." guest:"no"`
	Object       string   `json:"space_object_name" doc:"Name in the space." arg:"late" guest:"no"`
	SkipClean    bool     `json:"skip_clean" doc:"Leave the upload in the space." guest:"no"`
	Tags         []string `json:"image_tags" doc:"Tags of the image." guest:"no"`
	Name         string   `json:"image_name" doc:"Name of the image." guest:"no"`
	Description  string   `json:"image_description" doc:"Description of the image." guest:"no"`
	Distribution string   `json:"image_distribution" doc:"Distribution of the image." guest:"no"`
	Regions      []string `json:"image_regions" doc:"Regions of the image." guest:"no"`
	Timeout      string   `json:"timeout" doc:"How long an import may take." guest:"no"`
}

type alicloudAccessArgs struct {
	AccessKey       string `json:"access_key" doc:"Access key." guest:"no"`
	SecretKey       string `json:"secret_key" doc:"Secret key." arg:"sensitive" guest:"no"`
	SecurityToken   string `json:"security_token" doc:"Session token." arg:"sensitive" guest:"no"`
	Region          string `json:"region" doc:"Region of the API." guest:"no"`
	Profile         string `json:"profile" doc:"Profile of the credentials file." guest:"no"`
	CredentialsFile string `json:"shared_credentials_file" doc:"The credentials file." guest:"no"`
	SkipRegion      bool   `json:"skip_region_validation" doc:"Do not check the region's name." guest:"no"`
	SkipImage       bool   `json:"skip_image_validation" doc:"Do not check the image's name." guest:"no"`
}

type alicloudImportArgs struct {
	Bucket          string            `json:"oss_bucket_name" doc:"Bucket for the upload." arg:"required" guest:"no"`
	Key             string            `json:"oss_key_name" doc:"Name in the bucket." arg:"late" guest:"no"`
	SkipClean       bool              `json:"skip_clean" doc:"Leave the upload in the bucket." guest:"no"`
	OSType          string            `json:"image_os_type" doc:"linux or windows." arg:"required" guest:"no"`
	Platform        string            `json:"image_platform" doc:"Distribution of the image." arg:"required" guest:"no"`
	Architecture    string            `json:"image_architecture" doc:"i386 or x86_64." arg:"required" guest:"no"`
	Size            string            `json:"image_system_size" doc:"Gigabytes of the system disk." guest:"no"`
	Format          string            `json:"format" doc:"RAW or VHD." arg:"required" guest:"no"`
	Name            string            `json:"image_name" doc:"Name of the image." arg:"required" guest:"no"`
	Version         string            `json:"image_version" doc:"Version of the image." guest:"no"`
	Description     string            `json:"image_description" doc:"Description of the image." guest:"no"`
	Share           []string          `json:"image_share_account" doc:"Accounts that may use it." guest:"no"`
	Unshare         []string          `json:"image_unshare_account" doc:"Accounts that may use it no longer." guest:"no"`
	CopyRegions     []string          `json:"image_copy_regions" doc:"Regions for copies." guest:"no"`
	CopyNames       []string          `json:"image_copy_names" doc:"Names of the copies." guest:"no"`
	Encrypted       *bool             `json:"image_encrypted" doc:"Encrypt the image." guest:"no"`
	ForceDelete     bool              `json:"image_force_delete" doc:"Replace an image of that name." guest:"no"`
	DeleteSnapshots bool              `json:"image_force_delete_snapshots" doc:"And its snapshots." guest:"no"`
	DeleteInstances bool              `json:"image_force_delete_instances" doc:"And its instances." guest:"no"`
	IgnoreDataDisks bool              `json:"image_ignore_data_disks" doc:"Leave data disks out." guest:"no"`
	Tags            map[string]string `json:"tags" doc:"Tags of the image." guest:"no"`
	SystemDisk      json.RawMessage   `json:"system_disk_mapping" doc:"System disk of the image." guest:"no"`
	Disks           json.RawMessage   `json:"image_disk_mappings" doc:"Data disks of the image." guest:"no"`
}

type exoscaleImportArgs struct {
	Key             string   `json:"api_key" doc:"Key for the API." guest:"no"`
	Secret          string   `json:"api_secret" doc:"Secret for the API." arg:"sensitive" guest:"no"`
	Endpoint        string   `json:"api_endpoint" doc:"Address of the API." guest:"no"`
	SOSEndpoint     string   `json:"sos_endpoint" doc:"Address of the object store." guest:"no"`
	Bucket          string   `json:"image_bucket" doc:"Bucket for the upload." arg:"required" guest:"no"`
	SkipClean       bool     `json:"skip_clean" doc:"Leave the upload in the bucket." guest:"no"`
	Zone            string   `json:"template_zone" doc:"Zone of the template." guest:"no"`
	Zones           []string `json:"template_zones" doc:"Zones of the template." guest:"no"`
	Name            string   `json:"template_name" doc:"Name of the template." arg:"required" guest:"no"`
	Description     string   `json:"template_description" doc:"Description of the template." guest:"no"`
	Username        string   `json:"template_username" doc:"User to log in as." guest:"no"`
	BootMode        string   `json:"template_boot_mode" doc:"legacy or uefi." guest:"no"`
	Build           string   `json:"template_build" doc:"Build of the template." guest:"no"`
	Maintainer      string   `json:"template_maintainer" doc:"Maintainer of the template." guest:"no"`
	Version         string   `json:"template_version" doc:"Version of the template." guest:"no"`
	DisablePassword bool     `json:"template_disable_password" doc:"No password reset." guest:"no"`
	DisableSSHKey   bool     `json:"template_disable_sshkey" doc:"No SSH key." guest:"no"`
}

type yandexAccessArgs struct {
	Endpoint   string `json:"endpoint" doc:"Address of the API." guest:"no"`
	KeyFile    string `json:"service_account_key_file" doc:"Key of the service account." guest:"no"`
	Token      string `json:"token" doc:"OAuth token." arg:"sensitive" guest:"no"`
	MaxRetries int    `json:"max_retries" doc:"How often a request is tried again." guest:"no"`
	Folder     string `json:"folder_id" doc:"The folder." guest:"no"`
	Account    string `json:"service_account_id" doc:"Service account for the work." guest:"no"`
}

type yandexExportArgs struct {
	Paths    []string          `json:"paths" doc:"Where the image goes." arg:"required" guest:"no"`
	DiskSize int               `json:"disk_size" doc:"Gigabytes of the exporter's disk." guest:"no"`
	DiskType string            `json:"disk_type" doc:"Its type." guest:"no"`
	Platform string            `json:"platform_id" doc:"Platform of the exporter." guest:"no"`
	Subnet   string            `json:"subnet_id" doc:"Its subnet." guest:"no"`
	Zone     string            `json:"zone" doc:"Its zone." guest:"no"`
	KeyFile  string            `json:"ssh_private_key_file" doc:"Key to log in to it with." guest:"no"`
	Tries    int               `json:"tries" doc:"How often it is tried." guest:"no"`
	Labels   map[string]string `json:"labels" doc:"Its labels." guest:"no"`
}

type yandexImportArgs struct {
	Bucket      string            `json:"bucket" doc:"Bucket for the upload." guest:"no"`
	Object      string            `json:"object_name" doc:"Name in the bucket." arg:"late" guest:"no"`
	SkipClean   bool              `json:"skip_clean" doc:"Leave the upload in the bucket." guest:"no"`
	Name        string            `json:"image_name" doc:"Name of the image." guest:"no"`
	Description string            `json:"image_description" doc:"Description of the image." guest:"no"`
	Family      string            `json:"image_family" doc:"Family of the image." guest:"no"`
	Labels      map[string]string `json:"image_labels" doc:"Labels of the image." guest:"no"`
}
