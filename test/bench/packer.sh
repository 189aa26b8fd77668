#!/usr/bin/env bash
# Builds the same template with Debian's Packer and with Boxkiln, in turn, each
# time from nothing, and prints times, box sizes and the ratio.
#
#   test/bench/packer.sh [RUNS]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
runs=${1:-1}
template=examples/debian12
work=build/bench
source test/bench/lib.sh

megabytes() { awk -v b="$(stat -c %s "$1")" 'BEGIN { printf "%.1f", b / 1e6 }'; }

run_packer() {
	rm -rf "$work/packer"
	timed "packer-$1" packer build -color=false -var "output_directory=$work/packer" "$template"
}

run_boxkiln() {
	rm -rf "$work/boxkiln" "$work/data"
	timed "boxkiln-$1" bin/boxkiln build --data "$work/data" -color=false -var "output_directory=$work/boxkiln" "$template"
}

mkdir -p "$work"
rm -f "$work"/times.*
printf '%-4s %10s %10s %12s %12s\n' run packer boxkiln "packer box" "boxkiln box"
for run in $(seq "$runs"); do
	run_packer "$run"
	packer_took=$took
	run_boxkiln "$run"
	printf '%-4s %8s s %8s s %9s MB %9s MB\n' "$run" "$packer_took" "$took" \
		"$(megabytes "$(ls "$work"/packer/*.box)")" "$(megabytes "$(ls "$work"/boxkiln/*.box)")"
	echo "$packer_took $took" >>"$work/times.txt"
done
awk '{ p += $1; b += $2 } END { printf "Boxkiln takes %.2f of the time of Packer (%.1f s and %.1f s on average)\n", b / p, b / NR, p / NR }' "$work/times.txt"
