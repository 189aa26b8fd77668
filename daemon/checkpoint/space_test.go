package checkpoint

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Proportions of the guest that the figures in the design were measured on: a disk of 470 MB, a memory file of 234 MB. Here
// they are kilobytes.
const (
	guestDisk   = 470 << 10
	guestMemory = 234 << 10
	scale       = 8 // so that blocks of the file system do not decide
)

// keepGuest freezes the guest after a step that changed a little of its disk and a tenth of its memory.
func (k *kiln) keepGuest(t *testing.T, parent ID, seed byte, disk int) Entry {
	t.Helper()
	d, err := k.Draft(t.Context(), "b1", parent)
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, disk)
	rand.NewChaCha8([32]byte{seed}).Read(noise)
	for name, data := range map[string][]byte{"memory": memoryOf(seed, guestMemory*scale), "disk": noise} {
		if err := os.WriteFile(filepath.Join(d.Dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := &hypervisor.Frozen{Memory: "memory", Disks: []hypervisor.FrozenDisk{{Name: "disk"}}}
	e, err := d.Commit(t.Context(), metaOf("fp"+string('a'+seed), seed, m), "k")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTenCheckpointsTakeLessThanFourDisks(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	last := k.keepGuest(t, "", 0, guestDisk*scale)
	for i := range byte(9) {
		last = k.keepGuest(t, last.ID, i+1, guestDisk*scale/50)
	}
	var onDisk int64
	err := filepath.WalkDir(k.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		sig, err := look(path)
		onDisk += sig.space
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(4 * guestDisk * scale); onDisk >= limit {
		t.Errorf("they take %d bytes, and four disks are %d", onDisk, limit)
	}
	if rows := k.size(t); rows != onDisk {
		t.Errorf("the rows say %d bytes, and the file system %d", rows, onDisk)
	}
}
