package hardware

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
	VirtualBox string // VBoxManage list ostypes
	VMX        string // guestOS of a VMX file
	VIM        string // vmw:osType of an OVF, VMware's VirtualMachineGuestOsIdentifier
	CIM        int    // ovf:id of OperatingSystemSection, CIM_OperatingSystem.OSType
}
