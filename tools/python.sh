#!/bin/sh
# Prints the Python to build the virtual environment with: $PYTHON, or else the first of 3.11 to 3.13. The system's own
# comes first: distributions build it with profiles of what programs do, which takes a third off what Python costs; one
# that was compiled by hand seldom is.
#
#   tools/python.sh          prints it, or says what to install and fails
#   tools/python.sh --any    prints it, or nothing
set -eu
# Who names one gets that one or none. One that can make environments beats one that needs a package for it.
for modules in sys,venv,ensurepip sys; do
    for candidate in ${PYTHON:-/usr/bin/python3 python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c "import $modules; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" 2>/dev/null; then
            command -v "$candidate"
            exit 0
        fi
    done
done
[ "${1:-}" = --any ] && exit 0
echo "Entrepot needs Python 3.11, 3.12 or 3.13; ${PYTHON:-what is installed} is not that." >&2
echo "Debian 12 and 13 bring one: install python3 and python3-venv; or name yours: make PYTHON=/path/to/python3.13 ..." >&2
exit 1
