package main

import (
	"os"
	"strings"
	"testing"
)

// all, six and seven are the profiles that a row is about.
var (
	all   = []string{"6.1", "7.0", "7.1", "7.2"}
	six   = []string{"6.1"}
	seven = []string{"7.0", "7.1", "7.2"}
)

// Every row is a command that must fail, in a VirtualBox that knows the machine "vm", which is off, has a controller "SATA"
// with nothing on it and a forward "ssh", and the disk /DIR/known.vdi.
var refusals = []struct {
	profiles []string
	args     string // split at blanks; DIR is the rig's folder
	exit     int
	stderr   string // the whole of it, or what it ends with after "..."
}{
	{six, "frobnicate", 2, "...\n\nSyntax error: Invalid command 'frobnicate'\n"},
	{seven, "frobnicate", 2, "...\nVBoxManage: error: Invalid command 'frobnicate'\n"},
	{all, "modifyvm vm --frob 1", 1, "...\nVBoxManage: error: Unknown option: --frob\n"},
	{six, "modifyvm vm --nat-localhostreachable1 on", 1, "...\nVBoxManage: error: Unknown option: --nat-localhostreachable1\n"},
	{six, "modifyvm vm --nat-pf1 a,tcp,,1,,2", 1, "...\nVBoxManage: error: Unknown option: --nat-pf1\n"},
	{six, "modifyvm vm --audio-driver none", 1, "...\nVBoxManage: error: Unknown option: --audio-driver\n"},
	{six, "modifyvm vm --tpm-type 2.0", 1, "...\nVBoxManage: error: Unknown option: --tpm-type\n"},
	{[]string{"6.1", "7.0"}, "modifyvm vm --x86-pae on", 1, "...\nVBoxManage: error: Unknown option: --x86-pae\n"},
	{[]string{"6.1", "7.0"}, "createvm --name n --platform-architecture x86", 2, "...\nVBoxManage: error: Unknown option: --platform-architecture\n"},
	{six, "unregistervm vm --delete-all", 2, "...\nVBoxManage: error: Unknown option: --delete-all\n"},
	{all, "modifyvm vm --vcpenabled on", 1, "...\nVBoxManage: error: Unknown option: --vcpenabled\n"},
	{all, "modifyvm vm --memory", 1, "...\nVBoxManage: error: --memory: VERR_GETOPT_REQUIRED_ARGUMENT_MISSING\n"},
	{all, "showvminfo nope", 1, "VBoxManage: error: Could not find a registered machine named 'nope'\n" +
		"VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component VirtualBoxWrap, interface IVirtualBox, callee nsISupports\n" +
		"VBoxManage: error: Context: \"FindMachine(Bstr(VMNameOrUuid).raw(), machine.asOutParam())\" at line 2719 of file VBoxManageInfo.cpp\n"},
	{all, "startvm {01234567-89ab-cdef-0123-456789abcdef}", 1, "VBoxManage: error: Could not find a registered machine with UUID {01234567-89ab-cdef-0123-456789abcdef}\n..."},
	{[]string{"6.1", "7.0"}, "createvm --name n --ostype Debian_99", 1, "VBoxManage: error: 'Debian_99' is not a valid Guest OS type\n" +
		"VBoxManage: error: Details: code NS_ERROR_INVALID_ARG (0x80070057), component VirtualBoxWrap, ..."},
	{[]string{"7.1", "7.2"}, "createvm --name n --ostype Debian_99", 1, "VBoxManage: error: Unknown or invalid guest OS type given.\n"},
	{all, "createvm --name vm --register", 1, "VBoxManage: error: Machine settings file 'DIR/vms/vm/vm.vbox' already exists\n" +
		"VBoxManage: error: Details: code VBOX_E_FILE_ERROR (0x80bb0004), component VirtualBoxWrap, interface IVirtualBox, callee nsISupports\n..."},
	{six, "controlvm vm poweroff", 1, "VBoxManage: error: Machine 'vm' is not currently running\n"},
	{seven, "controlvm vm poweroff", 1, "VBoxManage: error: Machine 'vm' is not currently running.\n"},
	{six, "controlvm vm screenshotpng x.png", 1, "VBoxManage: error: Machine 'vm' is not currently running\n"},
	{all, "storageattach vm --storagectl IDE --port 0 --device 0 --type hdd --medium x", 1, "VBoxManage: error: Could not find a controller named 'IDE'\n"},
	{all, "storagectl vm --name IDE --remove", 1, "VBoxManage: error: Could not find a storage controller named 'IDE'\n" +
		"VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component SessionMachine, interface IMachine, callee nsISupports\n..."},
	{all, "storagectl vm --name SATA --add sata", 1, "VBoxManage: error: Storage controller named 'SATA' already exists\n" +
		"VBoxManage: error: Details: code VBOX_E_OBJECT_IN_USE (0x80bb000c), ..."},
	{all, "storageattach vm --storagectl SATA --port 0 --device 0 --nonrotational on", 1,
		"VBoxManage: error: No storage device attached to device slot 0 on port 0 of controller 'SATA'\nVBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND ..."},
	{all, "storageattach vm --storagectl SATA --port 0 --device 0 --medium x", 1, "VBoxManage: error: Argument --type must be specified\n"},
	{all, "storageattach vm --storagectl SATA --port 0 --device 0 --type hdd --medium DIR/no.vdi", 1, "VBoxManage: error: Could not open the medium 'DIR/no.vdi'.\n" +
		"VBoxManage: error: VD: error VERR_FILE_NOT_FOUND opening image file 'DIR/no.vdi' (VERR_FILE_NOT_FOUND)\n" +
		"VBoxManage: error: Details: code VBOX_E_FILE_ERROR (0x80bb0004), component MediumWrap, interface IMedium, callee nsISupports\n..."},
	{all, "storageattach vm --storagectl SATA --port 0 --device 0 --type hdd --medium DIR/copy.vdi", 1,
		"VBoxManage: error: Cannot register the hard disk 'DIR/copy.vdi' {..."},
	{all, "createmedium disk --filename known.vdi --size 1", 1, "0%...\nProgress state: VBOX_E_FILE_ERROR\nVBoxManage: error: Failed to create medium\n...(VERR_ALREADY_EXISTS)\n..."},
	{all, "modifymedium disk flat.vmdk --compact", 1, "VBoxManage: error: Compact medium operation for this format is not implemented yet!\n"},
	{all, "modifymedium disk flat.vmdk --resize 20", 1, "VBoxManage: error: Resize medium operation for this format is not implemented yet!\n"},
	{all, "modifyvm vm --natpf1 ssh,tcp,127.0.0.1,2200,,22", 1, "VBoxManage: error: A NAT rule of this name already exists\n" +
		"VBoxManage: error: Details: code NS_ERROR_INVALID_ARG (0x80070057), component NATEngineWrap, interface INATEngine, callee nsISupports\n..."},
	{all, "modifyvm vm --natpf1 delete nope", 1, "VBoxManage: error: Code NS_ERROR_INVALID_ARG (0x80070057) - Invalid argument value (extended info not available)\n" +
		"VBoxManage: error: Context: \"RemoveRedirect(..."},
	{all, "snapshot vm restore nope", 1, "VBoxManage: error: This machine does not have any snapshots\n..."},
	{all, "snapshot vm list", 1, ""},
	{six, "snapshot vm take", 1, "...\n\nSyntax error: Missing snapshot name\n"},
	{all, "modifyvm nope --frob", 1, "VBoxManage: error: Could not find a registered machine named 'nope'\n..."},
	{all, "storageattach vm --storagectl SATA --device 0 --type hdd --medium known.vdi", 2, "...Port not specified\n"},
	{all, "storageattach vm --storagectl SATA --frob", 1, "...VBoxManage: error: Unknown option: --frob\n"},
	{all, "storageattach vm --storagectl SATA --port 1 --type tape --medium x", 2, "VBoxManage: error: Invalid --type argument 'tape'\n"},
	{all, "storageattach vm --storagectl SATA --port 1 --type fdd --medium x", 1, "VBoxManage: error: The given attachment is not supported by the storage controller 'SATA'\n"},
	{all, "export vm --output x.zip", 1, "VBoxManage: error: Appliance file must have .ovf or .ova extension\n"},
	{all, "export vm --output DIR/there.ovf", 1, "0%...\nProgress state: VBOX_E_FILE_ERROR\nVBoxManage: error: Appliance write failed\n...(VERR_ALREADY_EXISTS)\n..."},
	{all, "import DIR/no.ovf", 1, "...\nVBoxManage: error: Appliance read failed\n..."},
	{all, "closemedium disk DIR/no.vdi", 1, "VBoxManage: error: Could not open the medium 'DIR/no.vdi'.\n..."},
	{six, "list hostonlynets", 2, "...\n\nSyntax error: Unknown subcommand \"hostonlynets\".\n"},
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	needQEMU(t)
	for _, profile := range all {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, profile)
			r.ok("createvm", "--name", "vm", "--register")
			r.ok("modifyvm", "vm", "--natpf1", "ssh,tcp,127.0.0.1,2222,,22")
			r.ok("storagectl", "vm", "--name", "SATA", "--add", "sata")
			r.ok("createmedium", "disk", "--filename", "known.vdi", "--size", "1")
			r.ok("createhd", "--filename", "flat.vmdk", "--size", "1", "--format", "VMDK", "--variant", "Standard")
			if err := copyFile(r.path("copy.vdi"), r.path("known.vdi")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(r.path("there.ovf"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, row := range refusals {
				if !strings.Contains(strings.Join(row.profiles, " "), profile) {
					continue
				}
				args := strings.Fields(strings.ReplaceAll(row.args, "DIR", r.dir))
				a := r.call(nil, args...)
				if want := strings.ReplaceAll(row.stderr, "DIR", r.dir); a.exit != row.exit || !alike(a.err, want) {
					t.Errorf("%s: exit code %d, want %d; stderr:\n%s\nwant:\n%s", row.args, a.exit, row.exit, a.err, want)
				}
			}
		})
	}
}

// alike compares a text to one with "..." for what does not matter.
func alike(got, want string) bool {
	parts := strings.Split(want, "...")
	if strings.HasPrefix(want, "0%...") { // that is VirtualBox's own
		parts = append([]string{"0%..." + parts[1]}, parts[2:]...)
	}
	if !strings.HasPrefix(got, parts[0]) {
		return false
	}
	last := len(parts) - 1
	for i, p := range parts {
		at := strings.Index(got, p)
		if i == last {
			return strings.HasSuffix(got, p)
		}
		if at < 0 {
			return false
		}
		got = got[at+len(p):]
	}
	return true
}

// What a profile takes that another refuses.
func TestSpellings(t *testing.T) {
	t.Parallel()
	r := newRig(t, "7.1")
	r.ok("createvm", "--name", "vm", "--register", "--platform-architecture", "x86", "--os-type", "Debian12_64")
	r.ok("modifyvm", "vm", "--nat-localhostreachable1", "on", "--nat-pf1", "a,tcp,,8001,,80", "--natpf1=b,tcp,,8002,,81", "--nic-type1", "virtio",
		"--cable-connected1=off", "--mac-address1", "080027aabbcc", "--boot1", "dvd", "--x86-pae", "off", "--rtc-use-utc", "on", "--graphicscontroller", "vmsvga",
		"--audio-driver", "none", "--audio-enabled", "off", "--uart-mode1", "disconnected", "--firmware", "efi")
	got := r.ok("showvminfo", "vm", "--machinereadable")
	for _, want := range []string{
		"ostype=\"Debian 12 Bookworm (64-bit)\"\n", "nictype1=\"virtio\"\n", "macaddress1=\"080027AABBCC\"\n", "cableconnected1=\"off\"\n", "pae=\"off\"\n",
		"firmware=\"EFI\"\n", "NvramFile=\"" + r.path("vms/vm/vm.nvram") + "\"\n", "Forwarding(0)=\"a,tcp,,8001,,80\"\nForwarding(1)=\"b,tcp,,8002,,81\"\n",
		"encryption=\"disabled\"\n", "rtcuseutc=\"on\"\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
