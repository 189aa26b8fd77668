# What the benchmarks share. Sourced, with $work set to a folder for logs.

export CHECKPOINT_DISABLE=1 PACKER_CACHE_DIR=$PWD/$work/packer-cache # Packer's: no calls home, a cache of its own

# timed NAME COMMAND...: runs it, leaves the seconds in $took.
timed() {
	local name=$1 began
	shift
	began=$(date +%s.%N)
	if ! "$@" >"$work/$name.log" 2>&1; then
		tail -n 30 "$work/$name.log" >&2
		echo "bench: $name failed; its log is $work/$name.log" >&2
		exit 1
	fi
	took=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { printf "%.2f", b - a }')
}
