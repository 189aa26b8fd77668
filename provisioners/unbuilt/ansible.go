package unbuilt

// AnsibleArgs are the arguments of ansible about what to run. Source: packer-plugin-ansible provisioner/ansible.
type AnsibleArgs struct {
	PlaybookFile     string   `json:"playbook_file" doc:"Local playbook." arg:"required" guest:"yes"`
	Command          string   `json:"command" doc:"Command that runs it. Default ansible-playbook." guest:"yes"`
	ExtraArguments   []string `json:"extra_arguments" doc:"More arguments for the command." arg:"late" guest:"yes"`
	AnsibleEnvVars   []string `json:"ansible_env_vars" doc:"Variables of the command, as KEY=value." arg:"late" guest:"yes"`
	SkipVersionCheck bool     `json:"skip_version_check" doc:"Do not ask for the version first." guest:"no"`
}

// AnsibleConnectionArgs say how Ansible reaches the guest.
type AnsibleConnectionArgs struct {
	AnsibleSSHExtraArgs     []string `json:"ansible_ssh_extra_args" doc:"More arguments for ssh." guest:"no"`
	User                    string   `json:"user" doc:"User in the guest." guest:"yes"`
	UseProxy                bool     `json:"use_proxy" doc:"Go through an SSH server of our own." guest:"no"`
	LocalPort               int      `json:"local_port" doc:"Port of that server." guest:"no"`
	SSHHostKeyFile          string   `json:"ssh_host_key_file" doc:"Host key of that server." guest:"no"`
	SSHAuthorizedKeyFile    string   `json:"ssh_authorized_key_file" doc:"Public key that it lets in." guest:"no"`
	AnsibleProxyKeyType     string   `json:"ansible_proxy_key_type" doc:"ECDSA (default) or RSA." guest:"no"`
	AnsibleProxyHost        string   `json:"ansible_proxy_host" doc:"Address by which Ansible reaches that server." guest:"no"`
	AnsibleProxyBindAddress string   `json:"ansible_proxy_bind_address" doc:"Address that it listens on." guest:"no"`
	SFTPCommand             string   `json:"sftp_command" doc:"SFTP server in the guest." guest:"no"`
	UseSFTP                 bool     `json:"use_sftp" doc:"Copy files by SFTP." guest:"no"`
	AnsibleWinRMUseHTTP     bool     `json:"ansible_winrm_use_http" doc:"Use WinRM without TLS." guest:"no"`
}

// AnsibleInventoryArgs are about the inventory.
type AnsibleInventoryArgs struct {
	Groups                []string `json:"groups" doc:"Groups that the guest is in." guest:"yes"`
	EmptyGroups           []string `json:"empty_groups" doc:"Groups that have no member." guest:"yes"`
	HostAlias             string   `json:"host_alias" doc:"Name of the guest. Default default." guest:"yes"`
	InventoryDirectory    string   `json:"inventory_directory" doc:"Local directory for the inventory." guest:"yes"`
	InventoryFileTemplate string   `json:"inventory_file_template" doc:"Form of a line of the inventory." arg:"late" guest:"yes"`
	InventoryFile         string   `json:"inventory_file" doc:"Local inventory to use instead." guest:"yes"`
	KeepInventoryFile     bool     `json:"keep_inventory_file" doc:"Do not remove the inventory." guest:"no"`
}

// AnsibleGalaxyArgs are about roles and collections to install first.
type AnsibleGalaxyArgs struct {
	GalaxyFile          string `json:"galaxy_file" doc:"Local requirements file." guest:"yes"`
	GalaxyCommand       string `json:"galaxy_command" doc:"Command. Default ansible-galaxy." guest:"yes"`
	GalaxyForceInstall  bool   `json:"galaxy_force_install" doc:"Install what is there again." guest:"yes"`
	GalaxyForceWithDeps bool   `json:"galaxy_force_with_deps" doc:"Install its dependencies again too." guest:"yes"`
	RolesPath           string `json:"roles_path" doc:"Local directory for roles." guest:"yes"`
	CollectionsPath     string `json:"collections_path" doc:"Local directory for collections." guest:"yes"`
}

// AnsibleLocalArgs are the files of ansible-local. Source: packer-plugin-ansible provisioner/ansible-local.
type AnsibleLocalArgs struct {
	PlaybookFile    string   `json:"playbook_file" doc:"Local playbook." guest:"yes"`
	PlaybookFiles   []string `json:"playbook_files" doc:"Local playbooks." guest:"yes"`
	PlaybookDir     string   `json:"playbook_dir" doc:"Local directory of playbooks to send." guest:"yes"`
	PlaybookPaths   []string `json:"playbook_paths" doc:"Local directories of playbooks to send." guest:"yes"`
	RolePaths       []string `json:"role_paths" doc:"Local directories of roles." guest:"yes"`
	CollectionPaths []string `json:"collection_paths" doc:"Local directories of collections." guest:"yes"`
	GroupVars       string   `json:"group_vars" doc:"Local directory of group variables." guest:"yes"`
	HostVars        string   `json:"host_vars" doc:"Local directory of host variables." guest:"yes"`
	InventoryFile   string   `json:"inventory_file" doc:"Local inventory." guest:"yes"`
	InventoryGroups []string `json:"inventory_groups" doc:"Groups that the guest is in." guest:"yes"`
}

// AnsibleLocalRunArgs are about running Ansible in the guest.
type AnsibleLocalRunArgs struct {
	Command               string   `json:"command" doc:"Command that runs a playbook." guest:"yes"`
	ExtraArguments        []string `json:"extra_arguments" doc:"More arguments for it." arg:"late" guest:"yes"`
	StagingDirectory      string   `json:"staging_directory" doc:"Directory in the guest for files." guest:"yes"`
	CleanStagingDirectory bool     `json:"clean_staging_directory" doc:"Remove it at the end." guest:"yes"`
	GalaxyFile            string   `json:"galaxy_file" doc:"Local requirements file." guest:"yes"`
	GalaxyCommand         string   `json:"galaxy_command" doc:"Command. Default ansible-galaxy." guest:"yes"`
	GalaxyForceInstall    bool     `json:"galaxy_force_install" doc:"Install what is there again." guest:"yes"`
	GalaxyRolesPath       string   `json:"galaxy_roles_path" doc:"Directory in the guest for roles." guest:"yes"`
	GalaxyCollectionsPath string   `json:"galaxy_collections_path" doc:"Directory in the guest for collections." guest:"yes"`
}
