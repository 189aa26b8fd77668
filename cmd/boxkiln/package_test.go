package main

import (
	"testing"
)

func TestPackages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.solo(map[string]string{"package": `["libvirt", "virtualbox", "vmware_desktop", "ova", "vmx", "qcow2", "raw", "vhd", "vhdx"]`}, "")
	r := b.run("build", "--box=acme/solo", "--box-version=1.0", template)
	r.wants(t, exitOK, "Published and released: acme/solo 1.0 (libvirt, amd64; ", "'libvirt' provider box: "+b.path("out/packer-solo.libvirt.box"))
	t.Log(r.stdout)
	r = b.run("build", "-force", "--box=acme/solo", "--box-version=1.1", template)
	t.Log(r.stdout)
}
