#!/bin/sh
# Checks the files of this folder with the tools that are there, and says what was not checked.
set -eu
cd "$(dirname "$0")"
unchecked=""
if command -v systemd-analyze >/dev/null; then
    # The unit names a binary that need not be installed here.
    sed 's#/usr/local/bin/countersign#/bin/true#' countersign-gateway.service >"${TMPDIR:-/tmp}/countersign-gateway-check.service"
    systemd-analyze verify "${TMPDIR:-/tmp}/countersign-gateway-check.service"
    rm "${TMPDIR:-/tmp}/countersign-gateway-check.service"
else
    unchecked="$unchecked unit(systemd-analyze)"
fi
if python3 -c 'import yaml' 2>/dev/null; then
    python3 -c 'import sys, yaml; [list(yaml.safe_load_all(open(name))) for name in sys.argv[1:]]' kubernetes/*.yaml
else
    unchecked="$unchecked manifests(python3-yaml)"
fi
builder=$(command -v podman || command -v docker || true)
if [ -n "$builder" ] && "$builder" info >/dev/null 2>&1; then
    "$builder" build -f Containerfile -t countersign ..
else
    unchecked="$unchecked container(podman)"
fi
echo "checked${unchecked:+, but not:$unchecked}"
