package fake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// imagesFile keeps the images of a host that is a cloud, for the host after the next restart.
const imagesFile = "images.json"

func readImages(root string) (images []hypervisor.RemoteID, err error) {
	data, err := os.ReadFile(filepath.Join(root, imagesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &images)
	}
	return images, err
}

// makeImages makes an image in each region of the machine's script. The ids follow from the machine, so that the same is made
// once however often it is asked for.
func (m *Machine) makeImages() ([]hypervisor.RemoteID, error) {
	m.host.mu.Lock()
	defer m.host.mu.Unlock()
	r, err := m.find()
	if err != nil {
		return nil, err
	}
	var ids []hypervisor.RemoteID
	for _, region := range r.Script.Regions {
		sum := sha256.Sum256([]byte(r.Handle.UUID + region))
		const digits = 17 // as EC2's have
		ids = append(ids, hypervisor.RemoteID{Region: region, ID: "ami-" + hex.EncodeToString(sum[:])[:digits]})
	}
	return ids, m.host.setImages(hypervisor.SortIDs(append(slices.Clone(m.host.images), ids...)))
}

// setImages keeps a list of images. The caller holds mu.
func (h *Host) setImages(images []hypervisor.RemoteID) error {
	if len(images) == 0 {
		h.images = nil
		return os.RemoveAll(filepath.Join(h.root, imagesFile))
	}
	data, err := json.Marshal(images)
	if err != nil {
		return err
	}
	h.images = images
	return fsx.WriteFile(filepath.Join(h.root, imagesFile), data, 0o600)
}

// Images returns the images that machines became in regions of this host.
func (h *Host) Images() []hypervisor.RemoteID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.images)
}

// RemoveImage removes an image, as its owner may at any time; one that is gone is no error.
func (h *Host) RemoveImage(id hypervisor.RemoteID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.setImages(slices.DeleteFunc(slices.Clone(h.images), func(i hypervisor.RemoteID) bool { return i == id }))
}

var _ hypervisor.Keeper = (*Driver)(nil)

// Remains implements hypervisor.Keeper.
func (d *Driver) Remains(_ context.Context, _ hypervisor.Spec, ids []hypervisor.RemoteID) error {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	for _, id := range ids {
		if !slices.Contains(d.host.images, id) {
			return fmt.Errorf("image %s: %w", id, hypervisor.ErrImageNotFound)
		}
	}
	return nil
}
