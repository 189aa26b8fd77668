package unbuilt

import "github.com/boxkiln/boxkiln/internal/schema"

// WindowsScriptArgs are what both Windows shells take. Source: packer-plugin-sdk shell.
type WindowsScriptArgs struct {
	Inline            []string          `json:"inline" doc:"Commands of a script." arg:"late" guest:"yes"`
	Script            string            `json:"script" doc:"Local path of a script." guest:"yes"`
	Scripts           []string          `json:"scripts" doc:"Local paths of scripts." guest:"yes"`
	Binary            bool              `json:"binary" doc:"Send scripts as they are." guest:"yes"`
	ExecuteCommand    string            `json:"execute_command" doc:"Command that runs a script." arg:"late" guest:"yes"`
	ValidExitCodes    []int             `json:"valid_exit_codes" doc:"Exit statuses that count as success." guest:"no"`
	Env               map[string]string `json:"env" doc:"Variables." arg:"late" guest:"yes"`
	EnvironmentVars   []string          `json:"environment_vars" doc:"Variables as KEY=value." arg:"late" guest:"yes"`
	EnvVarFormat      string            `json:"env_var_format" doc:"How a variable is written." guest:"yes"`
	RemotePath        string            `json:"remote_path" doc:"Path of the script in the guest." guest:"yes"`
	StartRetryTimeout schema.Duration   `json:"start_retry_timeout" doc:"How long starting is retried. Default 5m." guest:"no"`
}

// PowershellArgs are the rest of powershell. Source: packer provisioner/powershell.
type PowershellArgs struct {
	RemoteEnvVarPath       string          `json:"remote_env_var_path" doc:"Path of the file of variables in the guest." guest:"yes"`
	ElevatedExecuteCommand string          `json:"elevated_execute_command" doc:"Command that runs a script as elevated_user." arg:"late" guest:"yes"`
	ElevatedEnvVarFormat   string          `json:"elevated_env_var_format" doc:"How a variable is written for it." guest:"yes"`
	SkipClean              bool            `json:"skip_clean" doc:"Leave the scripts in the guest." guest:"yes"`
	ExecutionPolicy        string          `json:"execution_policy" doc:"Execution policy. Default bypass." guest:"yes"`
	UsePwsh                bool            `json:"use_pwsh" doc:"Run pwsh instead of powershell." guest:"yes"`
	DebugMode              int             `json:"debug_mode" doc:"Level of Set-PsDebug, 0 to 2." guest:"no"`
	PauseAfter             schema.Duration `json:"pause_after" doc:"Wait after the last script." guest:"no"`
}

// WindowsRestartArgs are the arguments of windows-restart. Source: packer provisioner/windows-restart.
type WindowsRestartArgs struct {
	RestartCommand      string          `json:"restart_command" doc:"Command that restarts the guest." guest:"yes"`
	RestartCheckCommand string          `json:"restart_check_command" doc:"Command that tells whether it is back." guest:"no"`
	RestartTimeout      schema.Duration `json:"restart_timeout" doc:"How long that may take. Default 5m." guest:"no"`
	CheckRegistry       bool            `json:"check_registry" doc:"Wait for pending renames too." guest:"no"`
	RegistryKeys        []string        `json:"registry_keys" doc:"Keys to wait for." guest:"no"`
}
