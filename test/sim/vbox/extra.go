package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// extraData is the table of a machine, or the global one.
func (s *state) extraData(name string) (map[string]string, error) {
	if name == "global" {
		return s.Extra, nil
	}
	m, err := s.find(name)
	if err != nil {
		return nil, err
	}
	if m.Extra == nil {
		m.Extra = map[string]string{}
	}
	return m.Extra, nil
}

func setExtraData(c *call, args []string) error {
	if len(args) < 2 {
		return syntax("Not enough parameters")
	}
	if len(args) > 3 {
		return syntax("Too many parameters")
	}
	return c.change(func(s *state) error {
		data, err := s.extraData(args[0])
		if err != nil {
			return err
		}
		if len(args) == 2 || args[2] == "" {
			delete(data, args[1])
			return nil
		}
		data[args[1]] = args[2]
		return nil
	})
}

func getExtraData(c *call, args []string) error {
	if len(args) != 2 {
		return syntax("Incorrect number of parameters")
	}
	return c.look(func(s *state) error {
		data, err := s.extraData(args[0])
		if err != nil {
			return err
		}
		if args[1] == "enumerate" {
			for _, k := range slices.Sorted(maps.Keys(data)) {
				c.printf("Key: %s, Value: %s\n", k, data[k])
			}
			return nil
		}
		c.printValue(data[args[1]])
		return nil
	})
}

func (c *call) printValue(value string) {
	if value == "" {
		c.printf("No value set!\n")
		return
	}
	c.printf("Value: %s\n", value)
}

func guestProperty(c *call, args []string) error {
	if len(args) < 2 {
		return syntax("Incorrect parameters")
	}
	return c.change(func(s *state) error {
		m, err := s.find(args[1])
		if err != nil {
			return err
		}
		switch {
		case args[0] == "get" && len(args) == 3:
			c.printValue(m.Guest[args[2]])
		case args[0] == "set" && len(args) >= 4:
			m.Guest[args[2]] = args[3]
		case (args[0] == "delete" || args[0] == "unset") && len(args) == 3, args[0] == "set" && len(args) == 3:
			delete(m.Guest, args[2])
		case args[0] == "enumerate":
			c.enumerate(m)
		default:
			return syntax("Incorrect parameters")
		}
		return nil
	})
}

// enumerate prints guest properties as the versions differ.
func (c *call) enumerate(m *machine) {
	for _, k := range slices.Sorted(maps.Keys(m.Guest)) {
		if c.profile.seven() {
			c.printf("%-40s = '%s'\n", k, m.Guest[k])
			continue
		}
		c.printf("Name: %s, value: %s, timestamp: %d, flags: \n", k, m.Guest[k], m.Changed.UnixNano())
	}
}

func sharedFolder(c *call, args []string) error {
	if len(args) < 2 {
		return syntax("Not enough parameters")
	}
	_, opts, err := c.parse(args[2:], []option{
		{name: "--name", more: []string{"-name"}, value: true}, {name: "--hostpath", more: []string{"-hostpath"}, value: true}, {name: "--transient"},
		{name: "--readonly"}, {name: "--automount"}, {name: "--auto-mount-point", value: true},
	})
	if err != nil {
		return err
	}
	name := valueOf(opts, "--name")
	return c.change(func(s *state) error {
		m, err := s.find(args[1])
		if err != nil {
			return err
		}
		m.Shares = slices.DeleteFunc(m.Shares, func(x share) bool { return x.Name == name })
		if args[0] == "add" {
			m.Shares = append(m.Shares, share{name, valueOf(opts, "--hostpath")})
		}
		return nil
	})
}

// modifyNVRAM knows what is done to new machines with UEFI. Keys are taken and forgotten: Secure Boot is reported, not enforced.
func modifyNVRAM(c *call, args []string) error {
	if len(args) < 2 {
		return syntax("Not enough parameters")
	}
	return c.changeMachine(args[0], "VBoxManageModifyNvram.cpp:400", func(_ *state, m *machine) error {
		if m.Settings["firmware"] == "BIOS" {
			return &comError{code: notSupported, component: "NvramStoreWrap", text: "The selected firmware type doesn't support a UEFI variable store",
				context: "InitUefiVariableStore(0)", file: "VBoxManageModifyNvram.cpp:78"}
		}
		switch args[1] {
		case "inituefivarstore":
			m.Settings["secureboot"] = "off"
			return ignoreMissing(os.Remove(m.file(".nvram"))) // made anew at the next start
		case "enrollmssignatures", "enrollorclpk", "enrollpk", "enrollmok":
			return nil
		case "secureboot":
			if c.profile.seven() {
				m.Settings["secureboot"] = onOff(slices.Contains(args[2:], "--enable"))
				return nil
			}
		}
		return syntax("Invalid parameter '%s'", args[1])
	})
}

// rename gives a machine another name, and its folder and files too, as VirtualBox does where the folder is named for it.
func (s *state) rename(m *machine, name string) error {
	if name == m.Name {
		return nil
	}
	for _, other := range s.Machines {
		if other != m && other.Registered && other.Name == name {
			return &comError{code: fileError, component: "SessionMachine", text: fmt.Sprintf("Machine settings file '%s' already exists", other.file(".vbox"))}
		}
	}
	old := *m
	m.Name = name
	if filepath.Base(old.Folder) == old.Name {
		m.Folder = filepath.Join(filepath.Dir(old.Folder), name)
		if err := os.Rename(old.Folder, m.Folder); err != nil {
			return &comError{code: fileError, component: "SessionMachine", text: fmt.Sprintf("Could not rename the directory '%s' to '%s' to save the settings file (VERR_ALREADY_EXISTS)", old.Folder, m.Folder)}
		}
	}
	for _, suffix := range []string{".vbox", ".nvram"} {
		if err := ignoreMissing(os.Rename(filepath.Join(m.Folder, old.Name+suffix), m.file(suffix))); err != nil {
			return err
		}
	}
	s.moved(old.Folder, m.Folder)
	return nil
}
