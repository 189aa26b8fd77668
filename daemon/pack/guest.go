package pack

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// GuestScript asks a guest for its system, for the drivers that it would have on another hypervisor and for what ties it to
// this one. It is for /bin/sh of any Linux; [ParseGuest] reads what it prints.
//
//go:embed guest.sh
var GuestScript string

// GuestFileName is what the guest's answer is called where an artifact is kept.
const GuestFileName = "guest.json"

// Guest is what a guest said about itself. The zero value knows nothing, and then nothing is warned of.
type Guest struct {
	// OS and Version are ID and VERSION_ID of /etc/os-release: "debian", "12".
	OS      string `json:"os,omitempty"`
	Version string `json:"version,omitempty"`
	Kernel  string `json:"kernel,omitempty"`
	// Initramfs is its path; "none" for a kernel without one. Unread says that there is one and nobody could read it.
	Initramfs string `json:"initramfs,omitempty"`
	Unread    string `json:"unread,omitempty"`
	// Early are the drivers of disks that the kernel has before it mounts its root, Late those of network cards that it has at
	// all. Names are the kernel's, with _.
	Early []string `json:"early,omitempty"`
	Late  []string `json:"late,omitempty"`
	// Tool makes the initramfs: update-initramfs, dracut, mkinitcpio, mkinitfs, update-tirfs.
	Tool string `json:"tool,omitempty"`
	// ESP is the EFI system partition, if it is mounted, and Fallback the loader in it that a firmware without variables finds.
	ESP      string `json:"esp,omitempty"`
	Fallback string `json:"fallback,omitempty"`
	// OldNames: cards are called eth0 whatever the hypervisor (net.ifnames=0).
	OldNames bool `json:"old_names,omitempty"`
	// Devices and Interfaces are names of this machine in the guest's configuration, and where they stand.
	Devices    []Named `json:"devices,omitempty"`
	Interfaces []Named `json:"interfaces,omitempty"`
	// Pinned is a file that ties names of network cards to the addresses of this machine's.
	Pinned string `json:"pinned,omitempty"`
}

// Named is a name in a file.
type Named struct {
	Name string `json:"name"`
	File string `json:"file"`
}

// errGuest says that the answer is not what the script prints.
var errGuest = errors.New("the guest's answer about its drivers is not complete")

// longestName bounds what is taken out of a guest's answer: it chooses every byte of it.
const longestName, mostNames = 200, 64

// ParseGuest reads what GuestScript printed.
func ParseGuest(text string) (Guest, error) {
	var g Guest
	lines := bufio.NewScanner(strings.NewReader(text))
	began, ended := false, false
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case len(line) > longestName || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }):
			continue
		case line == "boxkiln-guest 1":
			began = true
		case line == "boxkiln-end":
			ended = true
		case began:
			g.line(line)
		}
	}
	if !began || !ended {
		return Guest{}, errGuest
	}
	return g, nil
}

// line takes one line of the answer.
func (g *Guest) line(line string) {
	if name, value, ok := strings.Cut(line, "="); ok && !strings.Contains(name, " ") {
		value = unquote(value)
		switch name {
		case "ID":
			g.OS = value
		case "VERSION_ID":
			g.Version = value
		}
		return
	}
	word, rest, _ := strings.Cut(line, " ")
	name, file, _ := strings.Cut(rest, " ")
	switch word {
	case "kernel":
		g.Kernel = rest
	case "initramfs":
		g.Initramfs = rest
	case "unread":
		g.Unread = rest
	case "early":
		g.Early = addName(g.Early, rest)
	case "late":
		g.Late = addName(g.Late, rest)
	case "tool":
		g.Tool = rest
	case "esp":
		g.ESP = rest
	case "fallback":
		g.Fallback = rest
	case "names":
		g.OldNames = true
	case "pinned":
		g.Pinned = rest
	case "device":
		g.Devices = addName(g.Devices, Named{name, file})
	case "interface":
		g.Interfaces = addName(g.Interfaces, Named{name, file})
	}
}

func addName[T comparable](list []T, v T) []T {
	if len(list) >= mostNames || slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// unquote reads a value of os-release, which may be quoted as in a shell.
func unquote(s string) string {
	if plain, err := strconv.Unquote(s); err == nil {
		return plain
	}
	return strings.Trim(s, `'"`)
}

// System is OS and version in one, as package_guest_os has it: "debian/12".
func (g Guest) System() string {
	if g.Version == "" {
		return g.OS
	}
	return g.OS + "/" + g.Version
}

// knowsDisks tells whether it is known which drivers there are early.
func (g Guest) knowsDisks() bool { return g.Kernel != "" && g.Unread == "" }

// knowsCards tells whether it is known which drivers there are late.
func (g Guest) knowsCards() bool { return g.Kernel != "" }

// lacks names the modules that a guest is known not to have in time.
func (g Guest) lacks(list []string, modules []string) []string {
	var missing []string
	for _, m := range modules {
		if !slices.Contains(list, m) {
			missing = append(missing, m)
		}
	}
	return missing
}

// rebuild says how to get modules into the initramfs.
func (g Guest) rebuild(modules []string) string {
	names := strings.Join(modules, " ")
	switch g.Tool {
	case "update-initramfs":
		return fmt.Sprintf("add %q to /etc/initramfs-tools/modules, one a line, and run update-initramfs -u", names)
	case "dracut":
		return fmt.Sprintf("write add_drivers+=%q to /etc/dracut.conf.d/boxkiln.conf and run dracut -f --regenerate-all", " "+names+" ")
	case "mkinitcpio":
		return fmt.Sprintf("add %q to MODULES in /etc/mkinitcpio.conf and run mkinitcpio -P", names)
	case "mkinitfs":
		return fmt.Sprintf("add a feature with %q to /etc/mkinitfs/mkinitfs.conf and run mkinitfs", names)
	case "update-tirfs":
		return fmt.Sprintf("add %q to INCLUDE_MODULES in /etc/tiny-initramfs/tiny-initramfs.conf and run update-tirfs", names)
	}
	return fmt.Sprintf("put %q into its initramfs", names)
}
