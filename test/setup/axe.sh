#!/usr/bin/env bash
# Fetches axe-core, with which the tests of the pages look for what keeps people
# from using them, and prints the path of its script.
#
# It stays in build/ and comes from npm's registry through npm, Debian's unless
# there is another one; the checksum is that of the version that is named here.
set -euo pipefail

version=4.14.1
sha256=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
script=$PWD/build/axe-core-$version/axe.min.js

if [ ! -f "$script" ]; then
	command -v npm >/dev/null || test/setup/packages.sh axe >&2
	mkdir -p build
	work=$(mktemp -d "$PWD/build/axe.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	npm pack --silent --pack-destination "$work" "axe-core@$version" >/dev/null
	echo "$sha256  $work/axe-core-$version.tgz" | sha256sum --check --quiet >&2
	tar -xzf "$work/axe-core-$version.tgz" -C "$work"
	rm -rf "build/axe-core-$version"
	mv "$work/package" "build/axe-core-$version"
fi
echo "$script"
