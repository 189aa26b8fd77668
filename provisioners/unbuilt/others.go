package unbuilt

// ConvergeArgs are the arguments of converge. Source: packer 1.7 provisioner/converge.
type ConvergeArgs struct {
	Bootstrap            bool              `json:"bootstrap" doc:"Install Converge first." guest:"yes"`
	Version              string            `json:"version" doc:"Version to install." guest:"yes"`
	BootstrapCommand     string            `json:"bootstrap_command" doc:"Command that installs it." arg:"late" guest:"yes"`
	PreventBootstrapSudo bool              `json:"prevent_bootstrap_sudo" doc:"Install without sudo." guest:"yes"`
	ModuleDirs           []ConvergeDir     `json:"module_dirs" doc:"Local directories to send." arg:"block" guest:"yes"`
	Module               string            `json:"module" doc:"Module to run." arg:"required" guest:"yes"`
	WorkingDirectory     string            `json:"working_directory" doc:"Where it runs." guest:"yes"`
	Params               map[string]string `json:"params" doc:"Parameters." guest:"yes"`
	ExecuteCommand       string            `json:"execute_command" doc:"Command that runs it." arg:"late" guest:"yes"`
	PreventSudo          bool              `json:"prevent_sudo" doc:"Run without sudo." guest:"yes"`
}

// ConvergeDir is a directory to send.
type ConvergeDir struct {
	Source      string   `json:"source" doc:"Local directory." arg:"required" guest:"yes"`
	Destination string   `json:"destination" doc:"Directory in the guest." arg:"required" guest:"yes"`
	Exclude     []string `json:"exclude" doc:"Names to leave out." guest:"yes"`
}

// InspecArgs are the arguments of inspec. Source: packer provisioner/inspec.
type InspecArgs struct {
	Profile              string   `json:"profile" doc:"Profile to run." arg:"required" guest:"yes"`
	Command              string   `json:"command" doc:"Command. Default inspec." guest:"no"`
	ExtraArguments       []string `json:"extra_arguments" doc:"More arguments for it." guest:"no"`
	InspecEnvVars        []string `json:"inspec_env_vars" doc:"Variables of the command, as KEY=value." guest:"no"`
	AttributesDirectory  string   `json:"attributes_directory" doc:"Local directory of attributes." guest:"no"`
	Attributes           []string `json:"attributes" doc:"Local files of attributes." guest:"no"`
	Backend              string   `json:"backend" doc:"ssh or winrm." guest:"no"`
	User                 string   `json:"user" doc:"User in the guest." guest:"no"`
	Host                 string   `json:"host" doc:"Address of the guest." guest:"no"`
	LocalPort            int      `json:"local_port" doc:"Port of the SSH server between." guest:"no"`
	SSHHostKeyFile       string   `json:"ssh_host_key_file" doc:"Host key of that server." guest:"no"`
	SSHAuthorizedKeyFile string   `json:"ssh_authorized_key_file" doc:"Public key that it lets in." guest:"no"`
}
