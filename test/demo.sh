#!/usr/bin/env bash
# Builds examples/debian12 with bin/boxkiln, publishes it to the embedded
# registry and serves it until interrupted. With ONESHOT=1 it downloads the box
# once, checks its digest and stops.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=build/demo
listen=${DEMO_LISTEN:-127.0.0.1:8420}
url=http://$listen
box=demo/debian12
version=1.0.$(date +%s)

say() { echo "demo: $*"; }
die() {
	say "$*" >&2
	exit 1
}

stop_server() {
	[ -n "${server:-}" ] || return 0
	kill "$server" 2>/dev/null || true
	wait "$server" 2>/dev/null || true
}

start_server() {
	mkdir -p "$data"
	bin/boxkiln serve --data "$data" --listen "$listen" >"$data/serve.log" 2>&1 &
	server=$!
	trap stop_server EXIT
	for _ in $(seq 120); do
		curl -fsS -o /dev/null "$url/" 2>/dev/null && return
		kill -0 "$server" 2>/dev/null || break
		sleep 0.5
	done
	tail -n 20 "$data/serve.log" >&2
	die "bin/boxkiln serve does not answer on $url; its log is $data/serve.log"
}

# The catalog names the file and its digest; what arrives must have it.
prove_download() {
	local catalog file want got
	catalog=$(curl -fsS -H 'Accept: application/json' "$url/$box")
	read -r file want < <(jq -r --arg v "$version" '.versions[] | select(.version == $v)
		| .providers[] | select(.name == "libvirt") | .url + " " + .checksum' <<<"$catalog") ||
		die "version $version is not in the catalog $url/$box"
	got=$(curl -fsSL "$file" | sha256sum | cut -d' ' -f1)
	[ "$got" = "$want" ] || die "$file has sha256 $got, the catalog says $want"
	say "downloaded $file: sha256 $got, as the catalog says"
}

say "starting bin/boxkiln serve on $url"
start_server
say "building $box $version (a few minutes without KVM)"
bin/boxkiln build --data "$data" --box "$box" --box-version "$version" -force examples/debian12

if [ -n "${ONESHOT:-}" ]; then
	prove_download
	exit
fi
cat <<NEXT

The box is served at $url/$box. In another terminal:

  mkdir try && cd try && cp $PWD/test/vagrant/Vagrantfile .
  export BOX=$box BOX_URL=$url/$box
  vagrant up --provider=libvirt
  vagrant ssh -c 'cat /etc/boxkiln-demo'

(vagrant: $PWD/test/setup/packages.sh test). Ctrl-C stops the server.
NEXT
wait "$server"
