package unbuilt

import "encoding/json"

// ChefArgs are what both Chef provisioners take.
type ChefArgs struct {
	ChefEnvironment            string          `json:"chef_environment" doc:"Environment of the node." guest:"yes"`
	ChefLicense                string          `json:"chef_license" doc:"Answer to the licence." guest:"yes"`
	ConfigTemplate             string          `json:"config_template" doc:"Local template of the configuration." guest:"yes"`
	EncryptedDataBagSecretPath string          `json:"encrypted_data_bag_secret_path" doc:"Local secret of data bags." guest:"yes"`
	ExecuteCommand             string          `json:"execute_command" doc:"Command that runs Chef." arg:"late" guest:"yes"`
	InstallCommand             string          `json:"install_command" doc:"Command that installs Chef." arg:"late" guest:"yes"`
	GuestOSType                string          `json:"guest_os_type" doc:"unix (default) or windows." guest:"yes"`
	JSON                       json.RawMessage `json:"json" doc:"Attributes of the node." guest:"yes"`
	PreventSudo                bool            `json:"prevent_sudo" doc:"Run without sudo." guest:"yes"`
	RunList                    []string        `json:"run_list" doc:"What to run." guest:"yes"`
	SkipInstall                bool            `json:"skip_install" doc:"Chef is in the guest already." guest:"yes"`
	Version                    string          `json:"version" doc:"Version of Chef to install." guest:"yes"`
}

// ChefSoloArgs are the files of chef-solo. Source: packer provisioner/chef-solo.
type ChefSoloArgs struct {
	CookbookPaths       []string `json:"cookbook_paths" doc:"Local directories of cookbooks." guest:"yes"`
	RolesPath           string   `json:"roles_path" doc:"Local directory of roles." guest:"yes"`
	DataBagsPath        string   `json:"data_bags_path" doc:"Local directory of data bags." guest:"yes"`
	EnvironmentsPath    string   `json:"environments_path" doc:"Local directory of environments." guest:"yes"`
	RemoteCookbookPaths []string `json:"remote_cookbook_paths" doc:"Directories of cookbooks in the guest." guest:"yes"`
}

// ChefClientArgs are about the server of chef-client. Source: packer provisioner/chef-client.
type ChefClientArgs struct {
	ServerURL            string `json:"server_url" doc:"Address of the server." guest:"yes"`
	ClientKey            string `json:"client_key" doc:"Client key in the guest." guest:"yes"`
	NodeName             string `json:"node_name" doc:"Name of the node." guest:"yes"`
	PolicyGroup          string `json:"policy_group" doc:"Policy group." guest:"yes"`
	PolicyName           string `json:"policy_name" doc:"Policy." guest:"yes"`
	SslVerifyMode        string `json:"ssl_verify_mode" doc:"How certificates are checked." guest:"yes"`
	TrustedCertsDir      string `json:"trusted_certs_dir" doc:"Directory of trusted certificates in the guest." guest:"yes"`
	ValidationClientName string `json:"validation_client_name" doc:"Name of the validating client." guest:"yes"`
	ValidationKeyPath    string `json:"validation_key_path" doc:"Local key of it." guest:"yes"`
}

// ChefCleanArgs are about what is left of chef-client.
type ChefCleanArgs struct {
	KnifeCommand              string `json:"knife_command" doc:"Command that removes the node." arg:"late" guest:"yes"`
	SkipCleanClient           bool   `json:"skip_clean_client" doc:"Leave the client at the server." guest:"no"`
	SkipCleanNode             bool   `json:"skip_clean_node" doc:"Leave the node at the server." guest:"no"`
	SkipCleanStagingDirectory bool   `json:"skip_clean_staging_directory" doc:"Leave the staging directory." guest:"yes"`
}
