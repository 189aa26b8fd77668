#!/usr/bin/env bash
# What a change costs: the demo template cold, again unchanged, with its last
# script changed and with its first script changed; and the time Debian's Packer
# takes for the same change, all in one run. The builds go to a daemon, as on a
# build host. Between two of them it has time to write its checkpoints, which it
# does after a build, as it has while somebody edits a script.
#
#   test/bench/rebuild.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=build/bench-rebuild
template=$work/debian12
source test/bench/lib.sh

run_boxkiln() {
	timed "boxkiln-$1" bin/boxkiln build --data "$work/data" -color=false \
		--box bench/debian12 --box-version "$2" -var "output_directory=$work/boxkiln" "$template"
}

# login NAME: seconds from the beginning of the thaw to the login, from the build's events.
login() {
	local id
	id=$(bin/boxkiln builds ls --data "$work/data" --json --limit 1 | sed -E 's/.*"id":"([^"]*)".*/\1/')
	bin/boxkiln builds log --data "$work/data" --json "$id" >"$work/$1.events"
	awk 'function seconds(line,   t) {
			match(line, /T[0-9:.]+Z/); split(substr(line, RSTART + 1, RLENGTH - 2), t, ":")
			return t[1] * 3600 + t[2] * 60 + t[3]
		}
		/"step":"create-machine","phase":"began"/ { from = seconds($0) }
		/"mark":"login"/ { if (from) { printf "%.2f", seconds($0) - from; exit } }' "$work/$1.events"
}

# written waits until the daemon writes no checkpoint any more: memories come last.
written() {
	local before= now
	until now=$(bin/boxkiln cache ls --data "$work/data" --json) && [ -n "$now" ] && [ "$now" = "$before" ]; do
		before=$now
		sleep 3
	done
}

row() { # row WHAT SECONDS
	awk -v what="$1" -v s="$2" -v p="$packer" 'BEGIN { printf "%-28s %8.2f s %8.1f times faster\n", what, s, p / s }'
}

rm -rf "$work"
mkdir -p "$work"
cp -r examples/debian12 "$template"
bin/boxkiln serve --data "$work/data" --listen "" >"$work/daemon.log" 2>&1 &
daemon=$!
trap 'kill $daemon; wait $daemon || true' EXIT
until [ -S "$work/data/daemon.sock" ]; do sleep 0.05; done

run_boxkiln cold 1.0.0
cold=$took
written
run_boxkiln unchanged 1.0.1
unchanged=$took
written
echo "# changed" >>"$template/scripts/demo.sh"
run_boxkiln last 1.0.2
last=$took
last_login=$(login last)
written
echo "# changed" >>"$template/scripts/vagrant-keys.sh"
run_boxkiln first 1.0.3
first=$took
first_login=$(login first)
written
echo "# changed again" >>"$template/scripts/demo.sh"
timed packer packer build -color=false -var "output_directory=$work/packer" "$template"
packer=$took

printf '%-28s %8.2f s\n' "Packer, any change" "$packer"
row "Boxkiln, cold" "$cold"
row "Boxkiln, first script" "$first"
row "Boxkiln, last script" "$last"
row "Boxkiln, unchanged" "$unchanged"
echo "from the beginning of the thaw to the login: $last_login s and $first_login s"
du -sh "$work/data/checkpoints" | awk '{ print "checkpoints on disk: " $1 }'
