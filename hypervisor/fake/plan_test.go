package fake_test

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/fake"
	"github.com/boxkiln/boxkiln/internal/schema"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	spec, err := fake.Planner{}.Plan([]byte(`{"cpus": 2, "disk_size": 8, "fake_boot_delay": "3s", "fake_crash_at": "ready",
		"fake_no_memory": "nvme (disk 0)", "fake_freeze_time": "1m", "fake_thaw_time": "2s",
		"boot_command": ["auto url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/p<enter>"], "ssh_username": "x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if spec.CPUs != 2 || spec.MemoryMiB != 512 || len(spec.Disks) != 1 || spec.Disks[0].Size != 8<<20 {
		t.Errorf("%+v", spec)
	}
	var got fake.Script
	if err := json.Unmarshal(spec.Options, &got); err != nil {
		t.Fatal(err)
	}
	want := fake.Script{
		BootDelay: 3 * time.Second, Install: true, SSH: true, CrashAt: fake.PhaseReady,
		NoMemory: "nvme (disk 0)", FreezeTime: time.Minute, ThawTime: 2 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPlanErrors(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		`{"fake_crash_at": "noon"}`: "use one of boot, fetched, ready",
		`{"cpus": -1}`:              "cpus = -1",
		`{"fake_boot_delay": "x"}`:  "not a duration",
		`[]`:                        "cannot be read",
	} {
		if _, err := (fake.Planner{}).Plan([]byte(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	b := schema.New(fake.Name, "", fake.Groups()...)
	for _, a := range b.Args {
		if a.Doc == "" || a.Guest == "" {
			t.Errorf("%s: doc %q, guest %q", a.Name, a.Doc, a.Guest)
		}
	}
}

// TestImagesAreReal lets qemu-img look at exported images, where it is installed.
func TestImagesAreReal(t *testing.T) {
	t.Parallel()
	qemuImg, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed")
	}
	h := newHost(t, t.TempDir(), fake.Options{})
	var s specs
	spec := s.spec(t, `{}`)
	spec.Firmware.UEFI = true
	spec.Disks = []hypervisor.Disk{{Size: 40 << 30}, {Size: 1 << 20}, {Size: 8 << 40}, {}}
	m, err := h.Driver(install).Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Export(t.Context(), t.TempDir(), hypervisor.ExportOptions{Format: "qcow2", Name: "golden"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range a.Files {
		names = append(names, filepath.Base(f.Path))
		if f.Role == hypervisor.RoleDisk {
			checkImage(t, qemuImg, f)
		}
	}
	if diff := cmp.Diff([]string{"golden", "golden-1", "golden-2", "golden-3", "efivars.fd"}, names); diff != "" {
		t.Error(diff)
	}
}

func checkImage(t *testing.T, qemuImg string, f hypervisor.File) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, qemuImg, "check", "-f", "qcow2", f.Path).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", f.Path, err, out)
	}
	out, err := exec.CommandContext(ctx, qemuImg, "info", "-f", "qcow2", "--output=json", f.Path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	if err := json.Unmarshal(out, &info); err != nil || info.Size != f.VirtualSize {
		t.Errorf("qemu-img says %d bytes, the artifact %d (%v)", info.Size, f.VirtualSize, err)
	}
}
