#!/bin/sh
# Brings what the Makefile's targets need:
#   setup.sh run       the virtual environment with what the service needs
#   setup.sh dev       the same with what tests and checks need
#   setup.sh tests     what the tests use of the system: Chromium, strace, faketime
#   setup.sh soak      what the long runs use of it
#   setup.sh bench     what the benchmarks use of it
# On Debian, as root, missing system packages are installed; otherwise it says which are missing.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

install_packages() {
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        say "installing $*"
        apt-get update -qq >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    else
        say "missing: $*; on Debian: sudo apt-get install $*"
        return 1
    fi
}

# The system's Python first: distributions build it optimised, which is worth a fifth of the speed.
find_python() {
    for candidate in /usr/bin/python3 python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer is needed; on Debian 12: sudo apt-get install python3"
    return 1
}

environment() {
    if ! .venv/bin/python -c '' 2>/dev/null; then
        python=$(find_python)
        rm -rf .venv
        "$python" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
        "$python" -m venv .venv
    fi
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes \
        -r "requirements/$1.txt" 2>/dev/null ||
        .venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r "requirements/$1.txt"
    touch ".venv/$1"
}

# There is a program, or a library, of that name.
is_there() (
    PATH="$PATH:/usr/sbin:/sbin"
    command -v "$1" >/dev/null || ldconfig -p | grep -q "^[[:space:]]*$1 "
)

# programs NAME:PACKAGE...: installs the packages of what is missing; in CI that must succeed.
programs() {
    missing=""
    for pair in "$@"; do
        is_there "${pair%%:*}" || missing="$missing ${pair##*:}"
    done
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || install_packages $missing || [ -z "${CI:-}" ]
}

case "${1:-}" in
run | dev) environment "$1" ;;
tests) programs chromium:chromium libatomic.so.1:libatomic1 strace:strace faketime:faketime ;;
soak) programs xfs_io:xfsprogs mkfs.ext4:e2fsprogs faketime:faketime ;;
bench) programs wrk:wrk taskset:util-linux ;;
*)
    say "usage: setup.sh run | dev | tests | soak | bench"
    exit 2
    ;;
esac
