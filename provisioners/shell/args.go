package shell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/internal/scriptenv"
)

// Args are the arguments of the shell provisioner. Source: packer provisioner/shell and packer-plugin-sdk shell.
type Args struct {
	ScriptArgs
	EnvironmentArgs
	RemoteArgs
}

// ScriptArgs say what to run.
type ScriptArgs struct {
	Inline         []string `json:"inline" doc:"Commands, one a line of a script." arg:"late" guest:"yes"`
	InlineShebang  string   `json:"inline_shebang" doc:"Interpreter of inline commands. Default /bin/sh -e." guest:"yes"`
	Script         string   `json:"script" doc:"Local path of a script." arg:"local" guest:"yes"`
	Scripts        []string `json:"scripts" doc:"Local paths of scripts, run in this order." arg:"local" guest:"yes"`
	Binary         bool     `json:"binary" doc:"Send scripts as they are; otherwise CRLF becomes LF." guest:"yes"`
	ExecuteCommand string   `json:"execute_command" doc:"Command that runs a script, with {{ .Path }}, {{ .Vars }} and {{ .EnvVarFile }}." arg:"late" guest:"yes"`
	ValidExitCodes []int    `json:"valid_exit_codes" doc:"Exit statuses that count as success. Default 0; 2300218 stands for a lost connection." guest:"no"`
}

// EnvironmentArgs are about the variables that scripts see.
type EnvironmentArgs struct {
	Env             map[string]string `json:"env" doc:"Variables." arg:"late" guest:"yes"`
	EnvironmentVars []string          `json:"environment_vars" doc:"Variables as KEY=value." arg:"late" guest:"yes"`
	EnvVarFormat    string            `json:"env_var_format" doc:"How a variable is written, with two %s." guest:"yes"`
	UseEnvVarFile   bool              `json:"use_env_var_file" doc:"Write the variables to a file that is sourced." guest:"yes"`
}

// RemoteArgs are about the script's stay in the guest.
type RemoteArgs struct {
	RemoteFolder      string          `json:"remote_folder" doc:"Where scripts are put in the guest. Default /tmp." guest:"yes"`
	RemoteFile        string          `json:"remote_file" doc:"Name of the script there. Default script_NNNN.sh." guest:"yes"`
	RemotePath        string          `json:"remote_path" doc:"Whole path there, instead of remote_folder and remote_file." guest:"yes"`
	SkipClean         bool            `json:"skip_clean" doc:"Leave the scripts in the guest." guest:"yes"`
	ExpectDisconnect  bool            `json:"expect_disconnect" doc:"The script may end the connection, as a reboot does." guest:"no"`
	StartRetryTimeout schema.Duration `json:"start_retry_timeout" doc:"How long starting a script is retried, for reboots. Default 5m." guest:"no"`
	PauseAfter        schema.Duration `json:"pause_after" doc:"Wait after the last script." guest:"no"`
}

// statusDisconnected stands for a lost connection in valid_exit_codes; packer-plugin-sdk packer.CmdDisconnect.
const statusDisconnected = 2300218

func decode(raw json.RawMessage) (Args, error) {
	var a Args
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return a, fmt.Errorf("shell: %w", err)
	}
	return a, nil
}

// Check finds all that is wrong with the arguments, without looking at files.
func Check(raw json.RawMessage) error {
	a, err := decode(raw)
	if err != nil {
		return err
	}
	return a.Validate()
}

// Validate is Check for decoded arguments.
func (a Args) Validate() error {
	var errs []error
	switch {
	case a.Script != "" && len(a.Scripts) > 0:
		errs = append(errs, errors.New("script and scripts are both given; use one of them"))
	case len(a.scripts()) == 0 && len(a.Inline) == 0:
		errs = append(errs, errors.New("nothing to run is given; use inline, script or scripts"))
	case len(a.scripts()) > 0 && len(a.Inline) > 0:
		errs = append(errs, errors.New("inline and scripts are both given; use one of them"))
	}
	if a.StartRetryTimeout < 0 {
		errs = append(errs, fmt.Errorf("start_retry_timeout is %v; use a positive duration", time.Duration(a.StartRetryTimeout)))
	}
	errs = append(errs, scriptenv.Check(a.EnvironmentVars, a.EnvVarFormat))
	for name := range a.Env {
		if name == "" || strings.Contains(name, "=") {
			errs = append(errs, fmt.Errorf("env: %q cannot be the name of a variable", name))
		}
	}
	return errors.Join(errs...)
}

// Inputs are the local paths of the scripts.
func Inputs(raw json.RawMessage) ([]string, error) {
	a, err := decode(raw)
	if err != nil {
		return nil, err
	}
	return a.scripts(), nil
}

func (a Args) scripts() []string {
	if a.Script != "" {
		return append([]string{a.Script}, a.Scripts...)
	}
	return a.Scripts
}

// withDefaults fills in Packer's defaults; unique makes the name of the script in the guest.
func (a Args) withDefaults(unique func() int) Args {
	set := func(value *string, fallback string) {
		if *value == "" {
			*value = fallback
		}
	}
	if a.UseEnvVarFile {
		set(&a.EnvVarFormat, scriptenv.Export)
		set(&a.ExecuteCommand, "chmod +x {{.Path}}; . {{.EnvVarFile}} && {{.Path}}")
	}
	set(&a.EnvVarFormat, scriptenv.Prefix)
	set(&a.ExecuteCommand, "chmod +x {{.Path}}; {{.Vars}} {{.Path}}")
	set(&a.InlineShebang, "/bin/sh -e")
	set(&a.RemoteFolder, "/tmp")
	set(&a.RemoteFile, fmt.Sprintf("script_%04d.sh", unique()))
	set(&a.RemotePath, a.RemoteFolder+"/"+a.RemoteFile)
	return a
}
