#!/bin/sh
# Runs pytest, one process for each core, with its temporary folders in memory where there is room for them.
#
#   tools/run_tests.sh [PYTEST'S ARGUMENTS]
#
# What the tests wait for most is the disk: a thousand databases are made, and every push is synchronised. PROCESSES=1
# and TMPDIR=/some/folder choose otherwise.
set -eu
cd "$(dirname "$0")/.."
memory=/dev/shm
gib=$((1 << 20)) # in KiB, as the two figures below

# roomy: is half of the machine's free memory more than the tests take (4 GiB), and may programs run from there, and
# the layers of images have devices?
roomy() {
    [ -w "$memory" ] || return 1
    free=$(df -Pk "$memory" | awk 'NR == 2 { print $4 }')
    available=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
    [ "$free" -ge $((8 * gib)) ] && [ "$available" -ge $((8 * gib)) ] &&
        ! awk -v place="$memory" '$2 == place && $4 ~ /noexec|nodev/ { found = 1 } END { exit !found }' /proc/mounts
}

if [ -z "${TMPDIR:-}" ] && roomy; then
    TMPDIR=$(mktemp -d "$memory/t.XXXX") # short: the path of a socket has room for 107 bytes
    chmod 1777 "$TMPDIR"
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
    trap 'exit 130' INT TERM
fi
.venv/bin/python -m pytest -n "${PROCESSES:-logical}" --dist loadscope "$@"
