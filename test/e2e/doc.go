// Package e2e tests the built command against real hypervisors, installers and clients: bin/boxkiln over libvirt and QEMU,
// the Debian installer, iPXE, Vagrant, Chromium.
//
// The tests run where BOXKILN_E2E is 1 (test/test.sh sets it), and then whatever they need must be there; otherwise they are
// skipped. Guests come in three prices: boot sectors that end within a second (sector_test.go), firmware that fetches and
// boots something (GRUB, iPXE), and the system of examples/debian12. That is installed once under BIOS and once under UEFI,
// by TestDebian, whose parts start from the boxes and the checkpoints that this leaves; a part that is run alone installs
// what it lacks. Tests that need an installation to happen have a data directory of their own.
package e2e
