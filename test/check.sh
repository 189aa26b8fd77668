#!/usr/bin/env bash
# The quick checks: formatting, vet, lint, unit tests with the race detector.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
unformatted=$(git ls-files -z '*.go' | xargs -0 gofmt -l)
[ -z "$unformatted" ] || {
	echo "check: run gofmt -w on:" $unformatted >&2
	exit 1
}
go vet ./...
go run honnef.co/go/tools/cmd/staticcheck@"${STATICCHECK:-v0.7.0}" ./...
go test -race -short -timeout 60m ./...
