// Package provisioners is the port to what changes a guest: a [Guest] is an operating system reached by SSH or WinRM,
// a [Provisioner] is one change to it, such as running a script or copying a file.
//
// A guest is made by a communicator (package sshguest) and lives as long as a build; provisioners never open
// connections of their own. What a provisioner needs besides the guest it gets in an [Env]: the files that the template
// named, the build's values for {{ build `Host` }} and the like, and a place for files that come out of the guest.
package provisioners

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// ErrUnsupported is returned for what a guest cannot do, such as SFTP where only a shell answers.
var ErrUnsupported = errors.New("not supported by this guest")

// ErrDisconnected says that the connection ended while a command ran, so its exit status is unknown. A guest connects
// anew on the next call.
var ErrDisconnected = errors.New("the guest closed the connection while the command ran")

// Command is one command for the guest's shell.
type Command struct {
	// Line is interpreted by the guest's login shell.
	Line   string
	Stdin  io.Reader // may be nil
	Stdout io.Writer // may be nil
	Stderr io.Writer // may be nil
}

// Guest is the operating system inside a machine.
type Guest interface {
	// Run runs a command to its end and returns its exit status. An error means that the status is unknown: it wraps
	// ErrDisconnected if the connection ended under the command.
	Run(ctx context.Context, c Command) (exit int, err error)
	// Put writes a file with a mode, replacing what is there. The directory must exist.
	Put(ctx context.Context, dst string, mode fs.FileMode, src io.Reader) error
	// Get reads a file. A missing one wraps fs.ErrNotExist.
	Get(ctx context.Context, src string, dst io.Writer) error
	Close() error
}

// Tree is the ability of a Guest to copy whole directories. dst and src follow Packer's file provisioner: with a slash at
// the end of the source its content is copied, otherwise the directory itself.
type Tree interface {
	PutDir(ctx context.Context, dst string, src fs.FS) error
	GetDir(ctx context.Context, src string, create func(name string, mode fs.FileMode) (io.WriteCloser, error)) error
}

// Provisioner changes a guest. Provision may be called again after it failed (max_retries).
type Provisioner interface {
	Provision(ctx context.Context, g Guest, out io.Writer) error
}

// Files opens what the template named on the machine of the person who started the build, by the path written there
// after resolution. fs.ErrNotExist tells a path that was not named.
type Files interface {
	Open(path string) (fs.File, error)
	// Dir is the directory at path with everything below it.
	Dir(path string) (fs.FS, error)
}

// Outputs takes files that come out of the guest, under the path that the template gave; the client puts them there.
type Outputs interface {
	Create(path string) (io.WriteCloser, error)
}

// Vars are the values of {{ build `NAME` }} and of the PACKER_ variables in scripts. Names: packer-plugin-sdk
// packerbuilderdata.
type Vars struct {
	ID            string // of the build's machine or instance
	Host          string
	Port          int
	User          string
	Password      string
	ConnType      string // ssh, winrm or none
	RunUUID       string // one for all builds of one command
	BuildName     string // the source's name
	BuilderType   string // the source's type
	HTTPIP        string
	HTTPPort      int
	SSHPublicKey  string
	SSHPrivateKey string
	SSHKeyFile    string
	Name          string // of the machine
	OutputDir     string
}

// HTTPAddr is HTTPIP:HTTPPort, or empty without a seed server.
func (v Vars) HTTPAddr() string {
	if v.HTTPPort == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", v.HTTPIP, v.HTTPPort)
}

// Env is what a provisioner gets besides the guest.
type Env struct {
	Files   Files
	Outputs Outputs
	Vars    Vars
	// Cwd is the directory in which the user started the build, for commands that run on this host.
	Cwd string
	// Pause waits until the user wants the build to go on.
	Pause func(ctx context.Context, note string) error
	// Render fills in {{ .X }}, {{ build `X` }} and the template functions in a text that was left for run time; data
	// are the extra fields, such as Vars and Path of an execute_command.
	Render func(text string, data map[string]string) (string, error)
}

// Factory makes a provisioner from its checked arguments (canonical JSON of its groups).
type Factory func(args json.RawMessage, env Env) (Provisioner, error)

// ExitError says that a command ended with a status that is not among the valid ones.
type ExitError struct {
	Command string // what ran, short
	Status  int
	Valid   []int
}

func (e *ExitError) Error() string {
	if len(e.Valid) == 0 || (len(e.Valid) == 1 && e.Valid[0] == 0) {
		return fmt.Sprintf("%s ended with exit status %d", e.Command, e.Status)
	}
	return fmt.Sprintf("%s ended with exit status %d; valid_exit_codes are %v", e.Command, e.Status, e.Valid)
}
