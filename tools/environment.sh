#!/bin/sh
# Makes or completes the virtual environment .venv from the hash-pinned lists in requirements/.
#
#   tools/environment.sh serve    what the product needs
#   tools/environment.sh test     that and what the checks and tests need
#
# The Makefile calls it only when one of those lists is newer than the last success (a stamp file in .venv).
set -eu
cd "$(dirname "$0")/.."
kind=$1
case $kind in
serve) requirements=requirements/constraints.txt ;;
test) requirements=requirements/constraints-dev.txt ;;
*) echo "usage: $0 serve|test" >&2 && exit 2 ;;
esac

works() { "$1" -c 'import sys' 2>/dev/null; }

# uv lives in an environment of its own, so that .venv holds exactly what the lists say.
if ! works .tools/bin/python || ! cmp -s requirements/uv.txt .tools/installed; then
    echo "Fetching uv, the installer"
    python=$(tools/python.sh)
    rm -rf .tools
    "$python" -m venv .tools
    .tools/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes --only-binary :all: -r requirements/uv.txt
    cp requirements/uv.txt .tools/installed
fi

# uv does not read pip's configuration; a mirror named there is meant for us too.
index=$(.tools/bin/python -m pip config get global.index-url 2>/dev/null || true)
index=${PIP_INDEX_URL:-$index}
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"

if ! works .venv/bin/python; then
    rm -rf .venv
    .tools/bin/uv --quiet venv --python "$(tools/python.sh)" .venv
fi
echo "Installing what \`make $kind\` needs into .venv"
export UV_LINK_MODE=copy
uv() { .tools/bin/uv --quiet pip install --python .venv/bin/python "$@"; }
uv --require-hashes -r "$requirements"
# Compiled here, with the build tools that the line above has put in place.
uv --require-hashes --no-deps --no-build-isolation -r requirements/constraints-ldap.txt
uv --no-deps --no-build-isolation --editable .

touch .venv/ready-serve
[ "$kind" = serve ] || touch .venv/ready-test
