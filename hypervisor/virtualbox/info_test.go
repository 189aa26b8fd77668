package virtualbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
)

func recorded(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestParseInfo reads what VirtualBox 7.0 printed about a machine that was off: keys with spaces, lines without '=', quoted
// keys, a value over two lines.
func TestParseInfo(t *testing.T) {
	t.Parallel()
	want := info{
		name: "manjaro-gnome-x64-full-clean", uuid: "19e117b3-06f4-4a1e-851d-47336ad6a142", config: "/home/user/VirtualBox VMs/m/m.vbox",
		state: "poweroff", osType: "Arch Linux (64-bit)", nvram: "/home/user/VirtualBox VMs/m/m.nvram", uart: "off", cpus: 4, memory: 4096,
		controllers: []controller{{"IDE", "PIIX4"}, {"SATA", "IntelAhci"}},
		attachments: []attachment{{"IDE", 1, 0, "emptydrive"}, {"SATA", 0, 0, "/home/user/VirtualBox VMs/m/m-disk001.vdi"}},
	}
	text := recorded(t, "showvminfo-7.0.txt")
	for name, out := range map[string]string{"Unix": text, "Windows": strings.ReplaceAll(text, "\n", "\r\n")} {
		got, err := parseInfo(out)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(info{}, controller{}, attachment{}, forward{})); diff != "" {
			t.Errorf("%s line ends (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseRunning(t *testing.T) {
	t.Parallel()
	got, err := parseInfo(recorded(t, "showvminfo-running.txt"))
	if err != nil {
		t.Fatal(err)
	}
	forwards := []forward{
		{1, "boxkiln-22", "tcp", "127.0.0.1", 2222, 22}, {1, "http", "tcp", "", 8080, 80}, {2, "other", "udp", "", 53, 53},
	}
	if diff := cmp.Diff(forwards, got.forwards, cmp.AllowUnexported(forward{})); diff != "" {
		t.Errorf("forwards (-want +got):\n%s", diff)
	}
	if got.status() != hypervisor.Running || got.off() || !got.vrde || !got.efi {
		t.Errorf("%+v; want a machine that runs, with VRDE and EFI", got)
	}
	disks := []attachment{{"S-A-T-A", 0, 0, `C:\Users\u\"quoted\d.vdi`}}
	if diff := cmp.Diff(disks, got.disks(), cmp.AllowUnexported(attachment{})); diff != "" {
		t.Errorf("disks (-want +got):\n%s", diff)
	}
	if got.uart != `file,/tmp/serial.log` || got.config != `C:\Users\u\m.vbox` {
		t.Errorf("serial port %q, settings file %q", got.uart, got.config)
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	for vbox, want := range map[string]hypervisor.State{
		"poweroff": hypervisor.Off, "running": hypervisor.Running, "stopping": hypervisor.Running, "starting": hypervisor.Running,
		"paused": hypervisor.Paused, "saved": hypervisor.Paused, "aborted": hypervisor.Crashed, "aborted-saved": hypervisor.Crashed,
		"gurumeditation": hypervisor.Crashed,
	} {
		if got := (&info{state: vbox}).status(); got != want {
			t.Errorf("%s is %s; want %s", vbox, got, want)
		}
	}
	for _, gone := range []string{"gurumeditation", "stopping", "paused"} {
		if (&info{state: gone}).off() {
			t.Errorf("a machine that is %s has a process", gone)
		}
	}
}

// FuzzParseInfo: whatever is printed, nothing panics, and what is told of a machine is consistent.
func FuzzParseInfo(f *testing.F) {
	f.Add(recorded(f, "showvminfo-7.0.txt"))
	f.Add(recorded(f, "showvminfo-running.txt"))
	f.Add("name=\"\\\nUUID=\"x\"\n")
	f.Fuzz(func(t *testing.T, out string) {
		in, err := parseInfo(out)
		if (err == nil) == (in.uuid == "") {
			t.Errorf("UUID %q, error %v", in.uuid, err)
		}
		for _, a := range in.attachments {
			if !in.controllerNamed(a.controller) {
				t.Errorf("%+v is attached to a controller that is not there", a)
			}
		}
	})
}

func TestParseList(t *testing.T) {
	t.Parallel()
	media := parseMedia(recorded(t, "list-hdds.txt"))
	want := []medium{{"756672a3-312a-4d4d-83da-aa49bc9b938a", "/home/u/VirtualBox VMs/a: b/d.vdi"}, {"37a0bb6b-4292-464e-b766-1e8b7101ec94", "/gone.vdi"}}
	if diff := cmp.Diff(want, media, cmp.AllowUnexported(medium{})); diff != "" {
		t.Errorf("media (-want +got):\n%s", diff)
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	warning := "WARNING: The vboxdrv kernel module is not loaded. Either there is no module\n         available for the current kernel (6.1.0) or it failed to\n         load.\n"
	for out, want := range map[string]version{
		"6.1.36r152435\n":            {major: 6, minor: 1, number: "6.1.36", text: "6.1.36r152435"},
		"7.0.12r159484\r\n":          {major: 7, minor: 0, number: "7.0.12", text: "7.0.12r159484"},
		"6.1.4_RPMFusionr136177\n":   {major: 6, minor: 1, number: "6.1.4", text: "6.1.4_RPMFusionr136177"},
		warning + "7.1.4_RC1r165100": {major: 7, minor: 1, number: "7.1.4", text: "7.1.4_RC1r165100"},
		"5.2.42_Ubuntur137960\n":     {major: 5, minor: 2, number: "5.2.42", text: "5.2.42_Ubuntur137960"},
	} {
		got, err := parseVersion(out)
		if err != nil {
			t.Errorf("%q: %v", out, err)
		}
		if warned := strings.Contains(out, "WARNING"); (len(got.warnings) > 0) != warned {
			t.Errorf("%q: warnings %q", out, got.warnings)
		}
		got.warnings = nil
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(version{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", out, diff)
		}
	}
	if _, err := parseVersion("bash: VBoxManage: nothing\n"); err == nil {
		t.Error("no version, and no error")
	}
	if v := (version{major: 7, minor: 1}); !v.atLeast(6, 2) || !v.atLeast(7, 1) || v.atLeast(7, 2) || v.atLeast(8, 0) {
		t.Error("7.1 is compared wrongly")
	}
}
