package virtualbox

import (
	"context"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
)

// exported makes a machine whose guest ends by itself, lets it do so, and exports it.
func exported(t *testing.T, d *Driver, args map[string]any) hypervisor.Artifact {
	t.Helper()
	m := made(t, d, withGuest(t, plan(t, TypeISO, install, args), hypervisortest.NanoGuest()))
	a, err := m.Export(t.Context(), t.TempDir(), hypervisor.ExportOptions{Name: "golden"})
	if err != nil {
		t.Fatalf("Export: %v", err)
	}
	return a
}

// merged is smallArgs with more.
func merged(more map[string]any) map[string]any {
	args := smallArgs()
	for k, v := range more {
		args[k] = v
	}
	return args
}

// nic is a network card of an exported machine.
type exportedMachine struct {
	Name    string `xml:"VirtualSystem>VirtualHardwareSection>System>VirtualSystemIdentifier"`
	Forward []struct {
		Name string `xml:"name,attr"`
	} `xml:"VirtualSystem>Machine>Hardware>Network>Adapter>NAT>Forwarding"`
	UART []struct {
		Slot string `xml:"slot,attr"`
	} `xml:"VirtualSystem>Machine>Hardware>UART>Port"`
}

// TestExportIsClean: what is exported has the template's name, and nothing of the build.
func TestExportIsClean(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"6.1", "7.0"} {
		h := newHost(t, profile)
		d := h.driver(install)
		cd := filepath.Join(t.TempDir(), "seed.iso")
		floppy := filepath.Join(t.TempDir(), "seed.flp")
		for path, size := range map[string]int64{cd: 1 << 20, floppy: 1474560} {
			if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
				t.Fatal(err)
			}
		}
		spec := withGuest(t, plan(t, TypeISO, install, merged(map[string]any{"vm_name": "debian", "iso_interface": "sata", "vboxmanage_post": [][]string{{"modifyvm", "{{ .Name }}", "--description", "by {{ .Name }}"}}})), hypervisortest.NanoGuest())
		spec.CDs, spec.Floppy = []string{cd, cd}[:1], floppy
		m := made(t, d, spec)
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		serial, err := os.ReadFile(m.SerialLog())
		if err != nil || !strings.Contains(string(serial), hypervisortest.NanoText) {
			t.Errorf("serial log %q, %v", serial, err)
		}
		a, err := m.Export(t.Context(), t.TempDir(), hypervisor.ExportOptions{Name: "ignored"})
		if err != nil {
			t.Fatalf("Export: %v", err)
		}
		data, err := os.ReadFile(a.Files[0].Path)
		if err != nil {
			t.Fatal(err)
		}
		var got exportedMachine
		if err := xml.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if got.Name != "debian" || len(got.Forward) > 0 || strings.Contains(string(data), "seed.") || strings.Contains(string(data), serialFile) {
			t.Errorf("%s exported %+v:\n%s", profile, got, data)
		}
		in, err := d.vbox.info(t.Context(), m.uuid)
		if err != nil || in.controllerNamed(floppyController) || len(in.disks()) != 1 || len(in.attachments) != 1 {
			t.Errorf("%s: after the export: %+v, %v", profile, in, err)
		}
	}
}

// TestStartFromExported imports what was exported, by OVF and OVA, freezes and thaws it.
func TestStartFromExported(t *testing.T) {
	t.Parallel()
	for format, profile := range map[string]string{"ovf": "6.1", "ova": "7.1"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			d := newHost(t, profile).driver(install)
			a := exported(t, d, merged(map[string]any{"format": format, "export_opts": []string{"--manifest"}}))
			source := a.Files[0].Path
			spec := plan(t, TypeOVF, install, map[string]any{"source_path": source, "guest_additions_mode": "disable", "import_opts": "keepallmacs", "headless": true})
			m := made(t, d, spec)
			thawed := frozenAndThawed(t, d, m, spec)
			for _, m := range []*Machine{m, thawed} {
				if err := m.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := m.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if serial, err := os.ReadFile(m.SerialLog()); err != nil || !strings.Contains(string(serial), hypervisortest.NanoText) {
					t.Errorf("serial log %q, %v", serial, err)
				}
			}
		})
	}
}

// frozenAndThawed freezes a machine that is off, and returns one that was thawed from it.
func frozenAndThawed(t *testing.T, d *Driver, m *Machine, spec hypervisor.Spec) *Machine {
	t.Helper()
	dir := tempDir(t)
	f, err := m.Freeze(t.Context(), dir)
	if err != nil {
		t.Fatalf("Freeze: %v", err)
	}
	spec.Name += "-2"
	spec.Dir = filepath.Join(tempDir(t), "vm")
	if err := os.Mkdir(spec.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	thawed, err := d.Thaw(t.Context(), f, dir, spec)
	if err != nil {
		t.Fatalf("Thaw: %v", err)
	}
	t.Cleanup(func() {
		if err := thawed.Destroy(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Destroy: %v", err)
		}
	})
	return thawed.(*Machine)
}

// TestBadAppliance: what cannot be imported says which file it was, and nothing is left.
func TestBadAppliance(t *testing.T) {
	t.Parallel()
	d := newHost(t, "7.0").driver(install)
	path := filepath.Join(t.TempDir(), "bad.ovf")
	if err := os.WriteFile(path, []byte("<Envelope"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := plan(t, TypeOVF, install, map[string]any{"source_path": path, "guest_additions_mode": "disable"})
	if _, err := d.Create(t.Context(), spec); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Create: %v; want an error that names %s", err, path)
	}
	wantNothing(t, spec.Dir)
}

// TestBorrowed: a machine of the user is changed from a snapshot on, gets another one, and stays as it was.
func TestBorrowed(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0")
	d := h.driver(install)
	h.manageOK(t, "createvm", "--name", "golden", "--ostype", "Other", "--register")
	defer h.manageOK(t, "unregistervm", "golden", "--delete")
	h.manageOK(t, "modifyvm", "golden", "--nic1", "nat", "--memory", "64")
	h.manageOK(t, "snapshot", "golden", "take", "base")
	before := h.manageOK(t, "showvminfo", "golden", "--machinereadable")
	args := map[string]any{"vm_name": "golden", "attach_snapshot": "base", "target_snapshot": "done", "guest_additions_mode": "disable", "skip_export": true}
	spec := plan(t, TypeVM, install, args)
	m := made(t, d, spec)
	if m.Handle().Name != spec.Name {
		t.Errorf("handle %+v", m.Handle())
	}
	other := plan(t, TypeVM, install, args)
	other.Tag.Build = "b2"
	if _, err := d.Create(t.Context(), other); err == nil || !strings.Contains(err.Error(), "build b1 has the machine") {
		t.Errorf("a second build of the machine: %v", err)
	}
	if err := m.Freezable(t.Context()); err == nil || errors.Is(err, hypervisor.ErrUnsupported) {
		t.Errorf("Freezable: %v", err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	in, err := d.vbox.info(t.Context(), m.uuid)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.powerOff(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if a, err := m.Export(t.Context(), t.TempDir(), hypervisor.ExportOptions{Name: "x"}); err != nil || len(a.Files) > 0 {
		t.Fatalf("Export = %+v, %v", a, err)
	}
	again, err := h.driver(install).Open(t.Context(), hypervisor.Handle{Driver: Name, Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir})
	if err != nil {
		t.Fatalf("Open by the name that the ledger knows: %v", err)
	}
	if err := again.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := h.manageOK(t, "showvminfo", "golden", "--machinereadable")
	if diff := cmp.Diff(settled(before), settled(after)); diff != "" {
		t.Errorf("the machine has changed (-before +after):\n%s", diff)
	}
	if s, err := d.vbox.snapshots(t.Context(), "golden"); err != nil || !s.has("base") || !s.has("done") {
		t.Errorf("snapshots %+v, %v", s, err)
	}
	if list, err := d.List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("List = %v, %v", list, err)
	}
}

// settled is machine-readable output without what tells the time, and what the snapshots are.
func settled(out string) []string {
	var lines []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "VMStateChangeTime") && !strings.Contains(line, "Snapshot") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestBorrowRefuses: a machine that cannot be borrowed is told before it is touched.
func TestBorrowRefuses(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0")
	d := h.driver(install)
	h.manageOK(t, "createvm", "--name", "golden", "--ostype", "Other", "--register")
	defer h.manageOK(t, "unregistervm", "golden", "--delete")
	h.manageOK(t, "snapshot", "golden", "take", "base")
	for want, args := range map[string]map[string]any{
		"no machine of that name": {"vm_name": "nobody"},
		"the machine has only":    {"vm_name": "golden", "attach_snapshot": "none"},
		"force_delete_snapshot":   {"vm_name": "golden", "target_snapshot": "base"},
	} {
		args["guest_additions_mode"] = "disable"
		if _, err := d.Create(t.Context(), plan(t, TypeVM, install, args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v; want %q", args, err, want)
		}
	}
	if r, ok, err := d.vbox.record(t.Context(), "golden"); err != nil || ok {
		t.Errorf("the machine has the record %+v, %v", r, err)
	}
}

// TestAdditions: the image of this host is fetched and attached or uploaded, and the guest learns the version.
func TestAdditions(t *testing.T) {
	t.Parallel()
	image := filepath.Join(t.TempDir(), "VBoxGuestAdditions.iso")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 1<<20)); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, "7.0", "BOXKILN_SIM_VBOX_ADDITIONS="+image)
	d := h.driver(install)
	spec := plan(t, TypeISO, install, merged(map[string]any{"guest_additions_mode": "upload", "guest_additions_path": "GA_{{ .Version }}.iso"}))
	wanted, err := d.Fetches(t.Context(), spec)
	if diff := cmp.Diff([]hypervisor.Fetch{{Name: additionsName, URL: image, Checksum: "none"}}, wanted); diff != "" || err != nil {
		t.Fatalf("Fetches: %v (-want +got):\n%s", err, diff)
	}
	spec.Fetched = map[string]string{additionsName: image}
	list, err := made(t, d, spec).Uploads(t.Context())
	want := []hypervisor.Upload{
		{What: "VirtualBox version info (7.0.12)", To: ".vbox_version", Text: "7.0.12"},
		{What: "VirtualBox guest additions ISO", To: "GA_7.0.12.iso", Path: image},
	}
	if diff := cmp.Diff(want, list); diff != "" || err != nil {
		t.Errorf("Uploads: %v (-want +got):\n%s", err, diff)
	}
	attach := plan(t, TypeISO, install, merged(map[string]any{"guest_additions_mode": "attach"}))
	attach.Fetched = spec.Fetched
	m := made(t, d, attach)
	in, err := d.vbox.info(t.Context(), m.uuid)
	if err != nil || !in.taken("IDE", 1, 0) {
		t.Errorf("the image is not attached: %+v, %v", in.attachments, err)
	}
}

// TestAdditionsElsewhere: without an image on this host the version's own is downloaded, unless the template says from where.
func TestAdditionsElsewhere(t *testing.T) {
	t.Parallel()
	d := newHost(t, "6.1", "BOXKILN_SIM_VBOX_ADDITIONS=/nowhere.iso").driver(install)
	const folder = "https://download.virtualbox.org/virtualbox/6.1.36/"
	digest := strings.Repeat("a", 64)
	for _, c := range []struct {
		args map[string]any
		want hypervisor.Fetch
	}{
		{map[string]any{}, hypervisor.Fetch{URL: folder + "VBoxGuestAdditions_6.1.36.iso", Checksum: "file:" + folder + "SHA256SUMS"}},
		{map[string]any{"guest_additions_sha256": digest}, hypervisor.Fetch{URL: folder + "VBoxGuestAdditions_6.1.36.iso", Checksum: "sha256:" + digest}},
		{map[string]any{"guest_additions_url": "http://h/{{ .Version }}.iso"}, hypervisor.Fetch{URL: "http://h/6.1.36.iso", Checksum: "none"}},
	} {
		c.want.Name = additionsName
		got, err := d.Fetches(t.Context(), plan(t, TypeISO, install, c.args))
		if diff := cmp.Diff([]hypervisor.Fetch{c.want}, got); diff != "" || err != nil {
			t.Errorf("%v: %v (-want +got):\n%s", c.args, err, diff)
		}
	}
}

// TestTemplateCommands: vboxmanage runs before the machine starts, with its name, and a command that fails ends the build.
func TestTemplateCommands(t *testing.T) {
	t.Parallel()
	d := newHost(t, "7.0").driver(install)
	spec := plan(t, TypeISO, install, merged(map[string]any{"vboxmanage": [][]string{{"modifyvm", "{{ .Name }}", "--memory", "77"}, {"modifyvm", "{{.Name}}", "--description", "{{ .HTTPIP }}:{{ .HTTPPort }}"}}}))
	spec.HTTPPort = 8123
	m := made(t, d, spec)
	in, err := d.vbox.info(t.Context(), m.uuid)
	if err != nil || in.memory != 77 {
		t.Errorf("memory %d, %v; want 77", in.memory, err)
	}
	out, err := d.vbox.run(t.Context(), "showvminfo", m.uuid, "--machinereadable")
	if err != nil || !strings.Contains(out, "10.0.2.2:8123") {
		t.Errorf("the address was not filled in: %v", err)
	}
	for want, command := range map[string][]string{"vboxmanage[0]": {"modifyvm", "{{ .Name }}", "--no-such-switch"}, "known are .Name": {"modifyvm", "{{ .Nome }}"}} {
		bad := plan(t, TypeISO, install, merged(map[string]any{"vboxmanage": [][]string{command}}))
		if _, err := d.Create(t.Context(), bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", command, err, want)
		}
		wantNothing(t, bad.Dir)
	}
}

// TestControllers makes machines with disks on every bus.
func TestControllers(t *testing.T) {
	t.Parallel()
	d := newHost(t, "7.1").driver(install)
	for _, bus := range []string{"ide", "sata", "scsi", "pcie", "virtio"} {
		m := made(t, d, plan(t, TypeISO, install, map[string]any{"disk_size": 1, "hard_drive_interface": bus, "guest_additions_mode": "disable", "hard_drive_nonrotational": true}))
		in, err := d.vbox.info(t.Context(), m.uuid)
		if err != nil || len(in.disks()) != 1 || !in.controllerNamed("IDE") {
			t.Errorf("%s: %+v, %v", bus, in, err)
		}
	}
}

// TestKept: with keep_registered the machine stays with the user, under the template's name and in VirtualBox's own folder.
func TestKept(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0")
	d := h.driver(install)
	spec := withGuest(t, plan(t, TypeISO, install, merged(map[string]any{"vm_name": "kept", "keep_registered": true})), hypervisortest.NanoGuest())
	m := made(t, d, spec)
	if _, err := m.Export(t.Context(), t.TempDir(), hypervisor.ExportOptions{Name: "x"}); err != nil {
		t.Fatalf("Export: %v", err)
	}
	defer func() { // by a manager that waits for the lock
		if _, err := d.vbox.run(context.WithoutCancel(t.Context()), "unregistervm", "kept", "--delete"); err != nil {
			t.Error(err)
		}
	}()
	if err := m.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	handle := hypervisor.Handle{Driver: Name, Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir}
	if _, err := d.Open(t.Context(), handle); !errors.Is(err, hypervisor.ErrNotFound) {
		t.Errorf("Open of a machine that was given away: %v; want ErrNotFound", err)
	}
	if err := os.RemoveAll(spec.Dir); err != nil { // as when the build ends
		t.Fatal(err)
	}
	h.manageOK(t, "startvm", "kept", "--type", "headless")
	in, err := d.vbox.info(t.Context(), "kept")
	if err != nil || below(spec.Dir, in.config) || len(in.disks()) != 1 || below(spec.Dir, in.disks()[0].medium) {
		t.Errorf("the machine is at %s with %+v, %v", in.config, in.disks(), err)
	}
	waitFor(t, func() bool { in, err := d.vbox.info(t.Context(), "kept"); return err == nil && in.off() })
}
