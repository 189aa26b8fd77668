package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/test/sim/sector"
)

// plain is a machine that starts at once: the Typewriter on a disk, its words in serial.log.
const plain = `#!/usr/bin/vmware
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "19"
displayName = "try"
memsize = "64"
scsi0.present = "TRUE"
scsi0.virtualDev = "lsilogic"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "disk.vmdk"
ethernet0.present = "TRUE"
ethernet0.connectionType = "nat"
ethernet0.virtualDev = "e1000"
serial0.present = "TRUE"
serial0.fileType = "file"
serial0.fileName = "serial.log"
answer.to.everything = "forty|22two"
`

// write makes the VMX of a machine of the lines of plain and those of more, which count where both have a key.
func (r *rig) write(name, more string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(plain+more), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// disk makes a disk of a kind with a boot sector.
func (r *rig) disk(name string, code []byte, kind string) {
	r.t.Helper()
	raw := filepath.Join(r.t.TempDir(), "raw")
	if err := os.WriteFile(raw, code, 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Truncate(raw, max(10<<20, int64(len(code)))); err != nil {
		r.t.Fatal(err)
	}
	out, err := exec.Command("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "adapter_type=lsilogic,subformat="+kind, raw, r.path(name)).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
}

// machine makes x.vmx with its disk.
func (r *rig) machine(more string) {
	r.t.Helper()
	needTool(r.t, "qemu-system-x86_64")
	r.disk("disk.vmdk", sector.Typewriter(), "monolithicSparse")
	r.write("x.vmx", more)
}

// serial waits until the guest has written something.
func (r *rig) serial(want string) {
	r.t.Helper()
	var got []byte
	poll(r.t, "the guest to write "+strconv.Quote(want), func() bool {
		got, _ = os.ReadFile(r.path("serial.log"))
		return strings.Contains(string(got), want)
	})
}

func (r *rig) read(name string) string {
	r.t.Helper()
	data, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

// freePort finds a port for a screen, where nobody else's tests look for one.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func vnc(port int) string {
	return "RemoteDisplay.vnc.enabled = \"TRUE\"\nRemoteDisplay.vnc.port = \"" + strconv.Itoa(port) + "\"\nRemoteDisplay.vnc.password = \"secret12\"\n"
}

// TestLife is a machine from its start to its end, with somebody who types.
func TestLife(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	port := freePort(t)
	r.machine(vnc(port))
	if out := r.ok("vmrun", "-T", "ws", "start", "x.vmx", "nogui"); out != "" {
		t.Errorf("start says %q", out)
	}
	if out, want := r.ok("vmrun", "list"), "Total running VMs: 1\n"+r.path("x.vmx")+"\n"; out != want {
		t.Errorf("list says %q; want %q", out, want)
	}
	r.refused("The file is already in use", "start", "x.vmx", "nogui")
	checkPoweredOn(r)
	r.serial(sector.Greeting)
	conn := dialVNC(t, port, "secret12")
	conn.press('a', shiftL, 'B')
	r.serial("aB")
	conn.press(escape)
	poll(t, "the end of the machine", func() bool { return r.ok("vmrun", "list") == "Total running VMs: 0\n" })
	r.refused("The virtual machine is not powered on: "+r.path("x.vmx"), "stop", "x.vmx", "hard")
	poll(t, "the locks to go", func() bool { return !r.exists("x.vmx.lck") && !r.exists("disk.vmdk.lck") })
	after := r.read("x.vmx")
	for _, want := range []string{`cleanShutdown = "TRUE"`, `softPowerOff = "TRUE"`, `answer.to.everything = "forty|22two"`} {
		if !strings.Contains(after, want) {
			t.Errorf("the VMX has no %s after power-off:\n%s", want, after)
		}
	}
}

// checkPoweredOn looks at what a start leaves.
func checkPoweredOn(r *rig) {
	t := r.t
	t.Helper()
	text := r.read("x.vmx")
	if !strings.HasPrefix(text, ".encoding = \"UTF-8\"\n") {
		t.Errorf("the VMX begins with %.30q", text)
	}
	for _, want := range []string{
		`uuid\.bios = "56 4d( [0-9a-f]{2}){6}-([0-9a-f]{2} ?){8}"`, `uuid\.location = "56 4d`, `ethernet0\.pciSlotNumber = "33"`,
		`ethernet0\.generatedAddressOffset = "0"`, `cleanShutdown = "FALSE"`, `scsi0:0\.redo = ""`, `answer\.to\.everything = "forty\|22two"`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("nothing in the VMX matches %s:\n%s", want, text)
		}
	}
	mac := regexp.MustCompile(`ethernet0\.generatedAddress = "(00:0c:29:[0-9a-f:]{8})"`).FindStringSubmatch(text)
	leases, err := os.ReadFile(filepath.Join(r.home.Etc(), "vmnet8/dhcpd/dhcpd.leases"))
	if err != nil || mac == nil || !regexp.MustCompile(`(?s)lease 127\.8\.\d+\.\d+ \{.*ends [0-6] .*hardware ethernet `+mac[1]+`;`).Match(leases) {
		t.Errorf("no lease for %v in: %s, %v", mac, leases, err)
	}
	for _, name := range []string{"x.vmx.lck", "disk.vmdk.lck"} {
		if locks, err := filepath.Glob(r.path(name + "/M?????.lck")); err != nil || len(locks) != 1 {
			t.Errorf("locks in %s: %v, %v", name, locks, err)
		}
	}
	for _, name := range []string{"x.nvram", "x.vmsd", "x.vmxf", "vmware.log"} {
		if !r.exists(name) {
			t.Errorf("there is no %s", name)
		}
	}
}
