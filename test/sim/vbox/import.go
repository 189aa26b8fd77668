package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// importOptions is what import was asked.
type importOptions struct {
	path     string
	dry      bool
	keepMACs string // "", all, nat
	vdi      bool
	vsys     map[int]map[string]string // by number: ostype, vmname, ...; and "disk 9", "ignore 9", "controller 9" by unit
}

func importAppliance(c *call, args []string) error {
	options := []option{
		{name: "--dry-run", more: []string{"-n", "--dryrun"}}, {name: "--detailed-progress", more: []string{"-P"}}, {name: "--options", value: true},
		{name: "--vsys", more: []string{"-s"}, value: true}, {name: "--unit", more: []string{"-u"}, value: true}, {name: "--ignore", more: []string{"-x"}},
	}
	for _, o := range []string{"ostype", "vmname", "settingsfile", "basefolder", "group", "memory", "cpus", "description", "eula", "disk", "controller", "scsitype", "port"} {
		options = append(options, option{name: "--" + o, value: true})
	}
	rest, opts, err := c.parse(args, options)
	if err != nil {
		return err
	}
	o := importOptions{vsys: map[int]map[string]string{}}
	if o.path, err = one(rest, "Not enough arguments for \"import\" command."); err != nil {
		return err
	}
	if o.path, err = filepath.Abs(o.path); err != nil {
		return err
	}
	if err := o.read(opts); err != nil {
		return err
	}
	return c.importWith(o)
}

// read takes the options in order: --vsys and --unit are about what follows them.
func (o *importOptions) read(opts []given) error {
	system, unit := -1, ""
	for _, g := range opts {
		switch g.name {
		case "--dry-run":
			o.dry = true
			continue
		case "--detailed-progress":
			continue
		case "--options":
			if err := o.flags(g.value); err != nil {
				return err
			}
			continue
		case "--vsys":
			n, err := number(g.name, g.value)
			if err != nil {
				return err
			}
			system, unit = n, ""
			if o.vsys[n] == nil {
				o.vsys[n] = map[string]string{}
			}
			continue
		}
		if system < 0 {
			return syntax("Option \"%s\" requires preceding --vsys or --cloud option.", g.name)
		}
		key := strings.TrimPrefix(g.name, "--")
		if slices.Contains([]string{"ignore", "disk", "controller", "scsitype", "port"}, key) {
			if unit == "" {
				return syntax("Option \"%s\" requires preceding --unit option.", g.name)
			}
			key += " " + unit
		}
		if g.name == "--unit" {
			unit = g.value
			continue
		}
		o.vsys[system][key] = cmp.Or(g.value, "yes")
	}
	return nil
}

func (o *importOptions) flags(list string) error {
	for _, word := range strings.Split(strings.ToLower(list), ",") {
		switch word {
		case "keepallmacs":
			o.keepMACs = "all"
		case "keepnatmacs":
			o.keepMACs = "nat"
		case "importtovdi":
			o.vdi = true
		default:
			return badArgument("Invalid import options '%s'", list)
		}
	}
	return nil
}

func (c *call) importWith(o importOptions) error {
	source, err := openSource(o.path)
	if err != nil {
		fmt.Fprint(c.err, "0%...\nProgress state: ", fileError, "\n")
		c.complain("Appliance read failed")
		return err
	}
	defer source.close()
	c.progress()
	c.flush()
	fmt.Fprintf(c.err, "Interpreting %s...\nOK.\n", o.path)
	c.printf("Disks:\n")
	for _, d := range source.disks {
		c.printf("  %s\t%d\t-1\t%s\t%s\t-1\t-1\t\n", d.id, d.capacity, d.format, d.href)
	}
	var plans []*importPlan
	err = c.look(func(s *state) error {
		for i, system := range source.systems {
			p, err := c.plan(s, i, system, o)
			if err != nil {
				return err
			}
			plans = append(plans, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	licences := 0
	for _, p := range plans {
		c.printf("\nVirtual system %d:\n", p.index)
		p.print(c)
		licences += p.licences
	}
	if o.dry {
		return nil
	}
	if licences > 0 {
		// Here VirtualBox ends with 0, although it has imported nothing.
		return &cliError{text: "Cannot import until the license agreement listed above is accepted.", exit: exitOK}
	}
	err = c.withProgress(func() error { return c.carryOut(source, plans, o) })
	if err != nil {
		c.complain("Appliance import failed")
		return err
	}
	c.printf("Successfully imported the appliance.\n")
	return nil
}

// unit is a line of what a virtual system becomes; its place is its number.
type unit struct {
	text    string // what is printed after the number
	drive   int    // of the system, for disks; else -1
	ignored bool
}

// importPlan is what a virtual system becomes.
type importPlan struct {
	index    int
	system   ovfSystem
	args     map[string]string
	machine  *machine
	settings string // path of the settings file
	units    []unit
	licences int
	targets  map[int]string // by drive
}

// plan decides names and paths, as the interpretation of an appliance does, and what is printed about it.
func (c *call) plan(s *state, index int, system ovfSystem, o importOptions) (*importPlan, error) {
	args := o.vsys[index]
	if args == nil {
		args = map[string]string{}
	}
	p := &importPlan{index: index, system: system, args: args, targets: map[int]string{}}
	os, err := c.osType(cmp.Or(args["ostype"], system.os))
	if err != nil {
		return nil, err
	}
	base := cmp.Or(args["basefolder"], machineFolder())
	suggested := s.freeName(base, system.name)
	name := cmp.Or(args["vmname"], suggested)
	p.machine = newMachine(name, newUUID(), filepath.Join(base, name), cmp.Or(args["group"], "/"), os)
	p.settings = p.machine.file(".vbox")
	p.identity(suggested, base)
	if err := p.hardware(o); err != nil {
		return nil, err
	}
	return p, nil
}

// freeName is a name that no machine and no folder has: NAME, NAME_1 ...
func (s *state) freeName(base, name string) string {
	for i := 0; ; i++ {
		try := name
		if i > 0 {
			try = fmt.Sprintf("%s_%d", name, i)
		}
		_, err := os.Stat(filepath.Join(base, try, try+".vbox"))
		if err != nil && !slices.ContainsFunc(s.Machines, func(m *machine) bool { return m.Name == try && m.Registered }) {
			return try
		}
	}
}

func (p *importPlan) add(format string, args ...any) {
	p.units = append(p.units, unit{text: fmt.Sprintf(format, args...), drive: -1})
}

// change is the hint how something is changed.
func (p *importPlan) change(option string) string {
	return fmt.Sprintf("\n    (change with \"--vsys %d %s\")", p.index, option)
}

// said tells if an option of this system was given.
func (p *importPlan) said(name string) bool { return p.args[name] != "" }

func (p *importPlan) identity(suggested, base string) {
	m := p.machine
	if p.said("ostype") {
		p.add("OS type specified with --ostype: \"%s\"", m.OSType)
	} else {
		p.add("Suggested OS type: \"%s\"\n    (change with \"--vsys %d --ostype <type>\"; use \"list ostypes\" to list all possible values)", m.OSType, p.index)
	}
	if p.said("vmname") {
		p.add("VM name specified with --vmname: \"%s\"", m.Name)
	} else {
		p.add("Suggested VM name \"%s\"%s", suggested, p.change("--vmname <name>"))
	}
	p.add("Suggested VM group \"%s\"%s", m.Groups, p.change("--group <group>"))
	p.add("Suggested VM settings file name \"%s\"%s", p.settings, p.change("--settingsfile <filename>"))
	p.add("Suggested VM base folder \"%s\"%s", base, p.change("--basefolder <path>"))
	if p.system.product != "" {
		p.add("Product (ignored): %s", p.system.product)
	}
	if p.system.description != "" {
		p.add("Description \"%s\"%s", p.system.description, p.change("--description <desc>"))
	}
	p.licence()
}

func (p *importPlan) licence() {
	if p.system.license == "" {
		return
	}
	switch p.licences++; p.args["eula"] {
	case "accept":
		p.licences--
		p.add("End-user license agreement (accepted)")
	case "show":
		p.add("End-user license agreement\n    (accept with \"--vsys %d --eula accept\"):\n\n%s\n", p.index, p.system.license)
	default:
		p.add("End-user license agreement\n    (display with \"--vsys %d --eula show\";\n    accept with \"--vsys %d --eula accept\")", p.index, p.index)
	}
}

func (p *importPlan) hardware(o importOptions) error {
	m, sys := p.machine, p.system
	cpus, memory := strconv.Itoa(sys.cpus), strconv.Itoa(max(sys.memory, 4))
	m.Settings["cpus"], m.Settings["memory"] = cmp.Or(p.args["cpus"], cpus), cmp.Or(p.args["memory"], memory)
	if p.said("cpus") {
		p.add("No. of CPUs specified with --cpus: %s", p.args["cpus"])
	} else {
		p.add("Number of CPUs: %s%s", cpus, p.change("--cpus <n>"))
	}
	if p.said("memory") {
		p.add("Guest memory specified with --memory: %s MB", p.args["memory"])
	} else {
		p.add("Guest memory: %s MB%s", memory, p.change("--memory <MB>"))
	}
	if sys.sound {
		p.add("Sound card (appliance expects \"\", can change on import)\n    (disable with \"--vsys %d --unit %d --ignore\")", p.index, len(p.units))
	}
	if sys.usb {
		p.add("USB controller\n    (disable with \"--vsys %d --unit %d --ignore\")", p.index, len(p.units))
		m.Settings["usb"] = "on"
	}
	p.cards(o)
	if sys.floppy {
		p.add("Floppy\n    (disable with \"--vsys %d --unit %d --ignore\")", p.index, len(p.units))
	}
	for _, d := range sys.drives {
		if d.cd {
			p.add("CD-ROM\n    (disable with \"--vsys %d --unit %d --ignore\")", p.index, len(p.units))
		}
	}
	return p.storage(o)
}

// cards plans the network cards, of which the OVF proper knows little.
func (p *importPlan) cards(o importOptions) {
	m := p.machine
	for i := range m.NICs {
		m.NICs[i].Type = "none"
	}
	for i, n := range p.system.nics {
		if i == len(m.NICs) {
			break
		}
		card := &m.NICs[i]
		card.Type, card.Model = "nat", "82540EM"
		if strings.HasPrefix(strings.ToLower(n.model), "pcnet") {
			card.Model = "Am79C973"
		} else if strings.HasPrefix(strings.ToLower(n.model), "virtio") {
			card.Model = "virtio"
		}
		kinds := map[string]string{"bridged": "bridged", "hostonly": "hostonly", "internal": "intnet"}
		if kind := kinds[strings.ToLower(n.connection)]; kind != "" {
			card.Type = kind
		}
		p.add("Network adapter: orig %s, config 3, extra slot=%d;type=%s", n.connection, i, cmp.Or(n.connection, "NAT"))
	}
	if v := p.system.machine; v != nil {
		p.fromMachine(v, o)
	}
}

// print shows the plan; a unit's number is what --unit names.
func (p *importPlan) print(c *call) {
	for i, u := range p.units {
		c.printf("%2d: %s\n", i, u.text)
	}
}
