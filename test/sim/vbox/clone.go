package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cloneVM copies a machine with its disks. A linked clone shares the snapshot's disks in VirtualBox; here it has copies too.
func cloneVM(c *call, args []string) error {
	rest, opts, err := c.parse(args, []option{
		{name: "--name", value: true}, {name: "--groups", value: true}, {name: "--mode", value: true}, {name: "--options", value: true},
		{name: "--register"}, {name: "--basefolder", more: []string{"-p"}, value: true}, {name: "--uuid", value: true}, {name: "--snapshot", value: true},
	})
	if err != nil {
		return err
	}
	name, err := one(rest, "VM name required")
	if err != nil {
		return err
	}
	base := machineFolder()
	if dir := valueOf(opts, "--basefolder"); dir != "" {
		base = dir
	}
	linked := strings.Contains(strings.ToLower(valueOf(opts, "--options")), "link")
	snapshot := valueOf(opts, "--snapshot")
	if linked && snapshot == "" {
		return complain("Linked clones can only be created from a snapshot")
	}
	var copied *machine
	err = c.changeMachine(name, "VBoxManageMisc.cpp:640", func(s *state, m *machine) error {
		from, err := m.at(snapshot)
		if err != nil {
			return err
		}
		if copied, err = from.copied(); err != nil {
			return err
		}
		copied.Name, copied.UUID, copied.Current = valueOf(opts, "--name"), newUUID(), ""
		if copied.Name == "" {
			copied.Name = m.Name + " Clone"
		}
		copied.Folder = filepath.Join(base, copied.Name)
		copied.Registered = slices.ContainsFunc(opts, func(o given) bool { return o.name == "--register" })
		if !strings.Contains(strings.ToLower(valueOf(opts, "--options")), "keepallmacs") {
			for i := range copied.NICs {
				copied.NICs[i].MAC = newMAC()
			}
		}
		return c.withProgress(func() error { return c.addClone(s, m, copied) })
	})
	if err == nil {
		c.printf("Machine has been successfully cloned as \"%s\"\n", copied.Name)
	}
	return err
}

// at is the machine as a snapshot has it, or as it is.
func (m *machine) at(snapshot string) (*machine, error) {
	if snapshot == "" {
		return m, nil
	}
	for _, shot := range slices.Backward(m.Snapshots) {
		if shot.Name == snapshot || shot.UUID == asUUID(snapshot) {
			return shot.Machine, nil
		}
	}
	return nil, &comError{code: notFound, component: "SessionMachine", text: fmt.Sprintf("Could not find a snapshot named '%s'", snapshot)}
}

func (c *call) addClone(s *state, from, to *machine) error {
	if err := s.wantFree(to); err != nil {
		return err
	}
	if err := os.MkdirAll(to.Folder, 0o700); err != nil {
		return err
	}
	for i, a := range to.disks() {
		base := s.findMedium(a.Medium)
		if base == nil {
			continue
		}
		f, _ := formatNamed(base.Format)
		x := &medium{UUID: newUUID(), Device: "disk", Format: base.Format, Type: "normal", Path: to.file(fmt.Sprintf("-disk%d%s", i+1, f.suffix))}
		if err := convert(base, x, "Standard"); err != nil {
			return err
		}
		s.Media = append(s.Media, x)
		a.Medium = x.UUID
	}
	if nvram, err := os.ReadFile(from.file(".nvram")); err == nil {
		if err := os.WriteFile(to.file(".nvram"), nvram, 0o600); err != nil {
			return err
		}
	}
	s.Machines = append(s.Machines, to)
	return to.save(c.profile)
}

// moveVM moves a machine's folder.
func moveVM(c *call, args []string) error {
	rest, opts, err := c.parse(args, []option{{name: "--type", more: []string{"-t"}, value: true}, {name: "--folder", more: []string{"-f"}, value: true}})
	if err != nil {
		return err
	}
	name, err := one(rest, "VM name required")
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(valueOf(opts, "--folder"))
	if err != nil {
		return err
	}
	moved := ""
	err = c.changeMachine(name, "VBoxManageMisc.cpp:560", func(s *state, m *machine) error {
		target := filepath.Join(folder, m.Name)
		moved = m.Name
		return c.withProgress(func() error {
			if err := os.MkdirAll(folder, 0o700); err != nil {
				return err
			}
			if err := os.Rename(m.Folder, target); err != nil {
				return &comError{code: fileError, component: machineWrap, text: fmt.Sprintf("Could not move '%s' to '%s': %v", m.Folder, target, err)}
			}
			s.moved(m.Folder, target)
			m.Folder = target
			return nil
		})
	})
	if err == nil {
		c.printf("Machine \"%s\" has been successfully moved to %s\n", moved, folder)
	}
	return err
}

// moved changes the paths of media in a folder that has moved.
func (s *state) moved(from, to string) {
	for _, x := range s.Media {
		if rel, err := filepath.Rel(from, x.Path); err == nil && filepath.IsLocal(rel) {
			x.Path = filepath.Join(to, rel)
		}
	}
}
