package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// machineFolder is where machines' folders are made unless asked otherwise.
func machineFolder() string {
	if dir := os.Getenv("BOXKILN_SIM_VBOX_MACHINES"); dir != "" {
		return dir
	}
	home, _ := os.UserHomeDir()
	return filepath.Join(home, "VirtualBox VMs")
}

func createVM(c *call, args []string) error {
	rest, opts, err := c.parse(args, []option{
		{name: "--name", value: true}, {name: "--groups", value: true}, {name: "--basefolder", more: []string{"-p"}, value: true},
		{name: "--ostype", dash: "--os-type", value: true}, {name: "--uuid", value: true}, {name: "--register"}, {name: "--default"},
		{name: "--platform-architecture", value: true, since: 71}, {name: "--cipher", value: true, since: 70},
		{name: "--password-id", value: true, since: 70}, {name: "--password", value: true, since: 70},
	})
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return &syntaxError{text: fmt.Sprintf("Invalid parameter '%s'", rest[0]), getopt: true}
	}
	get := func(name string) string { return valueOf(opts, name) }
	name := get("--name")
	if name == "" {
		return syntax("Parameter --name is required")
	}
	if arch := get("--platform-architecture"); arch != "" && arch != "x86" && arch != "arm" {
		return badArgument("Invalid platform architecture: %s", arch)
	}
	os, err := c.createdOS(get("--ostype"))
	if err != nil {
		return err
	}
	uuid := asUUID(get("--uuid"))
	if uuid == "" {
		uuid = newUUID()
	}
	base := machineFolder()
	if dir := get("--basefolder"); dir != "" {
		if base, err = filepath.Abs(dir); err != nil {
			return err
		}
	}
	group := strings.TrimPrefix(get("--groups"), "/")
	m := newMachine(name, uuid, filepath.Join(base, group, name), get("--groups"), os)
	m.Registered = slices.ContainsFunc(opts, func(o given) bool { return o.name == "--register" })
	if slices.ContainsFunc(opts, func(o given) bool { return o.name == "--default" }) {
		m.applyDefaults()
	}
	return c.create(m)
}

// createdOS is the kind of guest of a new machine.
func (c *call) createdOS(name string) (osType, error) {
	if name == "" {
		return osTypes[0], nil
	}
	return c.osType(name)
}

func (c *call) create(m *machine) error {
	err := c.change(func(s *state) error {
		if err := s.wantFree(m); err != nil {
			return err
		}
		s.Machines = append(s.Machines, m)
		return m.save(c.profile)
	})
	if err != nil {
		return err
	}
	how := "created"
	if m.Registered {
		how = "created and registered"
	}
	c.printf("Virtual machine '%s' is %s.\nUUID: %s\nSettings file: '%s'\n", m.Name, how, m.UUID, m.file(".vbox"))
	return nil
}

// wantFree tells if there is no machine like a new one.
func (s *state) wantFree(m *machine) error {
	_, err := os.Stat(m.file(".vbox"))
	if err == nil {
		return &comError{code: fileError, component: vboxWrap, text: fmt.Sprintf("Machine settings file '%s' already exists", m.file(".vbox")),
			context: "CreateMachine(bstrSettingsFile.raw(), bstrName.raw(), ComSafeArrayAsInParam(groups), bstrOsTypeId.raw(), createFlags.raw(), machine.asOutParam())",
			file:    "VBoxManageMisc.cpp:359"}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, other := range s.Machines {
		if other.UUID == m.UUID && other.Registered {
			return &comError{code: inUse, component: vboxWrap, text: fmt.Sprintf("A machine with UUID {%s} already exists", m.UUID)}
		}
	}
	return nil
}

// applyDefaults is createvm --default: what the guest's kind asks for.
func (m *machine) applyDefaults() {
	for name, value := range map[string]string{
		"memory": "1024", "vram": "16", "graphicscontroller": "vmsvga", "rtcuseutc": "on", "mouse": "usbtablet",
		"usb": "on", "audio": "default", "audioout": "on", "pae": "off",
	} {
		m.Settings[name] = value
	}
	m.Storage = []*controller{
		{Name: "IDE", Bus: "ide", Type: "PIIX4", Ports: 2, Bootable: true},
		{Name: "SATA", Bus: "sata", Type: "IntelAhci", Ports: 1, Bootable: true},
	}
	m.Storage[0].attach(&attachment{Port: 1, Device: 0, Type: "dvddrive"})
}

// valueOf is the last value of an option, empty if it was not given.
func valueOf(opts []given, name string) string {
	value := ""
	for _, o := range opts {
		if o.name == name {
			value = o.value
		}
	}
	return value
}

func unregisterVM(c *call, args []string) error {
	rest, opts, err := c.parse(args, []option{{name: "--delete"}, {name: "--delete-all", since: 70}})
	if err != nil {
		return err
	}
	name, err := one(rest, "VM name required")
	if err != nil {
		return err
	}
	return c.change(func(s *state) error {
		m, err := s.find(name)
		if err != nil {
			return err
		}
		if status, err := c.session(m); err != nil || status.Locked {
			return errors.Join(err, &comError{code: badObjState, component: machineWrap,
				text:    fmt.Sprintf("Cannot unregister the machine '%s' while it is locked", m.Name),
				context: "Unregister(CleanupMode_DetachAllReturnHardDisksOnly, ComSafeArrayAsOutParam(aMedia))", file: "VBoxManageMisc.cpp:196"})
		}
		m.Registered = false
		s.Machines = slices.DeleteFunc(s.Machines, func(x *machine) bool { return x == m })
		if len(opts) == 0 {
			return nil
		}
		return c.withProgress(func() error { return c.deleteFiles(s, m) })
	})
}

// deleteFiles deletes a machine's disks that nobody else uses, its settings and its folder, if nothing else is in there.
func (c *call) deleteFiles(s *state, m *machine) error {
	var errs []error
	for _, medium := range slices.Clone(s.Media) {
		if !m.uses(medium.UUID) || len(s.users(medium)) > 0 {
			continue
		}
		s.forget(medium)
		if medium.Device == "disk" {
			errs = append(errs, ignoreMissing(os.Remove(medium.Path)))
		}
	}
	for _, name := range []string{m.file(".vbox"), m.file(".vbox-prev"), m.file(".nvram"), filepath.Join(m.Folder, "Logs", "VBox.log")} {
		errs = append(errs, ignoreMissing(os.Remove(name)))
	}
	for _, dir := range []string{filepath.Join(m.Folder, "Logs"), m.snapshotFolder(), m.Folder} {
		os.Remove(dir) // other people's files keep it
	}
	return errors.Join(append(errs, os.RemoveAll(c.runDir(m)))...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// touch notes that a machine's state changed.
func (m *machine) touch() { m.Changed = time.Now().UTC() }
