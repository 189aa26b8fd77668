package main

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/sector"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
)

// TestRefusals has what vmrun says to what it does not do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("x.vmx", "")
	r.disk("disk.vmdk", sector.Typewriter(), "monolithicSparse")
	r.disk("stream.vmdk", sector.Typewriter(), "streamOptimized")
	r.write("missing.vmx", "scsi0:0.fileName = \"nothere.vmdk\"\n")
	r.write("stream.vmx", "scsi0:0.fileName = \"stream.vmdk\"\n")
	r.write("text.vmx", "scsi0:0.fileName = \"x.vmx\"\n")
	bare := strings.NewReplacer("virtualHW.version", "something", "config.version", "other").Replace(plain)
	if err := os.WriteFile(r.path("bare.vmx"), []byte(bare), 0o644); err != nil {
		t.Fatal(err)
	}
	x := r.path("x.vmx")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"frobnicate"}, "Error: Unrecognized command: frobnicate\n"},
		{[]string{"-T", "fusion", "list"}, "Error: Unable to connect to host.\n"},
		{[]string{"-T", "player", "snapshot", "x.vmx", "a"}, "Error: The operation is not supported\n"},
		{[]string{"start", "no.vmx"}, "Error: Cannot open VM: " + r.path("no.vmx") + ", The virtual machine cannot be found\n"},
		{[]string{"start", "bare.vmx"}, "Error: Cannot open VM: " + r.path("bare.vmx") + ", Cannot read the virtual machine configuration file\n"},
		{[]string{"start", "missing.vmx"}, "Error: Cannot open the disk '" + r.path("nothere.vmdk") + "' or one of the snapshot disks it depends on.\n"},
		{[]string{"start", "stream.vmx"}, "Error: Cannot open the disk '" + r.path("stream.vmdk") + "' or one of the snapshot disks it depends on.\n"},
		{[]string{"start", "text.vmx"}, "Error: Cannot open the disk '" + r.path("x.vmx") + "' or one of the snapshot disks it depends on.\n"},
		{[]string{"stop", "x.vmx", "hard"}, "Error: The virtual machine is not powered on: " + x + "\n"},
		{[]string{"stop", "x.vmx", "soft"}, "Error: The virtual machine is not powered on: " + x + "\n"},
		{[]string{"pause", "x.vmx"}, "Error: The virtual machine is not powered on: " + x + "\n"},
		{[]string{"getGuestIPAddress", "x.vmx", "-wait"}, "Error: The virtual machine is not powered on: " + x + "\n"},
		{[]string{"readVariable", "x.vmx", "guestVar", "ip"}, "Error: The virtual machine is not powered on: " + x + "\n"},
		{[]string{"-gu", "u", "-gp", "p", "runProgramInGuest", "x.vmx", "/bin/true"}, "Error: The VMware Tools are not running in the virtual machine: " + x + "\n"},
		{[]string{"revertToSnapshot", "x.vmx", "none"}, "Error: The snapshot does not exist\n"},
		{[]string{"clone", "x.vmx", "x.vmx", "full"}, "Error: The file already exists\n"},
	} {
		if a := r.run("vmrun", c.args...); a.code != 255 || a.stdout != c.want || a.stderr != "" {
			t.Errorf("vmrun %q: %+v; want %q", c.args, a, c.want)
		}
	}
	for _, args := range [][]string{nil, {"-T"}, {"-X", "1", "list"}, {"-T", "toaster", "list"}} {
		if a := r.run("vmrun", args...); a.code != 255 || !strings.HasPrefix(a.stdout, "vmrun version 1.17.0 build-24409262\n\nUsage: vmrun [AUTHENTICATION-FLAGS] COMMAND [PARAMETERS]") {
			t.Errorf("vmrun %q: %+v; want the usage", args, a)
		}
	}
	if log := r.read("vmware.log"); !strings.Contains(log, "Msg_Post: Error") || !strings.Contains(log, "stream.vmdk") {
		t.Errorf("the reasons are not in vmware.log:\n%s", log)
	}
}

// TestTools is about what only a guest with tools does.
func TestTools(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.machine("")
	if a := r.run("vmrun", "checkToolsState", "x.vmx"); a.code != 254 || a.stdout != "unknown\n" {
		t.Errorf("without tools: %+v", a)
	}
	r.ok("vmrun", "start", "x.vmx", "nogui")
	r.refused("The VMware Tools are not running in the virtual machine: "+r.path("x.vmx"), "stop", "x.vmx", "soft")
	r.refused("The VMware Tools are not running", "getGuestIPAddress", "x.vmx")
	r.refused("A file was not found", "installTools", "x.vmx")
	r.ok("vmrun", "writeVariable", "x.vmx", "guestVar", "boxkiln-sim.tools", "running")
	if got := r.ok("vmrun", "readVariable", "x.vmx", "runtimeConfig", "guestinfo.boxkiln-sim.tools"); got != "running\n" {
		t.Errorf("the variable is %q", got)
	}
	if got := r.ok("vmrun", "checkToolsState", "x.vmx"); got != "running\n" {
		t.Errorf("tools are %q", got)
	}
	if got := r.ok("vmrun", "getGuestIPAddress", "x.vmx", "-wait"); !strings.HasPrefix(got, "127.8.") {
		t.Errorf("the address is %q", got)
	}
	r.serial(sector.Greeting)
	before, err := qemu.Look(r.home.Machine(r.path("x.vmx")))
	if err != nil {
		t.Fatal(err)
	}
	r.ok("vmrun", "pause", "x.vmx")
	r.state(qemu.Paused)
	if got := r.ok("vmrun", "list"); !strings.Contains(got, "x.vmx") {
		t.Errorf("a paused machine is not in the list: %q", got)
	}
	r.ok("vmrun", "unpause", "x.vmx")
	r.state(qemu.Running)
	r.ok("vmrun", "reset", "x.vmx", "soft")
	r.serial(sector.Greeting + sector.Greeting)
	r.refused("The operation is not supported", "suspend", "x.vmx")
	r.refused("The operation is not supported", "snapshot", "x.vmx", "a")
	r.refused("It is already running", "deleteVM", "x.vmx")
	r.ok("vmrun", "stop", "x.vmx", "hard")
	poll(t, "the VMX to be written", func() bool { return !r.exists("x.vmx.lck") })
	if got := r.ok("vmrun", "checkToolsState", "x.vmx"); got != "installed\n" || before.State != qemu.Running {
		t.Errorf("tools of a machine that is off are %q", got)
	}
}

func (r *rig) state(want qemu.State) {
	r.t.Helper()
	poll(r.t, "the machine to be "+string(want), func() bool {
		s, err := qemu.Look(r.home.Machine(r.path("x.vmx")))
		return err == nil && s.State == want
	})
}

// TestHardware boots the Typewriter from every kind of controller, with every card.
func TestHardware(t *testing.T) {
	t.Parallel()
	cards := []string{"e1000", "e1000e", "vmxnet3", "vlance"}
	const fromFloppy = "!" // what its Typewriter says first
	for i, c := range []struct{ name, settings string }{
		{"lsilogic", ""},
		{"lsisas1068", "scsi0.virtualDev = \"lsisas1068\"\n"},
		{"pvscsi", "scsi0.virtualDev = \"pvscsi\"\n"},
		{"ide", "scsi0.present = \"FALSE\"\nide0:0.present = \"TRUE\"\nide0:0.fileName = \"disk.vmdk\"\n"},
		{"sata", "scsi0.present = \"FALSE\"\nsata0.present = \"TRUE\"\nsata0:0.present = \"TRUE\"\nsata0:0.fileName = \"disk.vmdk\"\n"},
		{"nvme", "scsi0.present = \"FALSE\"\nnvme0.present = \"TRUE\"\nnvme0:0.present = \"TRUE\"\nnvme0:0.fileName = \"disk.vmdk\"\n"},
		{"floppy", "floppy0.present = \"TRUE\"\nfloppy0.fileType = \"file\"\nfloppy0.fileName = \"floppy.img\"\n"},
		{"cd last", "ide1:0.present = \"TRUE\"\nide1:0.deviceType = \"cdrom-image\"\nide1:0.fileName = \"floppy.img\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.machine(c.settings + "ethernet0.virtualDev = " + strconv.Quote(cards[i%len(cards)]) + "\n")
			greeting := sector.Greeting
			if c.name == "floppy" {
				greeting = fromFloppy
			}
			floppy := append(bytes.Replace(sector.Typewriter(), []byte(sector.Greeting), []byte(fromFloppy), 1), make([]byte, 1440<<10-512)...)
			if err := os.WriteFile(r.path("floppy.img"), floppy, 0o644); err != nil {
				t.Fatal(err)
			}
			r.ok("vmrun", "start", "x.vmx", "nogui")
			r.serial(greeting)
			r.ok("vmrun", "stop", "x.vmx", "hard")
		})
	}
}

// TestUEFI boots GRUB from a FAT file system, and looks for the firmware's variables beside the VMX.
func TestUEFI(t *testing.T) {
	if os.Getenv("BOXKILN_E2E") != "1" {
		t.Skip("OVMF takes its time: set BOXKILN_E2E=1")
	}
	r := newRig(t)
	image := r.grubDisk("echo hello from GRUB")
	for name, settings := range map[string]string{
		"scsi": "",
		"sata": "scsi0.present = \"FALSE\"\nsata0.present = \"TRUE\"\nsata0:0.present = \"TRUE\"\nsata0:0.fileName = \"disk.vmdk\"\n",
		"nvme": "scsi0.present = \"FALSE\"\nnvme0.present = \"TRUE\"\nnvme0:0.present = \"TRUE\"\nnvme0:0.fileName = \"disk.vmdk\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.disk("disk.vmdk", image, "monolithicSparse")
			r.write("x.vmx", "firmware = \"efi\"\nmemsize = \"256\"\n"+settings)
			r.ok("vmrun", "start", "x.vmx", "nogui")
			r.serial("hello from GRUB")
			if vars, err := os.Stat(r.path("x.nvram")); err != nil || vars.Size() < 100<<10 {
				t.Errorf("the firmware's variables: %v, %v", vars, err)
			}
			r.run("vmrun", "stop", "x.vmx", "hard") // unless GRUB was faster
		})
	}
}

// grubDisk is a disk of one FAT file system with a GRUB that runs commands and then halts.
func (r *rig) grubDisk(commands string) []byte {
	r.t.Helper()
	for _, name := range []string{"grub-mkstandalone", "mkfs.vfat", "mmd", "mcopy"} {
		needTool(r.t, name)
	}
	config, app, image := r.path("grub.cfg"), r.path("app.efi"), r.path("fat.img")
	if err := os.WriteFile(config, []byte("serial --unit=0\nterminal_output serial\n"+commands+"\nhalt\n"), 0o644); err != nil {
		r.t.Fatal(err)
	}
	for _, args := range [][]string{
		{"grub-mkstandalone", "-O", "x86_64-efi", "-o", app, "--install-modules=serial terminal echo halt normal", "--modules=serial terminal echo halt normal",
			"--locales=", "--fonts=", "--themes=", "boot/grub/grub.cfg=" + config},
		{"mkfs.vfat", "-C", image, "8192"},
		{"mmd", "-i", image, "::/EFI", "::/EFI/BOOT"},
		{"mcopy", "-i", image, app, "::/EFI/BOOT/BOOTX64.EFI"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			r.t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	data, err := os.ReadFile(image)
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

// TestOwnVMX has a client that writes into the VMX of a running machine: VMware writes its own over it. And it kills the
// machine's process, whose guest must not be in the way of the next one.
func TestOwnVMX(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.machine("")
	r.ok("vmrun", "start", "x.vmx", "nogui")
	r.write("x.vmx", "written.too.early = \"TRUE\"\n")
	r.ok("vmrun", "stop", "x.vmx", "hard")
	r.write("x.vmx", "written.too.early = \"TRUE\"\n")
	poll(t, "the files to be let go", func() bool { return !r.exists("x.vmx.lck") })
	if text := r.read("x.vmx"); strings.Contains(text, "written.too.early") {
		t.Errorf("the client's words have lasted:\n%s", text)
	}
	r.ok("vmrun", "start", "x.vmx", "nogui")
	record, ok := r.home.Get(r.path("x.vmx"))
	if !ok || syscall.Kill(record.PID, syscall.SIGKILL) != nil {
		t.Fatalf("the process of the machine: %+v, %t", record, ok)
	}
	poll(t, "the process to die", func() bool { return !host.InUse(r.path("x.vmx")) })
	if got := r.ok("vmrun", "list"); got != "Total running VMs: 0\n" {
		t.Errorf("list says %q", got)
	}
	r.ok("vmrun", "start", "x.vmx", "nogui")
	r.serial(sector.Greeting)
}
