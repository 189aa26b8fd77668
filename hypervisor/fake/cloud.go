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
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// imagesFile keeps the images of a host that is a cloud, for the host after the next restart.
const imagesFile = "images.json"

// cloudImage is an image of a machine, which may be gone.
type cloudImage struct {
	hypervisor.RemoteID
	Machine string         `json:"machine"`
	Tag     hypervisor.Tag `json:"tag"`
}

func readImages(root string) (images []cloudImage, err error) {
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
	all := m.host.without(func(i cloudImage) bool { return i.of(r.Handle) })
	var ids []hypervisor.RemoteID
	for _, region := range r.Script.Regions {
		sum := sha256.Sum256([]byte(r.Handle.UUID + region))
		const digits = 17 // as EC2's have
		id := hypervisor.RemoteID{Region: region, ID: "ami-" + hex.EncodeToString(sum[:])[:digits]}
		ids, all = append(ids, id), append(all, cloudImage{id, r.Handle.Name, r.Handle.Tag})
	}
	return ids, m.host.setImages(all)
}

// of tells whether it was made of a machine.
func (i cloudImage) of(h hypervisor.Handle) bool { return i.Machine == h.Name && i.Tag == h.Tag }

// without are the images but some. The caller holds mu.
func (h *Host) without(some func(cloudImage) bool) []cloudImage {
	return slices.DeleteFunc(slices.Clone(h.images), some)
}

// setImages keeps a list of images. The caller holds mu.
func (h *Host) setImages(images []cloudImage) error {
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

// Images returns the images that machines became in regions of this host, in the order in which they were made.
func (h *Host) Images() (ids []hypervisor.RemoteID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range h.images {
		ids = append(ids, i.RemoteID)
	}
	return ids
}

// RemoveImage removes an image, as its owner may at any time; one that is gone is no error.
func (h *Host) RemoveImage(id hypervisor.RemoteID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.setImages(h.without(func(i cloudImage) bool { return i.RemoteID == id }))
}

var (
	_ hypervisor.Keeper = (*Driver)(nil)
	_ hypervisor.Imager = (*Driver)(nil)
)

// RemoveImages implements hypervisor.Imager.
func (d *Driver) RemoveImages(_ context.Context, h hypervisor.Handle) error {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	if h.Tag.Install != d.install {
		return fmt.Errorf("images of machine %q: %w", h.Name, hypervisor.ErrForeign)
	}
	return d.host.setImages(d.host.without(func(i cloudImage) bool { return i.of(h) }))
}

// Patience implements hypervisor.Imager.
func (d *Driver) Patience() time.Duration { return patience }

// patience is more than anything here takes.
const patience = time.Minute

// Remains implements hypervisor.Keeper.
func (d *Driver) Remains(_ context.Context, _ hypervisor.Spec, ids []hypervisor.RemoteID) error {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	for _, id := range ids {
		if !slices.ContainsFunc(d.host.images, func(i cloudImage) bool { return i.RemoteID == id }) {
			return fmt.Errorf("image %s: %w", id, hypervisor.ErrImageNotFound)
		}
	}
	return nil
}
