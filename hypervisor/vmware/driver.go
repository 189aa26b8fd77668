package vmware

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// StateVariable is the environment variable that names the folder with links to the machines.
const StateVariable = "BOXKILN_VMWARE_STATE"

// Options configure a Driver.
type Options struct {
	// Install is the id of this installation: only machines that carry it are touched.
	Install string
	// State is the folder with links to the machines of this user, of all installations. Default: BOXKILN_VMWARE_STATE,
	// or else $XDG_STATE_HOME/boxkiln/vmware, below ~/.local/state if that is not set.
	State string
	// Etc is VMware's folder of configuration files. Default: BOXKILN_VMWARE_ETC, or else where VMware keeps them on this system,
	// /etc/vmware on Linux.
	Etc string
	// Log takes what the driver decides. Default: nothing is logged.
	Log *slog.Logger
	// Disks runs qemu-img, for what VMware's own tool has no word for. The zero value finds it in PATH.
	Disks disk.Tool
}

// Driver makes machines of VMware. It may be used from several goroutines.
type Driver struct {
	install string
	state   string
	net     vmnet
	log     *slog.Logger
	disks   disk.Tool
	tools   tools
	asks    asks
	// patience is how long a console is waited for; 0 for vncPatience.
	patience time.Duration
	starts   chan struct{} // holds the one start that goes on: it chooses a port that must stay free until VMware has it
}

var _ hypervisor.Driver = (*Driver)(nil)

// New returns a driver. It looks for VMware when that is first needed.
func New(o Options) *Driver {
	d := &Driver{install: o.Install, state: o.State, net: newVMNet(o.Etc), log: o.Log, disks: o.Disks, starts: make(chan struct{}, 1)}
	if d.state == "" {
		d.state = stateDir()
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d
}

// stateDir is the default of Options.State. It is the user's and not the installation's: vmrun, too, knows the user's machines.
func stateDir() string {
	if dir := os.Getenv(StateVariable); dir != "" {
		return dir
	}
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil { // a service may run without HOME
			if u, uerr := user.Current(); uerr == nil {
				home = u.HomeDir
			}
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "boxkiln", Name)
}

// Name returns "vmware".
func (d *Driver) Name() string { return Name }

// Open finds a machine by its folder and tag, also one whose creation a crash cut short.
func (d *Driver) Open(_ context.Context, h hypervisor.Handle) (hypervisor.Machine, error) {
	m, err := d.find(h.Name, h.Dir)
	if err != nil {
		return nil, err
	}
	if m.Name != h.Name || m.Tag != h.Tag || h.Tag.Install != d.install || h.UUID != "" && h.UUID != m.UUID {
		return nil, fmt.Errorf("%w: %w: %q at %s", hypervisor.ErrNotFound, hypervisor.ErrForeign, h.Name, m.path)
	}
	return m, nil
}

// List returns the machines of this installation that the folder of links leads to.
func (d *Driver) List(context.Context) ([]hypervisor.Handle, error) {
	entries, err := os.ReadDir(d.state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list VMware's machines: %w", err)
	}
	var handles []hypervisor.Handle
	var errs []error
	for _, e := range entries {
		m, err := d.linked(e.Name())
		switch {
		case errors.Is(err, hypervisor.ErrNotFound), errors.Is(err, hypervisor.ErrForeign):
			// gone, or made anew by somebody else
		case err != nil:
			errs = append(errs, err)
		case m.Tag.Install == d.install:
			handles = append(handles, m.Handle())
		}
	}
	return handles, errors.Join(errs...)
}

// toolsOf are VMware's programs for a machine.
func (d *Driver) toolsOf(set settings) tools {
	t := d.tools
	t.fusion = set.FusionApp
	return t
}

// find looks a machine up where its folder must be, and by its link if dir is not known or holds none.
func (d *Driver) find(name, dir string) (*Machine, error) {
	if dir != "" {
		m, err := d.machineAt(vmxPath(dir))
		if err == nil || !errors.Is(err, hypervisor.ErrNotFound) {
			return m, err
		}
	}
	return d.linked(name)
}

// linked follows the link of a name.
func (d *Driver) linked(name string) (*Machine, error) {
	if !machineName.MatchString(name) {
		return nil, fmt.Errorf("%w: %q is no name of a machine", hypervisor.ErrNotFound, name)
	}
	path, err := os.Readlink(filepath.Join(d.state, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q", hypervisor.ErrNotFound, name)
	}
	if err != nil {
		return nil, err
	}
	m, err := d.machineAt(path)
	if err == nil && m.Name != name {
		return nil, fmt.Errorf("%w: %q: the machine at %s is %q", hypervisor.ErrNotFound, name, path, m.Name)
	}
	return m, err
}

// machineAt reads the machine of a VMX file.
func (d *Driver) machineAt(path string) (*Machine, error) {
	f, err := readVMX(path)
	if err != nil {
		return nil, err
	}
	m := &Machine{driver: d, path: path}
	if m.owner, err = ownerOf(path, f); err != nil {
		return nil, err
	}
	if m.details, m.whole, err = readDetails(path); err != nil {
		return nil, err
	}
	m.tools = d.toolsOf(m.Set)
	return m, nil
}

// machineName is what a machine can be called: it is the name of a link.
var machineName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// link makes a machine known by its name. It replaces a link that leads nowhere; another machine of that name is ErrForeign.
func (d *Driver) link(m *Machine) error {
	if err := os.MkdirAll(d.state, 0o700); err != nil {
		return err
	}
	path := filepath.Join(d.state, m.Name)
	for {
		err := os.Symlink(m.path, path)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		other, err := d.linked(m.Name)
		switch {
		case err == nil && other.path == m.path:
			return nil
		case err == nil:
			return fmt.Errorf("%w: %q at %s", hypervisor.ErrForeign, m.Name, other.path)
		case !errors.Is(err, hypervisor.ErrNotFound):
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// unlink forgets the name of a machine that is gone, unless it is another's by now.
func (d *Driver) unlink(m *Machine) error {
	path := filepath.Join(d.state, m.Name)
	target, err := os.Readlink(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && target != m.path {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// sameFile compares paths as `vmrun list` prints them with our own: links may be resolved in one of them, and some file systems do
// not tell case.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
