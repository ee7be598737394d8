#!/bin/sh
# Builds the container image with buildah, podman or docker.
#
#   deploy/build.sh [TAG]              TAG is localhost/entrepot:latest unless you name one
#
#   ARCHIVE=dist/image.tar.gz          writes the image there too (`docker load --input FILE`), and beside it what is in it
#                                      (FILE with .cdx.json: Debian and Python packages, in the form of CycloneDX)
#   BASE=registry.example/python:13    a Debian image with python3 and libstdc++6 (and python3-ldap, where a directory is
#                                      to be asked); without it mmdebstrap makes a small one (as root)
#   SUITE=trixie MIRROR=http://...     what mmdebstrap makes it from
#   PYTHON_VERSION=3.13                the Python of the base
#   BUILDER="podman --root /x"         instead of the first one found
#
# All downloads happen here, checked by hashes (requirements/constraints-image.txt) or signatures; the build needs no network.
# Every file has the time of the commit, and nobody's umask: buildah makes the same bytes from the same packages each time.
set -eu
umask 022
cd "$(dirname "$0")/.."
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
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
install --only-binary :all: --require-hashes -r requirements/constraints-image.txt
$uv --quiet build --wheel --no-build-isolation --python .venv/bin/python --out-dir "$context/wheel"
.venv/bin/python -m zipfile -e "$context"/wheel/entrepot-*.whl "$context/packages" # an installer would note where and when
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

# A checkout made under a strict umask has files that only their owner reads; the account of the image is another one.
chmod -R u=rwX,go=rX "$context"

echo "Building $tag"
case $builder in
*buildah*) build="bud --timestamp $SOURCE_DATE_EPOCH" ;;
*podman*) build="build --timestamp $SOURCE_DATE_EPOCH" ;;
*) build=build ;;
esac
# shellcheck disable=SC2086  # BUILDER may carry options
$builder $build --quiet --network none ${BASE:+--build-arg "BASE=$BASE"} \
    --file "$context/Containerfile" --tag "$tag" "$context"

[ -n "${ARCHIVE:-}" ] || exit 0
echo "Writing $ARCHIVE"
mkdir -p "$(dirname "$ARCHIVE")"
case $builder in
*buildah*) $builder push --quiet "$tag" "docker-archive:$context/image.tar:$tag" ;;
*) $builder save --output "$context/image.tar" "$tag" ;;
esac
gzip -n <"$context/image.tar" >"$ARCHIVE"
.venv/bin/python -m tools.sbom "$context/image.tar" >"${ARCHIVE%.tar.gz}.cdx.json"
sha256sum "$ARCHIVE" "${ARCHIVE%.tar.gz}.cdx.json"
