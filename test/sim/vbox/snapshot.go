package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// snapshot is a machine as it was, with its disks. The real one leaves the disks where they are and puts differencing images
// on top; here the image on top is a whole copy.
type snapshot struct {
	Name, UUID, Description string
	Parent                  string
	Taken                   time.Time
	Machine                 *machine // without snapshots
}

func snapshotCmd(c *call, args []string) error {
	if len(args) < 2 {
		return syntax("Not enough parameters")
	}
	return c.softly(c.snapshot(args[0], args[1], args[2:]))
}

func (c *call) snapshot(vm, sub string, args []string) error {
	rest, opts, err := c.parse(args, []option{
		{name: "--description", more: []string{"-d"}, value: true}, {name: "--live"}, {name: "--pause"}, {name: "--uniquename", value: true}, {name: "--details"},
		{name: "--machinereadable", dash: "--machine-readable"}, {name: "--name", value: true},
	})
	if err != nil {
		return err
	}
	name := strings.Join(rest[:min(1, len(rest))], "")
	switch sub {
	case "list":
		return c.listSnapshots(vm, slices.ContainsFunc(opts, func(o given) bool { return o.name == "--machinereadable" }))
	case "take":
		if name == "" {
			return syntax("Missing snapshot name")
		}
		return c.takeSnapshot(vm, name, valueOf(opts, "--description"))
	case "restore", "delete":
		if len(rest) != 1 {
			return syntax("Expecting snapshot name only")
		}
		return c.onSnapshot(vm, name, map[string]func(*state, *machine, *snapshot) error{"restore": c.restore, "delete": c.deleteSnapshot}[sub])
	case "restorecurrent":
		return c.onSnapshot(vm, "", c.restore)
	case "edit", "showvminfo":
		return c.onSnapshot(vm, name, func(*state, *machine, *snapshot) error { return nil })
	}
	return syntax("Invalid parameter '%s'", sub)
}

// copied is a deep copy of a machine, without its snapshots.
func (m *machine) copied() (*machine, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var n machine
	err = json.Unmarshal(data, &n)
	n.Snapshots = nil
	return &n, err
}

// disks are a machine's hard disks.
func (m *machine) disks() []*attachment {
	var disks []*attachment
	for _, ctl := range m.Storage {
		for _, a := range ctl.Attached {
			if a.Type == "hdd" {
				disks = append(disks, a)
			}
		}
	}
	return disks
}

func (c *call) takeSnapshot(vm, name, description string) error {
	shot := &snapshot{Name: name, UUID: newUUID(), Description: description, Taken: time.Now().UTC()}
	err := c.change(func(s *state) error {
		m, status, err := c.findSession(s, vm)
		if err != nil {
			return err
		}
		if status.State.Alive() {
			return &comError{code: vmError, component: consoleWrap, text: "The simulator takes snapshots of machines that are powered off"}
		}
		if err := c.wantUnlocked(m, "VBoxManageSnapshot.cpp:530"); err != nil {
			return err
		}
		shot.Parent = m.Current
		if shot.Machine, err = m.copied(); err != nil {
			return err
		}
		if err := c.withProgress(func() error { return s.differ(m) }); err != nil {
			return err
		}
		m.Snapshots = append(m.Snapshots, shot)
		m.Current = shot.UUID
		return nil
	})
	if err == nil {
		c.printf("Snapshot taken. UUID: %s\n", shot.UUID)
	}
	return err
}

// differ gives a machine new disks in its snapshot folder, with the contents of those that it has.
func (s *state) differ(m *machine) error {
	if err := os.MkdirAll(m.snapshotFolder(), 0o700); err != nil {
		return err
	}
	for _, a := range m.disks() {
		base := s.findMedium(a.Medium)
		if base == nil {
			continue
		}
		diff := &medium{UUID: newUUID(), Device: "disk", Format: base.Format, Type: "normal", Parent: base.UUID}
		f, _ := formatNamed(base.Format)
		diff.Path = filepath.Join(m.snapshotFolder(), "{"+diff.UUID+"}"+f.suffix)
		keep := diff.UUID
		if err := convert(base, diff, "Standard"); err != nil {
			return err
		}
		if diff.UUID = keep; diff.Format == "VDI" {
			if err := writeVDIUUID(diff.Path, keep); err != nil {
				return err
			}
		}
		s.Media = append(s.Media, diff)
		a.Medium = diff.UUID
	}
	return nil
}

// onSnapshot does something with a snapshot by name or UUID; the current one if the name is empty.
func (c *call) onSnapshot(vm, name string, do func(*state, *machine, *snapshot) error) error {
	return c.changeMachine(vm, "VBoxManageSnapshot.cpp:530", func(s *state, m *machine) error {
		if len(m.Snapshots) == 0 {
			return &comError{code: notFound, component: "SessionMachine", text: "This machine does not have any snapshots",
				context: "FindSnapshot(Bstr(pszSnapshot).raw(), pSnapshot.asOutParam())", file: "VBoxManageSnapshot.cpp:650"}
		}
		want := name
		if want == "" {
			want = m.Current
		}
		for _, shot := range slices.Backward(m.Snapshots) {
			if shot.Name == want || asUUID(want) == shot.UUID {
				return do(s, m, shot)
			}
		}
		return &comError{code: notFound, component: "SessionMachine", text: fmt.Sprintf("Could not find a snapshot named '%s'", name),
			context: "FindSnapshot(Bstr(pszSnapshot).raw(), pSnapshot.asOutParam())", file: "VBoxManageSnapshot.cpp:650"}
	})
}

// restore makes a machine what it was.
func (c *call) restore(s *state, m *machine, shot *snapshot) error {
	c.printf("Restoring snapshot '%s' (%s)\n", shot.Name, shot.UUID)
	return c.withProgress(func() error {
		old := m.disks()
		was, err := shot.Machine.copied()
		if err != nil {
			return err
		}
		was.Snapshots, was.Current, was.Name, was.Folder = m.Snapshots, shot.UUID, m.Name, m.Folder
		if err := s.differ(was); err != nil {
			return err
		}
		*m = *was
		m.touch()
		return s.discard(old)
	})
}

// discard deletes disks that no machine and no snapshot has any more.
func (s *state) discard(disks []*attachment) error {
	var errs []error
	for _, a := range disks {
		if x := s.findMedium(a.Medium); x != nil && len(s.users(x)) == 0 {
			errs = append(errs, ignoreMissing(os.Remove(x.Path)))
			s.forget(x)
		}
	}
	return errors.Join(errs...)
}

// deleteSnapshot forgets a snapshot. The disks that only it had take the contents of those that the machine has on top of them.
func (c *call) deleteSnapshot(s *state, m *machine, shot *snapshot) error {
	c.printf("Deleting snapshot '%s' (%s)\n", shot.Name, shot.UUID)
	return c.withProgress(func() error {
		m.Snapshots = slices.DeleteFunc(m.Snapshots, func(x *snapshot) bool { return x == shot })
		for _, x := range m.Snapshots {
			if x.Parent == shot.UUID {
				x.Parent = shot.Parent
			}
		}
		if m.Current == shot.UUID {
			m.Current = shot.Parent
		}
		for _, a := range shot.Machine.disks() {
			if base := s.findMedium(a.Medium); base != nil && len(s.users(base)) == 0 {
				if err := s.merge(m, base); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// merge puts the machine's disk, if it is a difference to base, in the place of base.
func (s *state) merge(m *machine, base *medium) error {
	for _, a := range m.disks() {
		top := s.findMedium(a.Medium)
		if top == nil || top.Parent != base.UUID {
			continue
		}
		if err := os.Rename(top.Path, base.Path); err != nil {
			return err
		}
		s.forget(top)
		a.Medium = base.UUID
		if base.Format == "VDI" {
			return writeVDIUUID(base.Path, base.UUID)
		}
		return nil
	}
	s.forget(base)
	return ignoreMissing(os.Remove(base.Path))
}

func (c *call) listSnapshots(vm string, machine bool) error {
	return c.look(func(s *state) error {
		m, err := s.find(vm)
		if err != nil {
			return err
		}
		if len(m.Snapshots) == 0 {
			c.printf("This machine does not have any snapshots\n")
			return quietError(exitFailure)
		}
		v, err := c.view(s, m)
		if err != nil {
			return err
		}
		if machine {
			v.snapshots()
		} else {
			v.snapshotTree("", "   ")
		}
		c.printf("%s", v.b.String())
		return nil
	})
}

// snapshots prints them for machines: the first, its first child SnapshotName-1, that one's SnapshotName-1-1 ...
func (v *view) snapshots() {
	if len(v.m.Snapshots) == 0 {
		return
	}
	current := v.snapshotBranch("", "")
	for _, shot := range v.m.Snapshots {
		if shot.UUID == v.m.Current {
			v.text("CurrentSnapshotName", shot.Name)
			v.text("CurrentSnapshotUUID", shot.UUID)
			v.text("CurrentSnapshotNode", "SnapshotName"+current)
		}
	}
}

// snapshotBranch prints the children of a snapshot and returns the suffix of the current one.
func (v *view) snapshotBranch(parent, suffix string) (current string) {
	i := 0
	for _, shot := range v.m.Snapshots {
		if shot.Parent != parent {
			continue
		}
		i++
		own := suffix
		if parent != "" {
			own = fmt.Sprintf("%s-%d", suffix, i)
		}
		v.text("SnapshotName"+own, shot.Name)
		v.text("SnapshotUUID"+own, shot.UUID)
		if shot.Description != "" {
			v.text("SnapshotDescription"+own, shot.Description)
		}
		if shot.UUID == v.m.Current {
			current = own
		}
		if below := v.snapshotBranch(shot.UUID, own); below != "" {
			current = below
		}
	}
	return current
}

// snapshotTree prints them for people.
func (v *view) snapshotTree(parent, indent string) {
	for _, shot := range v.m.Snapshots {
		if shot.Parent != parent {
			continue
		}
		star := ""
		if shot.UUID == v.m.Current {
			star = " *"
		}
		fmt.Fprintf(&v.b, "%sName: %s (UUID: %s)%s\n", indent, shot.Name, shot.UUID, star)
		v.snapshotTree(shot.UUID, indent+"   ")
	}
}
