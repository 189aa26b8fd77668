package localshell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/internal/scriptenv"
)

// Args are the arguments of shell-local, as provisioner and as post-processor. Source: packer-plugin-sdk shell-local.
type Args struct {
	ScriptArgs
	EnvironmentArgs
}

// ScriptArgs say what to run.
type ScriptArgs struct {
	Command           string   `json:"command" doc:"One command; the old form of inline." arg:"late" guest:"no"`
	Inline            []string `json:"inline" doc:"Commands, one a line of a script." arg:"late" guest:"no"`
	InlineShebang     string   `json:"inline_shebang" doc:"Interpreter of inline commands. Default /bin/sh -e." guest:"no"`
	Script            string   `json:"script" doc:"Local path of a script." guest:"no"`
	Scripts           []string `json:"scripts" doc:"Local paths of scripts, run in this order." guest:"no"`
	ExecuteCommand    []string `json:"execute_command" doc:"Program and arguments that run a script, with {{ .Script }} and {{ .Vars }}." arg:"late" guest:"no"`
	ValidExitCodes    []int    `json:"valid_exit_codes" doc:"Exit statuses that count as success. Default 0." guest:"no"`
	OnlyOn            []string `json:"only_on" doc:"Operating systems to run on, such as linux." guest:"no"`
	TempfileExtension string   `json:"tempfile_extension" doc:"Extension of the file for inline commands." guest:"no"`
	UseLinuxPathing   bool     `json:"use_linux_pathing" doc:"Taken for Packer templates; only matters on Windows." guest:"no"`
	Binary            bool     `json:"binary" doc:"Taken for Packer templates; scripts run as they are." guest:"no"`
}

// EnvironmentArgs are about the variables that scripts see.
type EnvironmentArgs struct {
	Env             map[string]string `json:"env" doc:"Variables." arg:"late" guest:"no"`
	EnvironmentVars []string          `json:"environment_vars" doc:"Variables as KEY=value." arg:"late" guest:"no"`
	EnvVarFormat    string            `json:"env_var_format" doc:"How a variable is written, with two %s." guest:"no"`
}

// Decode reads canonical JSON and refuses arguments that are not known.
func Decode(raw json.RawMessage) (Args, error) {
	var a Args
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return a, fmt.Errorf("shell-local: %w", err)
	}
	return a, nil
}

// Check finds all that is wrong with the arguments, without looking at files.
func Check(raw json.RawMessage) error {
	a, err := Decode(raw)
	if err != nil {
		return err
	}
	return a.Validate()
}

// Validate is Check for decoded arguments.
func (a Args) Validate() error {
	var errs []error
	given := 0
	for _, is := range []bool{a.Command != "", len(a.Inline) > 0, a.Script != "", len(a.Scripts) > 0} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		errs = append(errs, errors.New("nothing to run is given; use inline, script or scripts"))
	case given > 1:
		errs = append(errs, errors.New("command, inline, script and scripts exclude each other; use one of them"))
	}
	systems := []string{"darwin", "freebsd", "linux", "openbsd", "solaris", "windows"}
	for _, system := range a.OnlyOn {
		if !slices.Contains(systems, system) {
			errs = append(errs, fmt.Errorf("only_on: %q is not known; use one of %s", system, strings.Join(systems, ", ")))
		}
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
	a, err := Decode(raw)
	if err != nil {
		return nil, err
	}
	return a.scripts(), nil
}

func (a Args) scripts() []string {
	if a.Script != "" {
		return []string{a.Script}
	}
	return a.Scripts
}

func (a Args) inline() []string {
	if a.Command != "" {
		return []string{a.Command}
	}
	return a.Inline
}
