package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mediumKinds are the first arguments of the commands about media.
var mediumKinds = []string{"disk", "dvd", "floppy"}

// splitKind takes the kind of medium off the arguments; without one it is a disk.
func splitKind(args []string) (string, []string) {
	if len(args) > 0 && slices.Contains(mediumKinds, args[0]) {
		return args[0], args[1:]
	}
	return "disk", args
}

func createMedium(c *call, args []string) error {
	device, args := splitKind(args)
	rest, opts, err := c.parse(args, []option{
		{name: "--filename", more: []string{"-f"}, value: true}, {name: "--size", more: []string{"-s"}, value: true},
		{name: "--sizebyte", dash: "--size-byte", more: []string{"-S"}, value: true}, {name: "--format", more: []string{"-o"}, value: true},
		{name: "--variant", more: []string{"-m"}, value: true}, {name: "--diffparent", more: []string{"-d"}, value: true},
		{name: "--property", more: []string{"-p"}, value: true}, {name: "--comment", value: true},
	})
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return &syntaxError{text: fmt.Sprintf("Invalid parameter '%s'", rest[0]), getopt: true}
	}
	m := &medium{UUID: newUUID(), Device: device, Format: "VDI", Type: "normal"}
	variant := "Standard"
	for _, o := range opts {
		switch o.name {
		case "--filename":
			m.Path = o.value
		case "--size", "--sizebyte":
			n, err := number(o.name, o.value)
			if err != nil {
				return err
			}
			m.Size = int64(n)
			if o.name == "--size" {
				m.Size <<= 20
			}
		case "--format":
			m.Format = strings.ToUpper(o.value)
		case "--variant":
			variant = o.value
		case "--diffparent":
			return complain("the simulator makes no differencing media by hand")
		}
	}
	if m.Path == "" {
		return syntax("Parameter --filename is required")
	}
	if m.Size == 0 {
		return syntax("Parameter --size is required")
	}
	return c.createMedium(m, variant)
}

func (c *call) createMedium(m *medium, variant string) error {
	f, ok := formatNamed(m.Format)
	if !ok || f.name == "QCOW" {
		return &comError{code: invalidArg, component: vboxWrap, text: fmt.Sprintf("Unsupported medium storage format '%s'", m.Format),
			context: "CreateMedium(Bstr(format).raw(), Bstr(filename).raw(), enmAccessMode, enmDevType, pMedium.asOutParam())",
			file:    "VBoxManageDisk.cpp:515", more: "Failed to create medium"}
	}
	if filepath.Ext(m.Path) == "" {
		m.Path += f.suffix
	}
	path, err := filepath.Abs(m.Path)
	if err != nil {
		return err
	}
	m.Path = path
	err = c.change(func(s *state) error {
		err := c.withProgress(func() error {
			if _, err := os.Stat(path); err == nil {
				return &comError{code: fileError, component: mediumWrap, context: "RTEXITCODE handleCreateMedium(HandlerArg*)", file: "VBoxManageDisk.cpp:510", text: fmt.Sprintf(
					"Could not create the medium storage unit '%s'.\n%s: error: VDI: cannot create image '%s' (VERR_ALREADY_EXISTS)", path, c.self, path)}
			}
			return m.create(variant)
		})
		if err == nil {
			s.Media = append(s.Media, m)
		}
		return err
	})
	if com := (*comError)(nil); errors.As(err, &com) {
		c.complain("Failed to create medium")
	}
	if err == nil {
		c.printf("Medium created. UUID: %s\n", m.UUID)
	}
	return err
}

func cloneMedium(c *call, args []string) error {
	device, args := splitKind(args)
	rest, opts, err := c.parse(args, []option{
		{name: "--format", more: []string{"-o"}, value: true}, {name: "--variant", more: []string{"-m"}, value: true}, {name: "--existing"},
		{name: "--static"},
	})
	if err != nil {
		return err
	}
	if len(rest) < 2 {
		return syntax("Mandatory %s parameter is missing", []string{"source", "target"}[len(rest)])
	}
	format, variant, existing := "", "Standard", false
	for _, o := range opts {
		switch o.name {
		case "--format":
			format = strings.ToUpper(o.value)
		case "--variant":
			variant = o.value
		case "--existing":
			existing = true
		}
	}
	var source *medium
	target := &medium{UUID: newUUID(), Device: device, Format: format, Type: "normal"}
	err = c.change(func(s *state) error {
		if source, err = c.openMedium(s, device, rest[0]); err != nil {
			return err
		}
		if target.Format == "" {
			target.Format = source.Format
		}
		target.Path, err = c.cloneTarget(s, rest[1], existing)
		return err
	})
	if err != nil {
		return err
	}
	if _, ok := formatNamed(target.Format); !ok {
		return &comError{code: invalidArg, component: vboxWrap, text: fmt.Sprintf("Unsupported medium storage format '%s'", target.Format)}
	}
	if err := c.withProgress(func() error { return convert(source, target, variant) }); err != nil {
		c.complain("Failed to clone medium")
		return err
	}
	c.printf("Clone medium created in format '%s'. UUID: %s\n", target.Format, target.UUID)
	return c.change(func(s *state) error {
		if old := s.findMedium(target.Path); old != nil {
			s.forget(old)
		}
		s.Media = append(s.Media, target)
		return nil
	})
}

// cloneTarget is where a clone goes, which must not be there, unless an existing medium is to be overwritten.
func (c *call) cloneTarget(s *state, name string, existing bool) (string, error) {
	if existing {
		m, err := c.openMedium(s, "disk", name)
		if err != nil {
			return "", err
		}
		return m.Path, nil
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return "", &comError{code: fileError, component: mediumWrap, text: fmt.Sprintf("Could not create the clone medium '%s' (VERR_ALREADY_EXISTS)", path)}
	}
	return path, nil
}

func closeMedium(c *call, args []string) error {
	device, args := splitKind(args)
	rest, opts, err := c.parse(args, []option{{name: "--delete"}})
	if err != nil {
		return err
	}
	name, err := one(rest, "Medium name or UUID required")
	if err != nil {
		return err
	}
	return c.change(func(s *state) error {
		m, err := c.openMedium(s, device, name)
		if err != nil {
			return err
		}
		if users := s.users(m); len(users) > 0 {
			return &comError{code: inUse, component: mediumWrap, context: "Close()", file: "VBoxManageDisk.cpp:1770",
				text: fmt.Sprintf("Medium '%s' cannot be closed because it is still attached to %d virtual machines", m.Path, len(users))}
		}
		if len(opts) > 0 {
			if err := c.withProgress(func() error { return os.Remove(m.Path) }); err != nil {
				c.complain("Failed to delete medium")
				return err
			}
		}
		s.forget(m)
		return nil
	})
}

func showMediumInfo(c *call, args []string) error {
	device, args := splitKind(args)
	name, err := one(args, "Medium name or UUID required")
	if err != nil {
		return err
	}
	return c.change(func(s *state) error { // looking at a file makes it known
		m, err := c.openMedium(s, device, name)
		if err != nil {
			return err
		}
		c.printMedium(s, m)
		c.printf("Format variant: %s\nCapacity:       %d MBytes\n", m.Variant, m.Size>>20)
		if info, err := os.Stat(m.Path); err == nil {
			c.printf("Size on disk:   %d MBytes\n", info.Size()>>20)
		}
		c.printf("Encryption:     disabled\n")
		if m.Format == "VDI" {
			c.printf("Property:       AllocationBlockSize=1048576\n")
		}
		for _, vm := range s.users(m) {
			c.printf("In use by VMs:  %s (UUID: %s)\n", vm.Name, vm.UUID)
		}
		return nil
	})
}

// printMedium prints what showmediuminfo and list hdds have in common.
func (c *call) printMedium(s *state, m *medium) {
	parent, kind := "base", "base"
	if m.Parent != "" {
		parent, kind = m.Parent, "differencing"
	}
	c.printf("UUID:           %s\n", m.UUID)
	if m.Device == "disk" {
		c.printf("Parent UUID:    %s\n", parent)
	}
	c.printf("State:          %s\n", c.mediumState(s, m))
	c.printf("Type:           %s (%s)\nLocation:       %s\nStorage format: %s\n", m.Type, kind, m.Path, m.Format)
}

func (c *call) mediumState(s *state, m *medium) string {
	if _, err := os.Stat(m.Path); err != nil {
		return "inaccessible"
	}
	for _, vm := range s.users(m) {
		if status, err := c.session(vm); err == nil && status.State.Alive() {
			return map[bool]string{true: "locked write", false: "locked read"}[m.Device == "disk"]
		}
	}
	return "created"
}

// timestamp is how VirtualBox names when something became so.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000") }
