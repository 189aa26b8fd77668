package libvirt

import (
	"bytes"
	"image/color"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
)

func TestForwardedPort(t *testing.T) {
	t.Parallel()
	const answer = "Hub -1 (user.0):\r\n" +
		"  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n" +
		"  TCP[HOST_FORWARD]  14       127.0.0.1 37261       10.0.2.15    22     0     0\r\n" +
		"  TCP[ESTABLISHED]   16       127.0.0.1 40000       10.0.2.15    80     0     0\r\n" +
		"  TCP[HOST_FORWARD]  15               *  2345       10.0.2.15  5985     0     0\r\n" +
		"  UDP[HOST_FORWARD]  15               *  2346       10.0.2.15    53     0     0\r\n" +
		"  TCP[HOST_FORWARD]  15               *  none       10.0.2.15  5986     0     0\r\n"
	for guest, want := range map[int]string{22: "127.0.0.1:37261", 5985: "127.0.0.1:2345", 80: "", 53: "", 5986: "", 37261: ""} {
		host, port, ok := forwardedPort(answer, guest)
		got := ""
		if ok {
			got = hypervisor.Endpoint{Host: host, Port: port}.String()
		}
		if got != want {
			t.Errorf("port %d leads from %q; want %q", guest, got, want)
		}
	}
}

func FuzzForwardedPort(f *testing.F) {
	f.Add("  TCP[HOST_FORWARD]  14       127.0.0.1 37261       10.0.2.15    22     0     0\n")
	f.Fuzz(func(t *testing.T, answer string) {
		if _, port, ok := forwardedPort(answer, 22); ok && (port < 1 || port > 65535) {
			t.Errorf("port %d", port)
		}
	})
}

func TestChooseAccelerator(t *testing.T) {
	t.Parallel()
	all := kvmFacts{hostArch: "amd64", guestArch: "amd64", cpuFlags: true, device: true, offered: true, local: true}
	for name, c := range map[string]struct {
		change func(*kvmFacts)
		kvm    bool
		reason string
	}{
		"everything there":         {func(*kvmFacts) {}, true, "offers KVM"},
		"32-bit guest":             {func(f *kvmFacts) { f.guestArch = "386" }, true, ""},
		"the trap":                 {func(f *kvmFacts) { f.cpuFlags = false }, false, "neither vmx nor svm; /dev/kvm opens"},
		"no flags, no device":      {func(f *kvmFacts) { f.cpuFlags, f.device = false, false }, false, "neither vmx nor svm"},
		"not offered":              {func(f *kvmFacts) { f.offered = false }, false, "does not offer"},
		"another architecture":     {func(f *kvmFacts) { f.guestArch = "arm64" }, false, "emulated"},
		"arm shows no such flags":  {func(f *kvmFacts) { f.hostArch, f.guestArch, f.cpuFlags = "arm64", "arm64", false }, true, ""},
		"flags of a remote host":   {func(f *kvmFacts) { f.local, f.cpuFlags = false, false }, true, ""},
		"remote without the offer": {func(f *kvmFacts) { f.local, f.offered = false, false }, false, "does not offer"},
	} {
		facts := all
		c.change(&facts)
		got := chooseAccelerator(facts)
		if got.kvm != c.kvm || !strings.Contains(got.reason, c.reason) {
			t.Errorf("%s: %+v; want kvm %t, because %q", name, got, c.kvm, c.reason)
		}
	}
}

func TestVirtFlags(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"processor\t: 0\nflags\t\t: fpu vme svm sse\n": true,
		"flags\t\t: vmx\n":                    true,
		"flags\t\t: fpu\nvmx flags\t: vnmi\n": false,
		"model name\t: vmx svm\n":             false,
		"":                                    false,
	} {
		if got := hasVirtFlags(text); got != want {
			t.Errorf("hasVirtFlags(%q) = %t", text, got)
		}
	}
}

func TestFindFlash(t *testing.T) {
	t.Parallel()
	const descr = `{"interface-types":["uefi"],"mapping":{"device":"flash","executable":{"filename":"/fw/%CODE","format":"raw"},` +
		`"nvram-template":{"filename":"/fw/%VARS","format":"raw"}},"targets":[{"architecture":"x86_64","machines":["%M"]}],"features":[%F]}`
	describe := func(code, vars, machines, features string) *fstest.MapFile {
		r := strings.NewReplacer("%CODE", code, "%VARS", vars, "%M", machines, "%F", features)
		return &fstest.MapFile{Data: []byte(r.Replace(descr))}
	}
	described := fstest.MapFS{
		"usr/share/qemu/firmware/40-secure.json": describe("secure", "ms", "pc-q35-*", `"requires-smm","secure-boot"`),
		"usr/share/qemu/firmware/60-plain.json":  describe("plain", "vars", "pc-q35-*", ""),
		"usr/share/qemu/firmware/70-pc.json":     describe("pc", "pcvars", "pc-i440fx-*", ""),
		"usr/share/qemu/firmware/80-broken.json": {Data: []byte("{")},
		"etc/qemu/firmware/70-pc.json":           describe("mine", "minevars", "pc-i440fx-*", ""),
		"fw/secure":                              {}, "own/OVMF_CODE.fd": {}, "own/OVMF_VARS.fd": {}, "own/x.secboot.fd": {},
	}
	bare := fstest.MapFS{"usr/share/OVMF/OVMF_CODE_4M.fd": {}, "usr/share/OVMF/OVMF_VARS_4M.fd": {}}
	for name, c := range map[string]struct {
		root    fstest.MapFS
		fw      hypervisor.Firmware
		machine string
		want    flash
		err     string
	}{
		"plain before secure":    {described, hypervisor.Firmware{}, "q35", flash{code: "/fw/plain", vars: "/fw/vars", format: "raw"}, ""},
		"versioned machine":      {described, hypervisor.Firmware{}, "pc-q35-7.2", flash{code: "/fw/plain", vars: "/fw/vars", format: "raw"}, ""},
		"/etc hides /usr":        {described, hypervisor.Firmware{}, "pc", flash{code: "/fw/mine", vars: "/fw/minevars", format: "raw"}, ""},
		"own variables":          {described, hypervisor.Firmware{Vars: "/v"}, "q35", flash{code: "/fw/plain", vars: "/v", format: "raw"}, ""},
		"secure when asked for":  {described, hypervisor.Firmware{Code: "/fw/secure"}, "q35", flash{code: "/fw/secure", vars: "/fw/ms", format: "raw", secure: true}, ""},
		"own code, its pair":     {described, hypervisor.Firmware{Code: "/own/OVMF_CODE.fd"}, "q35", flash{code: "/own/OVMF_CODE.fd", vars: "/own/OVMF_VARS.fd"}, ""},
		"own code without pair":  {described, hypervisor.Firmware{Code: "/own/x.secboot.fd"}, "q35", flash{}, "efi_firmware_vars"},
		"code that is not there": {described, hypervisor.Firmware{Code: "/no"}, "q35", flash{}, `efi_firmware_code = "/no"`},
		"no description":         {bare, hypervisor.Firmware{}, "q35", flash{code: "/usr/share/OVMF/OVMF_CODE_4M.fd", vars: "/usr/share/OVMF/OVMF_VARS_4M.fd"}, ""},
		"nothing installed":      {fstest.MapFS{}, hypervisor.Firmware{}, "q35", flash{}, "apt-get install ovmf"},
	} {
		got, err := findFlash(c.root, c.fw, "amd64", c.machine)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %+v, %v; want %+v, %q", name, got, err, c.want, c.err)
		}
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	m := models{bus: parseModels([]byte(`Network devices:
name "e1000", bus PCI, alias "e1000-82540em", desc "Intel"
name "usb-storage", bus usb-bus
name "none-bus-device", desc "x"
`))}
	want := map[string]string{"e1000": "PCI", "e1000-82540em": "PCI", "usb-storage": "usb-bus"}
	if diff := cmp.Diff(want, m.bus); diff != "" {
		t.Errorf("models (-want +got):\n%s", diff)
	}
	m.types = map[string]map[string]string{"usb-storage": parseProperties([]byte(
		"usb-storage options:\n  removable=<bool>         -  (default: false)\n  bootindex=<int32>\n  drive=<str>  - Node\n  logical_block_size=<size> - x\n"))}
	for device, want := range map[string]string{
		"e1000,netdev=a": "e1000,netdev=a",
		"usb-storage,drive=1,bootindex=2,removable=on,logical_block_size=512": `{"bootindex":2,"drive":"1","driver":"usb-storage","logical_block_size":512,"removable":true}`,
		"usb-storage,removable=off,bootindex=x":                               `{"bootindex":"x","driver":"usb-storage","removable":false}`,
	} {
		if got := m.late(device); got != want {
			t.Errorf("late(%s) = %s; want %s", device, got, want)
		}
	}
}

func TestDecodePPM(t *testing.T) {
	t.Parallel()
	img, err := decodePPM(strings.NewReader("P6\n2 1\n255\n\x01\x02\x03\xff\xfe\xfd"))
	if err != nil {
		t.Fatal(err)
	}
	if got := color.RGBAModel.Convert(img.At(1, 0)); got != (color.RGBA{0xff, 0xfe, 0xfd, 0xff}) {
		t.Errorf("pixel %v", got)
	}
	for _, bad := range []string{"", "P5\n1 1\n255\n\x00", "P6\n0 1\n255\n", "P6\n99999999 9\n255\n", "P6\n1 1\n65535\n\x00", "P6\n2 2\n255\n\x00\x00"} {
		if _, err := decodePPM(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken for a picture", bad)
		}
	}
}

func FuzzDecodePPM(f *testing.F) {
	f.Add([]byte("P6\n2 1\n255\n\x01\x02\x03\xff\xfe\xfd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 20 { // a head may promise more than the fuzzer's memory
			data = data[:20]
		}
		if img, err := decodePPM(bytes.NewReader(data)); err == nil && img.Bounds().Empty() {
			t.Error("an empty picture")
		}
	})
}

func TestMachineOfQemuArgs(t *testing.T) {
	t.Parallel()
	s := settings{Machine: "pc", QemuArgs: [][]string{{"-machine", "vmport=off"}, {"-M", "type=q35,accel=tcg"}}}
	if got := s.machine("amd64"); got != "q35" {
		t.Errorf("machine %q; want q35", got)
	}
	if got := (settings{}).machine("arm64"); got != "virt" {
		t.Errorf("machine %q; want virt", got)
	}
}
