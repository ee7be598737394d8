#!/bin/sh
# Builds the container image with buildah, podman or docker.
#
#   deploy/build.sh [TAG]              TAG is localhost/entrepot:latest unless you name one
#
#   BASE=registry.example/python:13    a Debian image with python3 and libstdc++6 (and python3-ldap, where a directory is
#                                      to be asked); without it mmdebstrap makes a small one (as root)
#   SUITE=trixie MIRROR=http://...     what mmdebstrap makes it from
#   PYTHON_VERSION=3.13                the Python of the base
#   BUILDER="podman --root /x"         instead of the first one found
#
# All downloads happen here, checked by hashes (requirements/constraints.txt) or signatures; the build needs no network.
set -eu
cd "$(dirname "$0")/.."
tag=${1:-localhost/entrepot:latest}
python_version=${PYTHON_VERSION:-3.13}

need() {
    command -v "$1" || { echo "Building the image needs $2: install one of these Debian packages." >&2 && exit 1; }
}

builder=${BUILDER:-$(command -v buildah || command -v podman || need docker "buildah, podman or docker.io")}
make --no-print-directory .venv/ready-test
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp deploy/Containerfile deploy/image/* "$context"

echo "Collecting the Python packages"
uv=.tools/bin/uv
install() { $uv --quiet pip install --target "$context/packages" --python-version "$python_version" "$@"; }
install --only-binary :all: --require-hashes -r requirements/constraints.txt
$uv --quiet build --wheel --no-build-isolation --python .venv/bin/python --out-dir "$context/wheel"
install --no-deps "$context"/wheel/entrepot-*.whl
rm -rf "$context/wheel" "$context/packages/bin"

if [ -z "${BASE:-}" ]; then
    need mmdebstrap "mmdebstrap (or name a BASE)" >/dev/null
    echo "Making a Debian base"
    # shellcheck disable=SC2086  # no word when there is no mirror
    mmdebstrap --quiet --variant=essential --include=python3,python3-ldap,libstdc++6,ca-certificates,busybox,tzdata \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "${SUITE:-trixie}" "$context/base.tar" ${MIRROR:-}
fi

echo "Building $tag"
case $builder in
*buildah*) build=bud ;;
*) build=build ;;
esac
# shellcheck disable=SC2086  # BUILDER may carry options
$builder $build --quiet --network none ${BASE:+--build-arg "BASE=$BASE"} \
    --file "$context/Containerfile" --tag "$tag" "$context"
