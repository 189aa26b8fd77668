package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const peerDir = "peer"

// peerSteps are what somebody would write who has qemu-img, tar and gzip. The descriptors of machines are of a few
// kilobytes, and made of nothing here.
const peerSteps = `
qcow2:          qemu-img convert -f qcow2 -O qcow2 "$disk" disk.qcow2
raw:            qemu-img convert -f qcow2 -O raw "$disk" disk.raw
vhd:            qemu-img convert -f qcow2 -O vpc -o force_size=on "$disk" disk.vhd
stream vmdk:    qemu-img convert -f qcow2 -O vmdk -o subformat=streamOptimized,adapter_type=lsilogic,hwversion=19 "$disk" box-disk001.vmdk
sparse vmdk:    qemu-img convert -f qcow2 -O vmdk -o subformat=monolithicSparse,adapter_type=lsilogic,hwversion=19 "$disk" disk.vmdk
ova:            tar --format=ustar -cf disk.ova box.ovf box-disk001.vmdk
libvirt box:    ln disk.qcow2 box.img && tar -c metadata.json Vagrantfile box.img | gzip >libvirt.box
virtualbox box: tar -c metadata.json Vagrantfile box.ovf box-disk001.vmdk | gzip >virtualbox.box
vmware box:     tar -c metadata.json Vagrantfile disk.vmx disk.vmdk | gzip >vmware_desktop.box
`

// cost is what a run took.
type cost struct{ wall, processor time.Duration }

// processorTime is that of a process which has ended and of those that it waited for.
func processorTime(p *os.ProcessState) time.Duration { return p.UserTime() + p.SystemTime() }

// peer runs the steps.
func (b *bench) peer(ctx context.Context) (cost, error) {
	dir := filepath.Join(b.work, peerDir)
	if err := emptyDir(ctx, dir); err != nil {
		return cost{}, err
	}
	for _, name := range []string{"metadata.json", "Vagrantfile", "box.ovf", "disk.vmx"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("# descriptor\n", 200)), 0o644); err != nil {
			return cost{}, err
		}
	}
	var total cost
	for line := range strings.Lines(strings.TrimSpace(peerSteps)) {
		name, command, _ := strings.Cut(line, ":")
		cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", command)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "disk="+b.disk)
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return cost{}, fmt.Errorf("%s: %w\n%s", name, err, out)
		}
		took := time.Since(began)
		b.report.Figure("  "+name+", s", took.Seconds())
		total.wall += took
		total.processor += processorTime(cmd.ProcessState)
	}
	return total, nil
}

// emptyDir makes a new folder and waits until nothing is to be written to the disk any more.
func emptyDir(ctx context.Context, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return exec.CommandContext(ctx, "sync").Run()
}
