# `make` alone prints this help: the text after ## on a line is what it shows.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# gin's MessagePack codec is a tenth of the program and of its memory, and nothing here speaks MessagePack.
TAGS    := nomsgpack
ISO     := build/iso/debian12-mini.iso

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/boxkiln
	$(GO) build -trimpath -tags $(TAGS) -ldflags '-X main.version=$(VERSION)' -o build/linked/boxkiln ./cmd/boxkiln
	@# A copy, as an installation is: the linker's own file lies in the page cache in pieces of 2 MiB, and Linux 6.18 maps them
	@# whole, which makes a daemon 16 MiB larger.
	@install -D -m 0755 build/linked/boxkiln bin/boxkiln

.PHONY: iso
iso: ## make the small Debian installer CD that demo and tests boot
	@test/setup/packages.sh iso
	@test/iso/make-iso.sh $(ISO)

# The stand-ins for products that the tests cannot have: program:folder below test.
SIMULATORS := VBoxManage:sim/vbox vmrun:sim/vmware vmware-vdiskmanager:sim/vmware ovftool:sim/vmware vmware:sim/vmware \
	vmware-vmx:sim/vmware ec2sim:ec2sim

.PHONY: simulators
simulators: ## build bin/sim/: command lines like those of VirtualBox and others, before guests under QEMU
	@$(GO) build -o build/linked/sim/ $(sort $(addprefix ./test/,$(foreach s,$(SIMULATORS),$(lastword $(subst :, ,$s)))))
	@for s in $(SIMULATORS); do install -D -m 0755 "build/linked/sim/$${s##*[:/]}" "bin/sim/$${s%%:*}" || exit 1; done

.PHONY: demo
demo: ## build a box from that CD, publish it and serve it (ONESHOT=1: stop after proving the download)
	@test/setup/packages.sh demo
	@$(MAKE) --no-print-directory build iso
	@test/setup/libvirt.sh
	@ONESHOT=$(ONESHOT) test/demo.sh

.PHONY: test
test: ## install what the tests need and run them all, real guests included
	@test/test.sh

.PHONY: check
check: ## formatting, vet, lint and the quick tests with the race detector
	@test/check.sh

.PHONY: bench-packer
bench-packer: ## the same template under Packer and Boxkiln, in turn (RUNS=n)
	@test/setup/packages.sh test
	@$(MAKE) --no-print-directory build iso
	@test/setup/libvirt.sh
	@test/bench/packer.sh $(RUNS)

.PHONY: bench-rebuild
bench-rebuild: ## what a changed script costs under Boxkiln, and under Packer
	@test/setup/packages.sh test
	@$(MAKE) --no-print-directory build iso
	@test/setup/libvirt.sh
	@test/bench/rebuild.sh

.PHONY: bench-registry
bench-registry: ## downloads against nginx, catalogs, uploads against dd, and the daemon's memory
	@test/setup/packages.sh test
	@$(MAKE) --no-print-directory build
	@$(GO) run ./test/bench/registry

.PHONY: bench-export
bench-export: ## all packages of a 4 GiB disk, against qemu-img, tar and gzip one after the other (ROUNDS=n)
	@test/setup/packages.sh test
	@$(MAKE) --no-print-directory build
	@$(GO) run ./test/bench/export -rounds $(or $(ROUNDS),1)

.PHONY: bench-ami
bench-ami: ## a 4 GiB disk to an AMI by EBS direct, against aws s3 cp of it (ROUNDS=n)
	@test/setup/packages.sh test
	@$(MAKE) --no-print-directory build simulators
	@$(GO) run ./test/bench/ami -rounds $(or $(ROUNDS),1)

.PHONY: deps
deps: ## install the Debian packages for building, demo and tests
	@test/setup/packages.sh test

.PHONY: clean
clean: ## remove bin/ and build/
	rm -rf bin build
