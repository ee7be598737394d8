#!/bin/sh
# Writes the hash-pinned lists in requirements/ from pyproject.toml, for Python 3.11 to 3.13, without download addresses.
#
#   tools/lock.sh              follow pyproject.toml, keep the versions that still fit
#   tools/lock.sh --upgrade    take the newest versions
set -eu
cd "$(dirname "$0")/.."
lock() {
    .tools/bin/uv --quiet pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 "$@"
}
lock "$@" pyproject.toml --group build --output-file requirements/constraints.txt
lock "$@" pyproject.toml --group build --group dev --extra postgres --extra s3 --extra azure --extra gcs --extra redis \
    --constraint requirements/constraints.txt --output-file requirements/constraints-dev.txt
# What the container image holds: it can be asked for any store and database.
lock "$@" pyproject.toml --group build --extra postgres --extra s3 --extra azure --extra gcs --extra redis \
    --constraint requirements/constraints-dev.txt --output-file requirements/constraints-image.txt
lock "$@" --group ldap --constraint requirements/constraints.txt --output-file requirements/constraints-ldap.txt
lock "$@" requirements/uv.in --output-file requirements/uv.txt
