package hypervisortest

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

func testGuest(t *testing.T, r run) {
	if r.GuestPort == 0 {
		t.Skip("the guest has no port to reach")
	}
	r.wantReachable(t, r.started(t, r.Lasting(t)))
}

// address asks until the guest has an address.
func (r run) address(m hypervisor.Machine) (hypervisor.Endpoint, error) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		e, err := m.Guest(r.ctx, r.GuestPort)
		if !errors.Is(err, hypervisor.ErrNoAddress) {
			return e, err
		}
		select {
		case <-r.ctx.Done():
			return e, context.Cause(r.ctx)
		case <-ticker.C:
		}
	}
}

func testExport(t *testing.T, r run) {
	spec := r.Ending(t)
	m := r.started(t, spec)
	if err := m.Wait(r.ctx); err != nil {
		t.Fatalf("Wait: %v", err)
	}
	r.checkExport(t, m, spec)
}

// checkImages looks at an artifact that lies in a cloud.
func (r run) checkImages(t *testing.T, dir string, a hypervisor.Artifact) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || len(a.Files) > 0 {
		t.Errorf("Export of a machine in a cloud wrote %v, and %+v (%v)", left, a.Files, err)
	}
	if len(a.IDs) == 0 || a.IDs[0].ID == "" {
		t.Errorf("artifact %+v has no image", a)
	}
}

// checkExport exports a machine that is off, and compares what is told of the files with what they are.
func (r run) checkExport(t *testing.T, m hypervisor.Machine, spec hypervisor.Spec) {
	t.Helper()
	dir := t.TempDir()
	a, err := m.Export(r.ctx, dir, hypervisor.ExportOptions{Format: r.exportFormat("qcow2"), Name: "golden"})
	if err != nil {
		t.Fatalf("Export: %v", err)
	}
	if a.Driver != r.driver.Name() || a.Arch != spec.Arch || a.UEFI != spec.Firmware.UEFI {
		t.Errorf("artifact %+v does not describe the machine", a)
	}
	if spec.Remote {
		r.checkImages(t, dir, a)
		return
	}
	disks := 0
	for _, f := range a.Files {
		r.checkExported(t, dir, f)
		if f.Role == hypervisor.RoleDisk {
			disks++
		}
	}
	if disks != len(spec.Disks) {
		t.Errorf("%d disks were exported; want %d", disks, len(spec.Disks))
	}
	r.wantState(t, m, hypervisor.Off)
}

// exportFormat is what Export is asked for: common where the suite says nothing else.
func (r run) exportFormat(common string) string { return cmp.Or(r.Format, common) }

func (r run) checkExported(t *testing.T, dir string, f hypervisor.File) {
	t.Helper()
	info, err := os.Stat(f.Path)
	if err != nil {
		t.Errorf("exported file: %v", err)
		return
	}
	if filepath.Dir(f.Path) != dir || f.Size != info.Size() {
		t.Errorf("file %+v: want it in %s with size %d", f, dir, info.Size())
	}
	if format := cmp.Or(r.DiskFormat, "qcow2"); f.Role == hypervisor.RoleDisk && (f.Format != format || f.VirtualSize <= 0) {
		t.Errorf("disk %+v: want format %s and a virtual size", f, format)
	}
}

func testExportRunning(t *testing.T, r run) {
	m := r.started(t, r.Lasting(t))
	dir := t.TempDir()
	if _, err := m.Export(r.ctx, dir, hypervisor.ExportOptions{Format: r.exportFormat("qcow2"), Name: "golden"}); err == nil {
		t.Fatal("Export of a running machine did not fail")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("a refused Export left %v (%v)", left, err)
	}
}

func testKeyboard(t *testing.T, r run) {
	m := r.started(t, r.Lasting(t))
	k, ok := m.(hypervisor.Keyboard)
	if !ok {
		t.Skip("this driver has no keyboard")
	}
	const pace = 5 * time.Millisecond
	keys := []hypervisor.KeyEvent{{Key: "shift", Down: true}, {Key: "a", Down: true}, {Key: "a"}, {Key: "shift"}}
	begin := time.Now()
	if err := k.Type(r.ctx, keys, pace); err != nil {
		t.Fatalf("Type: %v", err)
	}
	if took, least := time.Since(begin), pace*time.Duration(len(keys)-1); took < least {
		t.Errorf("%d events took %s; want no two closer than %s", len(keys), took, pace)
	}
	if err := k.Type(r.ctx, []hypervisor.KeyEvent{{Key: "no such key", Down: true}}, pace); err == nil {
		t.Error("an unknown key was accepted")
	}
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	wantError(t, "cancelled Type", k.Type(ctx, keys, pace), context.Canceled)
}

func testScreen(t *testing.T, r run) {
	m := r.started(t, r.Lasting(t))
	s, ok := m.(hypervisor.Screen)
	if !ok {
		t.Skip("this driver has no screen")
	}
	img, err := s.Capture(r.ctx)
	if err != nil {
		t.Fatalf("Capture: %v", err)
	}
	if size := img.Bounds().Size(); size.X < 1 || size.Y < 1 {
		t.Errorf("the picture is %v pixels", size)
	}
}

func testSerial(t *testing.T, r run) {
	m := r.started(t, r.Ending(t))
	s, ok := m.(hypervisor.SerialPort)
	if !ok {
		t.Skip("this driver has no serial port")
	}
	if err := m.Wait(r.ctx); err != nil {
		t.Fatalf("Wait: %v", err)
	}
	if _, err := os.ReadFile(s.SerialLog()); err != nil {
		t.Errorf("the serial log cannot be read: %v", err)
	}
}
