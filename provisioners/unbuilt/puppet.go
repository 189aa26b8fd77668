package unbuilt

// PuppetMasterlessArgs are the files of puppet-masterless. Source: packer provisioner/puppet-masterless.
type PuppetMasterlessArgs struct {
	ManifestFile    string   `json:"manifest_file" doc:"Local manifest, or a directory of them." arg:"required" guest:"yes"`
	ManifestDir     string   `json:"manifest_dir" doc:"Local directory of manifests to send." guest:"yes"`
	ModulePaths     []string `json:"module_paths" doc:"Local directories of modules." guest:"yes"`
	HieraConfigPath string   `json:"hiera_config_path" doc:"Local Hiera configuration." guest:"yes"`
}

// PuppetServerArgs are about the server of puppet-server. Source: packer provisioner/puppet-server.
type PuppetServerArgs struct {
	ClientCertPath       string `json:"client_cert_path" doc:"Local client certificate." guest:"yes"`
	ClientPrivateKeyPath string `json:"client_private_key_path" doc:"Local key of the certificate." guest:"yes"`
	PuppetNode           string `json:"puppet_node" doc:"Name of the node." guest:"yes"`
	PuppetServer         string `json:"puppet_server" doc:"Host of the server." guest:"yes"`
	StagingDir           string `json:"staging_dir" doc:"Directory in the guest for files." guest:"yes"`
}

// PuppetArgs are what both Puppet provisioners take.
type PuppetArgs struct {
	CleanStagingDirectory bool              `json:"clean_staging_directory" doc:"Remove the staging directory at the end." guest:"yes"`
	ExecuteCommand        string            `json:"execute_command" doc:"Command that runs Puppet." arg:"late" guest:"yes"`
	ExtraArguments        []string          `json:"extra_arguments" doc:"More arguments for Puppet." guest:"yes"`
	Facter                map[string]string `json:"facter" doc:"Facts." guest:"yes"`
	GuestOSType           string            `json:"guest_os_type" doc:"unix (default) or windows." guest:"yes"`
	IgnoreExitCodes       bool              `json:"ignore_exit_codes" doc:"Take every exit status for success." guest:"no"`
	PreventSudo           bool              `json:"prevent_sudo" doc:"Run without sudo." guest:"yes"`
	PuppetBinDir          string            `json:"puppet_bin_dir" doc:"Where Puppet is in the guest." guest:"yes"`
	WorkingDirectory      string            `json:"working_directory" doc:"Where Puppet runs." guest:"yes"`
}

// StagingArgs say where files are put in the guest.
type StagingArgs struct {
	StagingDirectory string `json:"staging_directory" doc:"Directory in the guest for files." guest:"yes"`
}

// ElevatedArgs are about another Windows user.
type ElevatedArgs struct {
	ElevatedUser     string `json:"elevated_user" doc:"Windows user to run as." guest:"yes"`
	ElevatedPassword string `json:"elevated_password" doc:"Password of that user." arg:"sensitive" guest:"yes"`
}
