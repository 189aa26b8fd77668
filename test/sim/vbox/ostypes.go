package main

import (
	"fmt"
	"strings"
)

// osType is a kind of guest system.
type osType struct {
	id, description, family, familyDescription string
	bits64                                     bool
	nic                                        string // the default card
	since                                      int
}

// osTypes are the common ones of VirtualBox's table (Main/src-all/Global.cpp).
var osTypes = buildOSTypes()

func buildOSTypes() []osType {
	types := []osType{
		{"Other", "Other/Unknown", "Other", "Other", false, "Am79C973", 61},
		{"Other_64", "Other/Unknown (64-bit)", "Other", "Other", true, "82540EM", 61},
	}
	add := func(family, familyDescription, nic string, since int, rows ...string) {
		for _, row := range rows {
			id, description, _ := strings.Cut(row, "=")
			types = append(types, osType{id, description, family, familyDescription, strings.HasSuffix(id, "_64"), nic, since})
		}
	}
	add("Windows", "Microsoft Windows", "82540EM", 61, "WindowsXP=Windows XP (32-bit)", "Windows7=Windows 7 (32-bit)", "Windows7_64=Windows 7 (64-bit)",
		"Windows2008_64=Windows 2008 (64-bit)", "Windows10=Windows 10 (32-bit)", "Windows10_64=Windows 10 (64-bit)", "Windows2012_64=Windows 2012 (64-bit)",
		"Windows2016_64=Windows 2016 (64-bit)", "Windows2019_64=Windows 2019 (64-bit)", "Windows11_64=Windows 11 (64-bit)", "Windows2022_64=Windows 2022 (64-bit)")
	add("Linux", "Linux", "82540EM", 61, "Linux22=Linux 2.2", "Linux26=Linux 2.6 / 3.x / 4.x (32-bit)", "Linux26_64=Linux 2.6 / 3.x / 4.x (64-bit)",
		"ArchLinux=Arch Linux (32-bit)", "ArchLinux_64=Arch Linux (64-bit)", "Debian=Debian (32-bit)", "Debian_64=Debian (64-bit)",
		"OpenSUSE=openSUSE (32-bit)", "OpenSUSE_64=openSUSE (64-bit)", "Fedora=Fedora (32-bit)", "Fedora_64=Fedora (64-bit)", "Gentoo=Gentoo (32-bit)",
		"Gentoo_64=Gentoo (64-bit)", "RedHat=Red Hat (32-bit)", "RedHat_64=Red Hat (64-bit)", "Ubuntu=Ubuntu (32-bit)", "Ubuntu_64=Ubuntu (64-bit)",
		"Oracle=Oracle (32-bit)", "Oracle_64=Oracle (64-bit)", "Linux=Other Linux (32-bit)", "Linux_64=Other Linux (64-bit)")
	add("Linux", "Linux", "82540EM", 70, "Debian11_64=Debian 11 Bullseye (64-bit)", "Debian12_64=Debian 12 Bookworm (64-bit)",
		"Ubuntu20_LTS_64=Ubuntu 20.04 LTS (Focal Fossa) (64-bit)", "Ubuntu22_LTS_64=Ubuntu 22.04 LTS (Jammy Jellyfish) (64-bit)")
	add("Linux", "Linux", "82540EM", 71, "Ubuntu24_LTS_64=Ubuntu 24.04 LTS (Noble Numbat) (64-bit)")
	add("BSD", "BSD", "82540EM", 61, "FreeBSD=FreeBSD (32-bit)", "FreeBSD_64=FreeBSD (64-bit)", "OpenBSD_64=OpenBSD (64-bit)", "NetBSD_64=NetBSD (64-bit)")
	add("Solaris", "Solaris", "82540EM", 61, "OpenSolaris_64=Oracle Solaris 10 10/09 and later (64-bit)", "Solaris11_64=Oracle Solaris 11 (64-bit)")
	return types
}

// osType finds a kind by its id or description.
func (c *call) osType(name string) (osType, error) {
	for _, t := range osTypes {
		if c.profile.atLeast(t.since) && (strings.EqualFold(t.id, name) || t.description == name) {
			return t, nil
		}
	}
	if c.profile.atLeast(71) {
		return osType{}, complain("Unknown or invalid guest OS type given.")
	}
	return osType{}, &comError{code: invalidArg, component: vboxWrap, text: fmt.Sprintf("'%s' is not a valid Guest OS type", name),
		context: "GetGuestOSType(Bstr(pszOsTypeId).raw(), guestOSType.asOutParam())", file: "VBoxManageMisc.cpp:350"}
}

// osTypeOf is the kind of an existing machine.
func osTypeOf(id string) osType {
	for _, t := range osTypes {
		if t.id == id {
			return t
		}
	}
	return osTypes[0]
}

// cims are the CIM numbers of kinds of guests (ApplianceImpl.cpp); the first of a number is what it is read back as.
var cims = []struct {
	number int
	id     string
}{
	{1, "Other"}, {102, "Other_64"}, {36, "Linux"}, {101, "Linux_64"}, {96, "Debian_64"}, {95, "Debian"}, {94, "Ubuntu_64"}, {93, "Ubuntu"},
	{80, "RedHat_64"}, {79, "RedHat"}, {100, "Linux26_64"}, {99, "Linux26"}, {100, "ArchLinux_64"}, {99, "ArchLinux"}, {100, "Fedora_64"}, {99, "Fedora"},
	{100, "Gentoo_64"}, {99, "Gentoo"}, {83, "OpenSUSE_64"}, {82, "OpenSUSE"}, {109, "Oracle_64"}, {108, "Oracle"}, {42, "FreeBSD"}, {78, "FreeBSD_64"},
	{67, "WindowsXP"}, {105, "Windows7"}, {105, "Windows7_64"}, {120, "Windows10_64"}, {119, "Windows10"}, {103, "Windows2008_64"},
	{112, "Windows2012_64"}, {116, "Windows2016_64"}, {117, "Windows2019_64"}, {29, "OpenSolaris_64"}, {30, "Solaris11_64"}, {65, "OpenBSD_64"}, {66, "NetBSD_64"},
}

// cimOf is the number of a kind of guest, and what readers make of that.
func cimOf(id string) (number int, back string) {
	base := strings.TrimSuffix(id, "_64")
	for _, prefix := range []string{"Debian", "Ubuntu"} {
		if strings.HasPrefix(base, prefix) {
			id = prefix + strings.TrimPrefix(id, base)
		}
	}
	for _, c := range cims {
		if c.id == id {
			return c.number, osOfCIM(c.number)
		}
	}
	return 1, "Other"
}

func osOfCIM(number int) string {
	for _, c := range cims {
		if c.number == number {
			return c.id
		}
	}
	return "Other"
}
