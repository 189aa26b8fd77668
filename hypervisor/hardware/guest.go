package hardware

import (
	"regexp"
	"strings"
)

// Guest is a guest operating system by our own id, such as "debian12-64". Products name systems differently and some not at
// all, so a descriptor may come back with a relative: VirtualBox 6.1 knows no Debian 12, only Debian.
type Guest string

// Other and Other64 are what stays of a system that nobody knows.
const (
	Other   Guest = "other"
	Other64 Guest = "other-64"
)

// GuestOS is a row of the table of guest systems.
type GuestOS struct {
	ID         Guest
	VirtualBox string // VBoxManage list ostypes, of 6.1: later versions know these too
	VMX        string // guestOS of a VMX file
	VIM        string // vmw:osType of an OVF, VMware's VirtualMachineGuestOsIdentifier
	CIM        int    // ovf:id of OperatingSystemSection, CIM_OperatingSystem.OSType
}

// The numbers of CIM_OperatingSystem.OSType that the table uses.
const (
	cimOther, cimOther64     = 1, 102
	cimLinux, cimLinux64     = 36, 101
	cimLinux26, cimLinux2664 = 99, 100
	cimDebian, cimDebian64   = 95, 96
	cimUbuntu, cimUbuntu64   = 93, 94
	cimRHEL, cimRHEL64       = 79, 80
	cimCentOS, cimCentOS64   = 106, 107
	cimOracle, cimOracle64   = 108, 109
	cimSUSE, cimSUSE64       = 82, 83
	cimSLES64                = 85
	cimFreeBSD, cimFreeBSD64 = 42, 78
	cimWindows7, cimWin2008  = 105, 77 // there is no 64-bit type of either's kin
	cimWin2008R2, cimWin2012 = 103, 112
	cimWin2012R2, cimWin2016 = 115, 118
	cimWindows10, cimWin8    = 120, 113
)

// guests is the table. Where a product has one name for several rows, the first row is what the name is read as.
// Names: VirtualBox src/VBox/Main/src-all/Global.cpp, vSphere API 8.0 (VIM); a VMX name is the VIM name in lower case with
// dashes and without "Guest".
var guests = []GuestOS{
	{Other, "Other", "other", "otherGuest", cimOther},
	{Other64, "Other_64", "other-64", "otherGuest64", cimOther64},
	{"linux", "Linux", "otherlinux", "otherLinuxGuest", cimLinux},
	{"linux-64", "Linux_64", "otherlinux-64", "otherLinux64Guest", cimLinux64},
	{"linux6", "Linux26", "other6xlinux", "other6xLinuxGuest", cimLinux26},
	{"linux6-64", "Linux26_64", "other6xlinux-64", "other6xLinux64Guest", cimLinux2664},
	{"linux5", "Linux26", "other5xlinux", "other5xLinuxGuest", cimLinux26},
	{"linux5-64", "Linux26_64", "other5xlinux-64", "other5xLinux64Guest", cimLinux2664},
	{"linux4", "Linux26", "other4xlinux", "other4xLinuxGuest", cimLinux26},
	{"linux4-64", "Linux26_64", "other4xlinux-64", "other4xLinux64Guest", cimLinux2664},
	{"linux3-64", "Linux26_64", "other3xlinux-64", "other3xLinux64Guest", cimLinux2664},
	{"debian12", "Debian", "debian12", "debian12Guest", cimDebian},
	{"debian12-64", "Debian_64", "debian12-64", "debian12_64Guest", cimDebian64},
	{"debian13-64", "Debian_64", "debian13-64", "debian13_64Guest", cimDebian64},
	{"debian11", "Debian", "debian11", "debian11Guest", cimDebian},
	{"debian11-64", "Debian_64", "debian11-64", "debian11_64Guest", cimDebian64},
	{"debian10", "Debian", "debian10", "debian10Guest", cimDebian},
	{"debian10-64", "Debian_64", "debian10-64", "debian10_64Guest", cimDebian64},
	{"debian9-64", "Debian_64", "debian9-64", "debian9_64Guest", cimDebian64},
	{"debian8-64", "Debian_64", "debian8-64", "debian8_64Guest", cimDebian64},
	{"ubuntu", "Ubuntu", "ubuntu", "ubuntuGuest", cimUbuntu},
	{"ubuntu-64", "Ubuntu_64", "ubuntu-64", "ubuntu64Guest", cimUbuntu64},
	{"rhel9-64", "RedHat_64", "rhel9-64", "rhel9_64Guest", cimRHEL64},
	{"rhel10-64", "RedHat_64", "rhel10-64", "rhel10_64Guest", cimRHEL64},
	{"rhel8-64", "RedHat_64", "rhel8-64", "rhel8_64Guest", cimRHEL64},
	{"rhel7-64", "RedHat_64", "rhel7-64", "rhel7_64Guest", cimRHEL64},
	{"rhel6-64", "RedHat_64", "rhel6-64", "rhel6_64Guest", cimRHEL64},
	{"rhel6", "RedHat", "rhel6", "rhel6Guest", cimRHEL},
	{"centos9-64", "RedHat_64", "centos9-64", "centos9_64Guest", cimCentOS64},
	{"centos8-64", "RedHat_64", "centos8-64", "centos8_64Guest", cimCentOS64},
	{"centos7-64", "RedHat_64", "centos7-64", "centos7_64Guest", cimCentOS64},
	{"centos-64", "RedHat_64", "centos-64", "centos64Guest", cimCentOS64},
	{"centos", "RedHat", "centos", "centosGuest", cimCentOS},
	{"rocky-64", "RedHat_64", "rockylinux-64", "rockylinux_64Guest", cimRHEL64},
	{"alma-64", "RedHat_64", "almalinux-64", "almalinux_64Guest", cimRHEL64},
	{"oracle9-64", "Oracle_64", "oraclelinux9-64", "oracleLinux9_64Guest", cimOracle64},
	{"oracle8-64", "Oracle_64", "oraclelinux8-64", "oracleLinux8_64Guest", cimOracle64},
	{"oracle7-64", "Oracle_64", "oraclelinux7-64", "oracleLinux7_64Guest", cimOracle64},
	{"oracle", "Oracle", "oraclelinux", "oracleLinuxGuest", cimOracle},
	{"fedora", "Fedora", "fedora", "fedoraGuest", cimLinux26},
	{"fedora-64", "Fedora_64", "fedora-64", "fedora64Guest", cimLinux2664},
	{"sles15-64", "OpenSUSE_64", "sles15-64", "sles15_64Guest", cimSLES64},
	{"sles12-64", "OpenSUSE_64", "sles12-64", "sles12_64Guest", cimSLES64},
	{"opensuse", "OpenSUSE", "opensuse", "opensuseGuest", cimSUSE},
	{"opensuse-64", "OpenSUSE_64", "opensuse-64", "opensuse64Guest", cimSUSE64},
	{"arch", "ArchLinux", "other6xlinux", "other6xLinuxGuest", cimLinux26},
	{"arch-64", "ArchLinux_64", "other6xlinux-64", "other6xLinux64Guest", cimLinux2664},
	{"gentoo-64", "Gentoo_64", "other6xlinux-64", "other6xLinux64Guest", cimLinux2664},
	{"alpine-64", "Linux26_64", "other6xlinux-64", "other6xLinux64Guest", cimLinux2664},
	{"photon-64", "Linux26_64", "vmware-photon-64", "vmwarePhoton64Guest", cimLinux2664},
	{"amazon2-64", "Linux26_64", "amazonlinux2-64", "amazonlinux2_64Guest", cimLinux2664},
	{"freebsd14-64", "FreeBSD_64", "freebsd14-64", "freebsd14_64Guest", cimFreeBSD64},
	{"freebsd13-64", "FreeBSD_64", "freebsd13-64", "freebsd13_64Guest", cimFreeBSD64},
	{"freebsd12-64", "FreeBSD_64", "freebsd12-64", "freebsd12_64Guest", cimFreeBSD64},
	{"freebsd-64", "FreeBSD_64", "freebsd-64", "freebsd64Guest", cimFreeBSD64},
	{"freebsd", "FreeBSD", "freebsd", "freebsdGuest", cimFreeBSD},
	{"openbsd-64", "OpenBSD_64", "other-64", "otherGuest64", cimOther64},
	{"netbsd-64", "NetBSD_64", "other-64", "otherGuest64", cimOther64},
	{"windows7-64", "Windows7_64", "windows7-64", "windows7_64Guest", cimWindows7},
	{"windows8-64", "Windows81_64", "windows8-64", "windows8_64Guest", cimWin8},
	{"windows10", "Windows10", "windows9", "windows9Guest", cimWindows10},
	{"windows10-64", "Windows10_64", "windows9-64", "windows9_64Guest", cimWindows10},
	{"windows11-64", "Windows11_64", "windows11-64", "windows11_64Guest", cimWindows10},
	{"windows2008-64", "Windows2008_64", "longhorn-64", "winLonghorn64Guest", cimWin2008},
	{"windows2008r2-64", "Windows2008_64", "windows7srv-64", "windows7Server64Guest", cimWin2008R2},
	{"windows2012-64", "Windows2012_64", "windows8srv-64", "windows8Server64Guest", cimWin2012},
	{"windows2012r2-64", "Windows2012_64", "windows8srv-64", "windows8Server64Guest", cimWin2012R2},
	{"windows2016-64", "Windows2016_64", "windows9srv-64", "windows9Server64Guest", cimWin2016},
	{"windows2019-64", "Windows2019_64", "windows2019srv-64", "windows2019srv_64Guest", cimWin2016},
	{"windows2022-64", "Windows2022_64", "windows2019srvnext-64", "windows2019srvNext_64Guest", cimWin2016},
	{"windows2025-64", "Windows2025_64", "windows2022srvnext-64", "windows2022srvNext_64Guest", cimWin2016},
}

// Guests returns the table of guest systems.
func Guests() []GuestOS { return append([]GuestOS(nil), guests...) }

// Is64 tells whether the system needs a processor of 64 bits.
func (g Guest) Is64() bool { return strings.HasSuffix(string(g), "-64") }

// Known tells whether the table has g.
func (g Guest) Known() bool {
	_, ok := find(func(o GuestOS) bool { return o.ID == g })
	return ok
}

// OS returns the row of g; of one that the table lacks the row of Other or Other64.
func (g Guest) OS() GuestOS {
	if o, ok := find(func(o GuestOS) bool { return o.ID == g }); ok {
		return o
	}
	if g.Is64() {
		return guests[1]
	}
	return guests[0]
}

func find(match func(GuestOS) bool) (GuestOS, bool) {
	for _, o := range guests {
		if match(o) {
			return o, true
		}
	}
	return GuestOS{}, false
}

// GuestOfVirtualBox reads an id of VirtualBox. Later versions number their systems (Debian12_64, Ubuntu22_LTS_64): what is not in the table
// is looked up without the number, and is Other if that is not there either.
func GuestOfVirtualBox(id string) Guest {
	for _, try := range []string{id, virtualBoxRelease.ReplaceAllString(id, "$1$2")} {
		if o, ok := find(func(o GuestOS) bool { return strings.EqualFold(o.VirtualBox, try) }); ok {
			return o.ID
		}
	}
	return unknown(strings.HasSuffix(strings.ToLower(id), "_64"))
}

// virtualBoxRelease takes Debian12_64 and Ubuntu22_LTS_64 apart into name and width.
var virtualBoxRelease = regexp.MustCompile(`^([A-Za-z]+)\d\w*?(_64)?$`)

// GuestOfVMX reads a guestOS of a VMX file.
func GuestOfVMX(id string) Guest {
	if o, ok := find(func(o GuestOS) bool { return strings.EqualFold(o.VMX, id) }); ok {
		return o.ID
	}
	return unknown(strings.HasSuffix(id, "-64"))
}

// GuestOfVIM reads a vmw:osType.
func GuestOfVIM(id string) Guest {
	if o, ok := find(func(o GuestOS) bool { return strings.EqualFold(o.VIM, id) }); ok {
		return o.ID
	}
	return unknown(strings.Contains(id, "64"))
}

// GuestOfCIM reads a number of CIM_OperatingSystem.OSType.
func GuestOfCIM(n int) Guest {
	if o, ok := find(func(o GuestOS) bool { return o.CIM == n }); ok {
		return o.ID
	}
	return Other
}

func unknown(is64 bool) Guest {
	if is64 {
		return Other64
	}
	return Other
}
