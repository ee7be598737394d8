#!/bin/sh
# Builds what can be installed with Python into dist/: the wheel (uv tool install dist/entrepot-*.whl) and the sdist, from the commit that
# is checked out (the container archive is made by deploy/build.sh). Built again from the same commit they have the same bytes: every file has the time of that commit.
set -eu
cd "$(dirname "$0")/.."
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
out=${1:-dist}
mkdir -p "$out"
.tools/bin/uv --quiet build --wheel --sdist --no-build-isolation --python .venv/bin/python --out-dir "$out"
(cd "$out" && sha256sum entrepot-*.whl entrepot-*.tar.gz)
