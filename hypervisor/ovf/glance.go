package ovf

import (
	"fmt"
	"io"
)

// Contents is what Glance finds in a descriptor.
type Contents struct {
	Files []File
	// Capacities are what guests see of the disks, in bytes.
	Capacities []int64
}

// Glance reads which files a descriptor names and how large its disks are, and is content with all else that Read refuses: it is for
// those who look at a package of somebody else's and do not import it.
func Glance(r io.Reader) (Contents, error) {
	root, err := parse(r)
	if err != nil {
		return Contents{}, fmt.Errorf("the OVF descriptor cannot be read: %w", err)
	}
	var c Contents
	for _, f := range root.child("References").all("File") {
		file := File{Href: f.attrOr("href", "")}
		file.ID, _ = f.attr("id")
		if file.Name, err = fileName(file.Href); err != nil {
			file.Name = file.Href
		}
		c.Files = append(c.Files, file)
	}
	for _, d := range root.child("DiskSection").all("Disk") {
		if size, err := bytesOf(d.attrOr("capacity", ""), d.attrOr("capacityAllocationUnits", "byte")); err == nil {
			c.Capacities = append(c.Capacities, size)
		}
	}
	return c, nil
}
