package unbuilt

// SaltFileArgs are the files of salt-masterless. Source: packer provisioner/salt-masterless.
type SaltFileArgs struct {
	LocalStateTree    string   `json:"local_state_tree" doc:"Local state tree." arg:"required" guest:"yes"`
	LocalPillarRoots  string   `json:"local_pillar_roots" doc:"Local pillar." guest:"yes"`
	MinionConfig      string   `json:"minion_config" doc:"Local minion configuration." guest:"yes"`
	GrainsFile        string   `json:"grains_file" doc:"Local grains." guest:"yes"`
	RemoteStateTree   string   `json:"remote_state_tree" doc:"State tree in the guest." guest:"yes"`
	RemotePillarRoots string   `json:"remote_pillar_roots" doc:"Pillar in the guest." guest:"yes"`
	TempConfigDir     string   `json:"temp_config_dir" doc:"Directory in the guest for files." guest:"yes"`
	Formulas          []string `json:"formulas" doc:"Formulas to fetch." guest:"yes"`
}

// SaltRunArgs say how Salt runs.
type SaltRunArgs struct {
	SkipBootstrap   bool   `json:"skip_bootstrap" doc:"Salt is in the guest already." guest:"yes"`
	BootstrapArgs   string `json:"bootstrap_args" doc:"Arguments of the bootstrap script." guest:"yes"`
	DisableSudo     bool   `json:"disable_sudo" doc:"Run without sudo." guest:"yes"`
	CustomState     string `json:"custom_state" doc:"State to apply. Default highstate." guest:"yes"`
	NoExitOnFailure bool   `json:"no_exit_on_failure" doc:"Go on after a failure." guest:"no"`
	LogLevel        string `json:"log_level" doc:"How much Salt tells." guest:"no"`
	SaltCallArgs    string `json:"salt_call_args" doc:"More arguments for salt-call." guest:"yes"`
	SaltBinDir      string `json:"salt_bin_dir" doc:"Where Salt is in the guest." guest:"yes"`
	GuestOSType     string `json:"guest_os_type" doc:"unix (default) or windows." guest:"yes"`
}
