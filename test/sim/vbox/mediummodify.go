package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func modifyMedium(c *call, args []string) error {
	device, args := splitKind(args)
	rest, opts, err := c.parse(args, []option{
		{name: "--compact"}, {name: "--resize", value: true}, {name: "--resizebyte", dash: "--resize-byte", value: true},
		{name: "--move", value: true}, {name: "--setlocation", dash: "--set-location", value: true}, {name: "--type", value: true},
		{name: "--autoreset", value: true}, {name: "--property", value: true}, {name: "--description", value: true},
	})
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return syntax("Medium name or UUID required")
	}
	if len(opts) == 0 {
		return syntax("No operation specified")
	}
	return c.change(func(s *state) error {
		m, err := c.openMedium(s, device, rest[0])
		if err != nil {
			return err
		}
		for _, o := range opts {
			if err := c.modifyOne(m, o); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *call) modifyOne(m *medium, o given) error {
	switch o.name {
	case "--compact":
		return c.compact(m)
	case "--resize", "--resizebyte":
		n, err := number(o.name, o.value)
		if err != nil {
			return err
		}
		size := int64(n)
		if o.name == "--resize" {
			size <<= 20
		}
		return c.resize(m, size)
	case "--move":
		return c.move(m, o.value)
	case "--setlocation":
		m.Path = o.value
	case "--type":
		if !slices.Contains([]string{"normal", "writethrough", "immutable", "shareable", "readonly", "multiattach"}, o.value) {
			return badArgument("Invalid medium type '%s'", o.value)
		}
		m.Type = o.value
	}
	return nil
}

// compact rewrites a VDI without its blocks of zeros.
func (c *call) compact(m *medium) error {
	if m.Format != "VDI" || !strings.HasPrefix(m.Variant, "dynamic") {
		c.complain("Compact medium operation for this format is not implemented yet!")
		return quietError(exitFailure)
	}
	return c.withProgress(func() error {
		small := *m
		small.Path = m.Path + ".compact"
		if err := convert(m, &small, "Standard"); err != nil {
			return err
		}
		if err := writeVDIUUID(small.Path, m.UUID); err != nil {
			return err
		}
		return os.Rename(small.Path, m.Path)
	})
}

func (c *call) resize(m *medium, size int64) error {
	if m.Format == "VMDK" || !strings.HasPrefix(m.Variant, "dynamic") {
		c.complain("Resize medium operation for this format is not implemented yet!")
		return quietError(exitFailure)
	}
	return c.withProgress(func() error {
		if size < m.Size {
			return &comError{code: notSupported, component: mediumWrap, text: "Shrinking is not yet supported for medium '" + m.Path + "'"}
		}
		// qemu-img does not resize a VHD, and VDI only since 2.x; both grow by way of a new image.
		grown := *m
		grown.Path, grown.Size = m.Path+".resize", size
		if err := grow(m, &grown, size); err != nil {
			os.Remove(grown.Path)
			return err
		}
		if err := os.Rename(grown.Path, m.Path); err != nil {
			return err
		}
		m.Size = size
		return nil
	})
}

// grow copies an image into a bigger one with the same UUID.
func grow(from, to *medium, size int64) error {
	raw := &medium{Format: "RAW", Path: to.Path + ".raw"}
	defer os.Remove(raw.Path)
	if err := convert(from, raw, ""); err != nil {
		return err
	}
	if err := os.Truncate(raw.Path, size); err != nil {
		return err
	}
	raw.Size = size
	id := from.UUID
	if err := convert(raw, to, "Standard"); err != nil {
		return err
	}
	to.UUID = id
	if to.Format == "VDI" {
		return writeVDIUUID(to.Path, id)
	}
	return nil
}

func (c *call) move(m *medium, target string) error {
	path, err := filepath.Abs(target)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, filepath.Base(m.Path))
	}
	err = c.withProgress(func() error { return os.Rename(m.Path, path) })
	if err == nil {
		m.Path = path
		c.printf("Move medium with UUID %s finished\n", m.UUID)
	}
	return err
}
