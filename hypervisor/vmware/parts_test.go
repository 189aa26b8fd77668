package vmware

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
)

const isc = `# All times in this file are in UTC
lease 172.16.41.128 {
	starts 4 2020/05/28 10:00:00;
	ends 4 2020/05/28 10:30:00;
	hardware ethernet 00:0c:29:59:91:02;
}
lease 172.16.41.129 {
	starts 4 2020/05/28 11:35:06;
	ends 4 2020/05/28 12:05:06;
	hardware ethernet 00:0C:29:59:91:02;
	uid 01:00:0c:29:59:91:02;
	client-hostname "debian";
}
lease 172.16.41.130 {
	starts 4 2020/05/28 11:35:06;
	ends 4 2020/05/28 12:05:06;
	hardware ethernet 00:0c:29:00:00:01;
}
lease 172.16.41.131 {
	starts 4 2020/05/28 11:40:00;
	ends 4 2020/05/28 12:10:00;
	hardware ethernet 00:0c:29:59:91:02;
	abandoned;
}
lease 172.16.41.132 {
	starts 4 2020/05/28 10:10:00;
	ends 4 2020/05/28 10:40:00;
	hardware ethernet 00:0c:29:59:91:02;
}
lease broken { hardware ethernet 00:0c:29:59:91:02; }
lease 172.16.41.133 { hardware ethernet 00:0c; }
`

const macOS = `{
	name=debian
	ip_address=172.16.41.140
	hw_address=1,0:c:29:59:91:2
	identifier=1,0:c:29:59:91:2
	lease=0x5ecfa9d2
}
{
	name=other
	ip_address=172.16.41.141
	hw_address=1,0:c:29:0:0:1
	lease=0x5ecfa9d2
}
`

func TestLeases(t *testing.T) {
	t.Parallel()
	now := time.Date(2020, 5, 28, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		text, mac string
		now       time.Time
		want      string
	}{
		"the last that holds":         {isc, "00:0c:29:59:91:02", now, "172.16.41.129"},
		"another card":                {isc, "00:0c:29:00:00:01", now, "172.16.41.130"},
		"an earlier moment":           {isc, "00:0c:29:59:91:02", now.Add(-115 * time.Minute), "172.16.41.128"},
		"all have ended":              {isc, "00:0c:29:59:91:02", now.Add(time.Hour), ""},
		"nobody knows the card":       {isc, "00:0c:29:00:00:09", now, ""},
		"macOS has no zeros":          {macOS, "00:0c:29:59:91:02", now, "172.16.41.140"},
		"macOS counts in hexadecimal": {macOS, "00:0c:29:59:91:02", now.Add(time.Hour), ""},
		"no file":                     {"", "00:0c:29:59:91:02", now, ""},
	} {
		if got := lastLease(parseLeases([]byte(c.text)), parseMAC(c.mac), c.now); got != c.want {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
}

func FuzzLeases(f *testing.F) {
	f.Add([]byte(isc))
	f.Add([]byte(macOS))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, l := range parseLeases(data) {
			if net.ParseIP(l.address) == nil || len(l.mac) != 6 {
				t.Errorf("lease %+v", l)
			}
		}
	})
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	etc := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(etc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("netmap.conf", "network0.name = \"Bridged\"\nnetwork0.device = \"vmnet0\"\nnetwork7.name = \"NAT\"\nnetwork7.device = \"vmnet7\"\n")
	write("vmnet7/dhcpd/dhcpd.conf", "subnet 172.16.41.0 netmask 255.255.255.0 {\n range 172.16.41.128 172.16.41.254;\n}\nhost vmnet7 {\n hardware ethernet 00:50:56:C0:00:08;\n"+
		" fixed-address 172.16.41.1;\n}\nhost vmnet7 {\n fixed-address 172.16.41.9;\n}\nhost vmnet1 { fixed-address 1.2.3.4; }\n")
	write("networking", "VERSION=1,0\nanswer VNET_1_HOSTONLY_SUBNET 192.168.99.0\nanswer VNET_1_DHCP yes\n")
	v := newVMNet(etc)
	for network, want := range map[string]string{"nat": "vmnet7", "NAT": "vmnet7", "bridged": "vmnet0", "hostonly": "vmnet1", "vmnet3": "vmnet3"} {
		if got, err := v.device(network); err != nil || got != want {
			t.Errorf("device(%q) = %q, %v; want %q", network, got, err, want)
		}
	}
	for device, want := range map[string]string{"vmnet7": "172.16.41.9", "vmnet1": "192.168.99.1"} {
		if got, err := v.hostAddress(device); err != nil || got != want {
			t.Errorf("hostAddress(%q) = %q, %v; want %q", device, got, err, want)
		}
	}
	if _, err := v.hostAddress("vmnet5"); err == nil || !strings.Contains(err.Error(), "vmnet5") {
		t.Errorf("the address on a network that nobody knows: %v", err)
	}
}

// TestToolErrors gives texts of VMware's programs, as they were recorded, to the reader of errors.
func TestToolErrors(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]error{
		"Error: The virtual machine is not powered on: /x.vmx\n":                                                            errNotPoweredOn,
		"Error: Cannot open VM: /x.vmx, The virtual machine cannot be found\n":                                              hypervisor.ErrNotFound,
		"Error: The VMware Tools are not running in the virtual machine: /x.vmx\n":                                          errNoTools,
		"Error: Unable to get the IP address\n":                                                                             hypervisor.ErrNoAddress,
		"Error: The file is already in use\n":                                                                               errInUse,
		"Error: The operation was canceled\n":                                                                               errDialog,
		"Error: Insufficient permissions in the host operating system\n":                                                    os.ErrPermission,
		"Creating disk 'd.vmdk'\r  Create: 1% done.\rFailed to create disk: There is not enough space in the file system\n": syscall.ENOSPC,
		"Failed to open the disk 'x' : Failed to lock the file (0x4000003ef)\n":                                             errInUse,
	} {
		err := &ToolError{Program: vmrun, Verb: "start", Status: 255, Output: lastError(output)}
		if !errors.Is(err, want) {
			t.Errorf("%q: %v; want one that wraps %q", output, err, want)
		}
		if strings.Contains(err.Error(), "%") || strings.Contains(err.Error(), "Error:") {
			t.Errorf("%q is told as %q", output, err)
		}
	}
	if text := (&ToolError{Program: vmrun, Verb: "list", Status: 255}).Error(); !strings.Contains(text, "exit status 255") {
		t.Errorf("an error without words: %q", text)
	}
}

// TestRun runs programs that behave as VMware's do.
func TestRun(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the programs are shell scripts")
	}
	dir := t.TempDir()
	script := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script("noisy", "echo SSLConfigLoad: Failed to load OpenSSL config file. >&2; echo fine")
	script("failing", "echo Error: The file is already in use; exit 255")
	script("leaving", "sleep 60 & echo started") // what it leaves behind keeps its standard output open
	script("slow", "exec sleep 60")
	script("vmware", "echo VMware Workstation 17.6.2 build-24409262 Release >&2")
	tool := tools{dir: dir}
	if out, err := tool.run(t.Context(), "noisy", "x", nil, nil); err != nil || strings.TrimSpace(out) != "fine" {
		t.Errorf("a program that complains: %q, %v", out, err)
	}
	if _, err := tool.run(t.Context(), "failing", "x", nil, nil); !errors.Is(err, errInUse) {
		t.Errorf("a program that fails: %v", err)
	}
	began := time.Now()
	if out, err := tool.run(t.Context(), "leaving", "x", nil, nil); err != nil || !strings.Contains(out, "started") || time.Since(began) > 30*time.Second {
		t.Errorf("a program that leaves another: %q, %v after %s", out, err, time.Since(began))
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if _, err := tool.run(ctx, "slow", "x", nil, nil); !errors.Is(err, enough) {
		t.Errorf("a program that is cancelled: %v", err)
	}
	if _, err := tool.run(t.Context(), "absent", "x", nil, nil); err == nil {
		t.Error("a program that is not there has run")
	}
	if v, err := tool.version(t.Context()); err != nil || v != "VMware Workstation 17.6.2 build-24409262" {
		t.Errorf("version %q, %v", v, err)
	}
}

func TestPercents(t *testing.T) {
	t.Parallel()
	var got []int64
	report := percentOf(1000, func(done, total int64) { got = append(got, done, total) })
	for _, text := range []string{"Creating disk 'x'", "  Convert: 1% done.\r  Convert: 23% done.\r", "Disk progress: 100%", "999%"} {
		report(text)
	}
	if diff := cmp.Diff([]int64{230, 1000, 1000, 1000}, got); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestLocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock := func(name, text string) {
		path := filepath.Join(dir, name+lockSuffix)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "M12345.lck"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dead := strconv.Itoa(deadProcess(t))
	lock("stale.vmx", "uuid=abc "+dead+"-162738(vmware-vmx) 1 0 X lc=5")
	lock("number.vmdk", dead+"\n")
	if err := os.Mkdir(filepath.Join(dir, "empty.vmdk"+lockSuffix), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := waitUnlocked(t.Context(), dir, time.Minute); err != nil {
		t.Errorf("stale locks: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("stale locks have left %v (%v)", left, err)
	}
	lock("held.vmx", fmt.Sprintf("uuid=abc %d-162738(vmware-vmx) 1 0 X lc=5", os.Getpid()))
	err := waitUnlocked(t.Context(), dir, 0)
	if !errors.Is(err, errInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("a lock that is held: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "held.vmx"+lockSuffix)); err != nil {
		t.Fatal(err)
	}
	lock("unknown.vmx", "nobody can read this")
	if err := waitUnlocked(t.Context(), dir, 0); !errors.Is(err, errInUse) || !strings.Contains(err.Error(), "remove that folder") {
		t.Errorf("a lock of an unknown form: %v", err)
	}
}

// deadProcess is the number of a process that has ended.
func deadProcess(t *testing.T) int {
	t.Helper()
	p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		t.Skip(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	return p.Pid
}

func TestPostedError(t *testing.T) {
	t.Parallel()
	for log, want := range map[string]string{
		"2024-01-01T00:00:00.000Z In(05) vmx Msg_Post: Error\n2024-01-01T00:00:00.000Z In(05) vmx [msg.disk.noBackEnd] Cannot open the disk 'x.vmdk'.\n" +
			"2024-01-01T00:00:00.000Z In(05) vmx ----------------------------------------\n": "Cannot open the disk 'x.vmdk'.",
		"Jan 24 00:37:47: vmx| Msg_Post: Error\nJan 24 00:37:47: vmx| [msg.disk.fileNotFound] VMware Player cannot find the virtual disk.\n" +
			"Jan 24 00:37:47: vmx| [msg.disk.configureDiskError] Reason: The system cannot find it.\nJan 24 00:37:47: vmx| ----\n": "VMware Player cannot find the virtual disk. Reason: The system cannot find it.",
		"2020-05-28T11:35:06.000+02:00| vmx| I005: Msg_Post: Error\n2020-05-28T11:35:06.000+02:00| vmx| I005: [msg.x] No.\n2020-05-28T11:35:06.000+02:00| vmx| I005: ----": "No.",
		"nothing of the kind": "",
	} {
		if got := postedError(log); got != want {
			t.Errorf("%q: %q; want %q", log, got, want)
		}
	}
}

func TestUsable(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"172.16.41.129": true, "fe80::1": true, "unknown": false, "": false, "172.16.41.1": false, "0.0.0.0": false, "Error: x": false,
	} {
		if got := usable(address); got != want {
			t.Errorf("usable(%q) = %t", address, got)
		}
	}
}

const vmxText = ".encoding = \"UTF-8\"\nconfig.version = \"8\"\nvirtualHW.version = \"19\"\nscsi0.present = \"TRUE\"\nscsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"%s\"\nnvram = \"own.nvram\"\n"

func split(parent string) string {
	return "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=" + parent + "\ncreateType=\"twoGbMaxExtentSparse\"\n" +
		"RW 4192256 SPARSE \"x-s001.vmdk\"\nRW 1000 SPARSE \"x-s002.vmdk\"\nparentFileNameHint=\"base.vmdk\"\n"
}

func TestSourceFiles(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	dir := fstest.MapFS{
		"m.vmx": file(fmt.Sprintf(vmxText, "x.vmdk")), "x.vmdk": file(split("12345678")), "x-s001.vmdk": file(""), "x-s002.vmdk": file(""),
		"base.vmdk":      file("# Disk DescriptorFile\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 10 FLAT \"base-flat.vmdk\" 0\n"),
		"base-flat.vmdk": file(""), "own.nvram": file(""), "m.vmsd": file("snapshot0.filename = \"m-Snapshot1.vmsn\"\nsnapshot0.disk0.fileName = \"base.vmdk\"\n"),
		"m-Snapshot1.vmsn": file(""), "out.vmx": file(fmt.Sprintf(vmxText, "../x.vmdk")), "gone.vmx": file(fmt.Sprintf(vmxText, "gone.vmdk")),
		"a.ova": file(""), "unrelated.txt": file(""),
	}
	got, err := SourceFiles(dir, "m.vmx")
	want := []string{"m.vmx", "x.vmdk", "x-s001.vmdk", "x-s002.vmdk", "base.vmdk", "base-flat.vmdk", "own.nvram", "m.vmsd", "m-Snapshot1.vmsn"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("SourceFiles: %v (-want +got):\n%s", err, diff)
	}
	if got, err := SourceFiles(dir, "a.ova"); err != nil || len(got) != 1 {
		t.Errorf("an OVA consists of %q, %v", got, err)
	}
	for _, name := range []string{"out.vmx", "gone.vmx", "missing.vmx"} {
		if files, err := SourceFiles(dir, name); err == nil {
			t.Errorf("%s: %q, and no error", name, files)
		}
	}
}
