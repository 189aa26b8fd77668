package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

const (
	oursDir  = "ours"
	packages = "libvirt,virtualbox,vmware_desktop,ova,vmx,qcow2,raw,vhd"
)

// ours makes all packages and returns what that took and the most memory of the processes, in bytes.
func (b *bench) ours(ctx context.Context) (took cost, peak int64, err error) {
	dir := filepath.Join(b.work, oursDir)
	if err := emptyDir(ctx, dir); err != nil {
		return cost{}, 0, err
	}
	log, err := os.Create(filepath.Join(b.work, "ours.log"))
	if err != nil {
		return cost{}, 0, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, b.program, "convert", b.disk, "--package", packages, "--output", dir, "--name", "disk", "--guest-os", "debian/12")
	cmd.Stdout, cmd.Stderr = log, log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return cost{}, 0, err
	}
	most := make(chan int64)
	ended := make(chan struct{})
	go func() { most <- watchMemory(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	took.wall = time.Since(began)
	close(ended)
	if peak = <-most; err != nil {
		return cost{}, 0, fmt.Errorf("%w; see %s", err, log.Name())
	}
	took.processor = processorTime(cmd.ProcessState)
	return took, peak, nil
}

// watchMemory looks every few milliseconds at what a process and its descendants have in memory, and returns the largest sum.
// Pages that several of them have count for each, so that the truth is a little less.
func watchMemory(pid int, ended <-chan struct{}) (most int64) {
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		most = max(most, treeMemory(strconv.Itoa(pid)))
		select {
		case <-ended:
			return most
		case <-ticks.C:
		}
	}
}

// treeMemory is the resident memory of a process and its descendants in bytes. Those that end meanwhile count nothing, and
// neither does one that still is what its parent is: between fork and exec it shows its parent's memory a second time.
func treeMemory(pid string) int64 {
	statm, err := os.ReadFile(filepath.Join("/proc", pid, "statm"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	sum := pages * int64(os.Getpagesize())
	program := programOf(pid)
	threads, _ := filepath.Glob(filepath.Join("/proc", pid, "task/*/children"))
	for _, path := range threads {
		children, _ := os.ReadFile(path)
		for _, child := range strings.Fields(string(children)) {
			if programOf(child) != program {
				sum += treeMemory(child)
			}
		}
	}
	return sum
}

// programOf is empty for a process that ended.
func programOf(pid string) string {
	path, _ := os.Readlink(filepath.Join("/proc", pid, "exe"))
	return path
}

// compare has qemu-img compare the disks of all packages with the source.
func (b *bench) compare(ctx context.Context) error {
	dir := filepath.Join(b.work, oursDir)
	for _, box := range []string{"libvirt", "virtualbox", "vmware_desktop"} {
		if err := unpack(ctx, filepath.Join(dir, "disk."+box+".box"), filepath.Join(dir, box)); err != nil {
			return err
		}
	}
	if err := unpack(ctx, filepath.Join(dir, "disk.ova"), filepath.Join(dir, "ova")); err != nil {
		return err
	}
	images := map[string]string{
		"disk.qcow2": disk.QCOW2, "disk.raw": disk.Raw, "disk.vhd": disk.VPC, "disk-vmx/*.vmdk": disk.VMDK, "libvirt/box.img": disk.QCOW2,
		"virtualbox/*.vmdk": disk.VMDK, "vmware_desktop/*.vmdk": disk.VMDK, "ova/*.vmdk": disk.VMDK,
	}
	var wrong error
	for pattern, format := range images {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) != 1 {
			wrong = errors.Join(wrong, fmt.Errorf("%s: %d files, %w", pattern, len(found), err))
			continue
		}
		same, err := disk.Tool{}.Compare(ctx, disk.Image{Path: b.disk, Format: disk.QCOW2}, disk.Image{Path: found[0], Format: format})
		if err == nil && !same {
			err = fmt.Errorf("%s differs from the source", found[0])
		}
		wrong = errors.Join(wrong, err)
	}
	if wrong == nil {
		fmt.Printf("  %d disks are equal to the source\n", len(images))
	}
	return wrong
}

func unpack(ctx context.Context, archive, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "tar", "-xf", archive, "-C", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w\n%s", archive, err, out)
	}
	return nil
}
