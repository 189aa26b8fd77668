#!/usr/bin/env bash
# All tests, from the machine's set-up to real guests.
#
# Leaves nothing to do by hand: it installs the Debian packages, starts libvirt,
# builds the binary and the installer CD, and runs first the quick tests, then
# those that boot guests, in two lanes as they share the processors.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
began=$SECONDS
stage() { printf '\n=== %s (%d:%02d)\n' "$*" $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)); }

# One set of flags for whatever is compiled, the Makefile's: each other set compiles all of it once more.
export GOFLAGS="${GOFLAGS:-} -trimpath -tags=nomsgpack"

stage "packages"
test/setup/packages.sh test
stage "axe-core"
BOXKILN_AXE=$(test/setup/axe.sh)
stage "libvirt"
test/setup/libvirt.sh
stage "binary, simulators and installer CD"
make --no-print-directory build simulators iso

# Whatever a test needs was installed above: a missing tool is a failure, never a skip.
export BOXKILN_REQUIRE_TOOLS=1
export BOXKILN_BIN=$PWD/bin/boxkiln
export BOXKILN_ISO=$PWD/build/iso/debian12-mini.iso
export BOXKILN_SIM=$PWD/bin/sim
export BOXKILN_AXE
export BOXKILN_ARTEFACTS=${BOXKILN_ARTEFACTS:-$PWD/build/artefacts} # screenshots, to be looked at
failed=0

stage "vet and formatting"
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || {
	echo "not formatted: $unformatted"
	failed=1
}
go vet ./... || failed=1

# Packages that boot machines, or start hundreds of processes, run after all others.
everywhere='^TestEverywhere$'
guests='/(hypervisor/(aws|libvirt|virtualbox|vmware)|test/(e2e|sim/[a-z]+|ec2sim/[a-z]+))$'
stage "quick tests, with the race detector"
# go test starts packages in the order given: those that take longest first, so that none runs on alone at the end.
longest="./cmd/boxkiln ./web ./boxregistry/vagrantapi ./boxregistry/upload ./daemon/checkpoint ./boxregistry/boxfile"
# shellcheck disable=SC2086
go list $longest ./... | grep -Ev "$guests" | awk '!seen[$0]++' | xargs go test -race -vet=off -timeout 60m || failed=1 # vetted above

# This package boots nothing, but kills some two hundred processes, each of which costs a second under the race detector: all of
# them are killed below, without it.
go test -race -vet=off -short ./hypervisor/aws || failed=1

# Emulated machines are waited for and wait themselves: two lanes of tests keep the processors at work. The second one, which
# has a process group of its own so that it ends with this script, tells what it did when both are through.
boot() { BOXKILN_E2E=1 go test -v -count=1 -timeout 120m "$@"; }
second() {
	local status=0
	boot -p 2 $(go list ./... | grep -E "$guests" | grep -Ev '/(hypervisor/libvirt|test/e2e)$') || status=1
	boot -run "$everywhere" ./test/e2e || status=1
	return "$status"
}
stage "tests that boot machines; beside them the simulators under other people's clients, and the drivers on them"
told=$(mktemp)
set -m
second >"$told" 2>&1 &
set +m
trap 'kill -- -$! 2>/dev/null || true; rm -f "$told"' EXIT
boot -p 1 -skip "$everywhere" ./hypervisor/libvirt ./test/e2e || failed=1
stage "the second lane"
wait $! || failed=1
cat "$told"
exit "$failed"
