#!/bin/sh
# Looks whether the machine has what a list in tools/packages/ names, and installs what is missing.
#
#   tools/packages.sh LIST...      e.g. tools/packages.sh serve test
#
# Root installs with apt-get; everyone else is told which packages to ask for. Does nothing, quickly, when nothing is missing.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
python=$(tools/python.sh --any)
[ -n "$python" ] || [ -z "${PYTHON:-}" ] || tools/python.sh # the one that was asked for cannot be used: says why, and ends

# has WHAT: is it there? WHAT is a command, python:MODULE, python-h:FILE, or paths with | between and * in them.
has() {
    case $1 in
    python:*) [ -n "$python" ] && "$python" -c "import ${1#python:}" 2>/dev/null ;;
    python-h:*) [ -n "$python" ] && [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/${1#python-h:}" ] ;;
    /*) has_file "$1" ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

has_file() {
    for path in $(printf '%s' "$1" | tr '|' ' '); do # unquoted on purpose: the shell fills in the *
        [ -e "$path" ] && return 0
    done
    return 1
}

# known a|b: the first of these packages that apt can install, or the first when apt knows none.
known() {
    for package in $(printf '%s' "$1" | tr '|' ' '); do
        case $(apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: //p') in
        '' | '(none)') ;;
        *) printf '%s\n' "$package" && return ;;
        esac
    done
    printf '%s\n' "${1%%|*}"
}

# missing LIST...: the packages of the lists that are not there yet, still in the form a|b.
missing() {
    for list in "$@"; do
        while read -r what packages; do
            case $what in '' | \#*) continue ;; esac
            has "$what" || printf '%s\n' "$packages"
        done <"tools/packages/$list"
    done | sort -u
}

wanted=$(missing "$@")
[ -z "$wanted" ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing on this machine: $(echo "$wanted" | tr '\n' ' ')(a|b means either)." >&2
    echo "Install these Debian packages as root, then run the same command again." >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt='apt-get -o DPkg::Lock::Timeout=300 -qq'
$apt update
packages=$(for choice in $wanted; do known "$choice"; done)
echo "Installing: $(echo "$packages" | tr '\n' ' ')"
# Some packages would start a server at once, one of them on the port we use ourselves: not now.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
fi
# shellcheck disable=SC2086  # one word per package is wanted
$apt install -y --no-install-recommends $packages >/dev/null

python=$(tools/python.sh --any)
left=$(missing "$@")
[ -z "$left" ] && exit 0
echo "Installed, and still not found: $(echo "$left" | tr '\n' ' '). Please report this with the name and version of your system." >&2
exit 1
