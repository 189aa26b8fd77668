package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// grubCD makes a CD that only UEFI firmware boots: GRUB with that configuration.
func (k *kiln) grubCD(config string) string {
	k.t.Helper()
	cfg := k.write("grub/grub.cfg", []byte(config))
	app, fat, tree := k.path("grub/bootx64.efi"), k.path("grub/tree/efi.img"), k.path("grub/tree")
	run(k.t, "grub-mkstandalone", "-O", "x86_64-efi", "-o", app, "--locales=", "--fonts=", "--themes=",
		"--install-modules=normal halt", "boot/grub/grub.cfg="+cfg)
	k.write("grub/tree/efi.img", make([]byte, 4<<20))
	run(k.t, "mformat", "-i", fat, "-h", "2", "-s", "32", "-t", "128", "::")
	run(k.t, "mmd", "-i", fat, "::/EFI", "::/EFI/BOOT")
	run(k.t, "mcopy", "-i", fat, app, "::/EFI/BOOT/BOOTX64.EFI")
	run(k.t, "xorriso", "-as", "mkisofs", "-o", k.path("grub.iso"), "-e", "efi.img", "-no-emul-boot", tree)
	return k.path("grub.iso")
}

// TestUEFI: a machine with UEFI boots what only UEFI boots, and its variables are kept.
func TestUEFI(t *testing.T) {
	need(t, "grub-mkstandalone", "mformat", "mmd", "mcopy", "xorriso")
	k := newKiln(t)
	for _, machine := range []string{"pc", "q35"} {
		more := "  efi_boot = true\n  machine_type = \"" + machine + "\"\n  cd_content = { \"user-data\" = \"text\" }\n"
		k.build(k.solo("uefi-"+machine, k.grubCD("halt\n"), nobody+more)).succeed()
		if vars, err := os.Stat(k.path("uefi-" + machine + "/efivars.fd")); err != nil || vars.Size() == 0 {
			t.Errorf("the variables of the firmware are not in the output: %v", err)
		}
		progress(t, "UEFI on %s", machine)
	}
	k.leftovers()
}

// TestKickstart: iPXE's prompt is reached by a key, a kickstart's address is typed there, and the guest fetches it. What it
// fetches next and runs writes to the disk and ends the machine.
func TestKickstart(t *testing.T) {
	need(t)
	iso := "/usr/lib/ipxe/ipxe.iso"
	if _, err := os.Stat(iso); err != nil {
		t.Fatalf("%v: test/setup/packages.sh test installs it", err)
	}
	k := newKiln(t)
	k.write("http/ks.cfg", []byte("# a kickstart\ntext\nreboot\n"))
	k.write("http/sector", sectorGuest(powersOff))
	out := k.build(k.solo("ipxe", iso, nobody+`  http_directory = "`+k.path("http")+`"
  boot_wait      = "2s"
  boot_command = [
    "<leftCtrlOn>b<leftCtrlOff><wait><leftCtrlOn>b<leftCtrlOff><wait><leftCtrlOn>b<leftCtrlOff><wait>",
    "<enter>dhcp && imgfetch http://{{ .HTTPIP }}:{{ .HTTPPort }}/ks.cfg && imgfree",
    " && chain http://{{ .HTTPIP }}:{{ .HTTPPort }}/sector<enter>",
  ]
`)).succeed()
	for _, want := range []string{"seed: GET /ks.cfg: 200, 26 bytes", "seed: GET /sector: 200, 512 bytes"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	k.written("ipxe/disk")
	k.leftovers()
}

// TestResume: a server that hangs up in the middle is asked for the rest.
func TestResume(t *testing.T) {
	need(t)
	k := newKiln(t)
	iso := bootCD(sectorGuest(powersOff), 2000)
	server := &droppingServer{data: iso}
	site := httptest.NewServer(server)
	t.Cleanup(site.Close)
	k.build(k.solo("resume", site.URL+"/sector.iso", nobody)).succeed()
	k.written("resume/disk")
	if got := server.ranges(); len(got) != 2 || got[0] != "" || got[1] != "bytes="+strconv.Itoa(len(iso)/2)+"-" {
		t.Errorf("asked for %q", got)
	}
	k.leftovers()
}

// droppingServer hangs up in the middle of its first answer.
type droppingServer struct {
	data []byte

	mu    sync.Mutex
	asked []string // Range of each GET
}

func (s *droppingServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"one"`)
	if r.Method == http.MethodGet {
		s.mu.Lock()
		s.asked = append(s.asked, r.Header.Get("Range"))
		first := len(s.asked) == 1
		s.mu.Unlock()
		if first {
			w.Header().Set("Content-Length", strconv.Itoa(len(s.data)))
			w.Header().Set("Accept-Ranges", "bytes")
			_, _ = w.Write(s.data[:len(s.data)/2])
			panic(http.ErrAbortHandler)
		}
	}
	http.ServeContent(w, r, "", began, strings.NewReader(string(s.data)))
}

func (s *droppingServer) ranges() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}
