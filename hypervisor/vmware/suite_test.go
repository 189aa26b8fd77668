package vmware

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	r := newRig(t, host.EnvTools+"=running")
	hypervisortest.Suite{
		New:     func(*testing.T) hypervisor.Driver { return r.driver(testInstall) },
		Foreign: func(*testing.T) hypervisor.Driver { return r.driver("theirs") },
		Ending:  func(t *testing.T) hypervisor.Spec { return r.spec(t, small(), nanoGuest()) },
		Lasting: func(t *testing.T) hypervisor.Spec { return r.spec(t, small(), typewriter()) },
		ForeignTag: func(s hypervisor.Spec) hypervisor.Spec {
			s.Tag.Install = "theirs"
			return s
		},
		Crash:       r.crash,
		GuestPort:   2222,
		Unfreezable: func(t *testing.T) hypervisor.Spec { return r.spec(t, small(), typewriter()) },
		Format:      formatVMX, DiskFormat: disk.VMDK,
		Content:  content,
		Timeout:  guestTimeout,
		Parallel: true,
	}.Run(t)
}

// crash kills the process of a machine.
func (r *rig) crash(t *testing.T, m hypervisor.Machine) {
	t.Helper()
	pid, ok := qemu.PID(r.home.Machine(m.(*Machine).path))
	if !ok {
		t.Fatal("there is no QEMU")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// content is a digest of what a guest sees of an exported disk.
func content(t *testing.T, f hypervisor.File) string {
	t.Helper()
	return rawDigest(t, f.Path)
}

func rawDigest(t *testing.T, path string) string {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "raw")
	if err := (disk.Tool{}).Convert(t.Context(), disk.ConvertOptions{Src: path, SrcFormat: disk.VMDK, Dst: raw, DstFormat: disk.Raw}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
