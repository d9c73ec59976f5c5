#!/bin/sh
# Install the requirements of the Makefile's targets:
#   setup.sh run       the virtual environment with the dependencies of the service
#   setup.sh dev       the same with those of tests and checks
#   setup.sh build     another one, in build/venv, with those of the single binary
#   setup.sh tests     system packages for the tests: Chromium, strace, faketime, nginx, openssl, node, php,
#                      shells
#   setup.sh soak      system packages for the long tests
#   setup.sh peers     the receivers of alerts and the targets of checks that are tested against
#   setup.sh chroot    those to run the single binary in a minimal Debian
#   setup.sh nspawn    those to run it under systemd in a container
#   setup.sh deb       those to check the Debian package
#   setup.sh bench     those for the benchmarks
# On Debian, as root, missing system packages are installed; otherwise they are listed.
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

# environment FOLDER NAME: a virtual environment there, with what is pinned under that name.
environment() {
    if ! "$1/bin/python" -c '' 2>/dev/null; then
        python=$(find_python)
        rm -rf "$1"
        "$python" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
        "$python" -m venv "$1"
    fi
    "$1/bin/python" -m pip install -q --disable-pip-version-check --require-hashes \
        -r "requirements/$2.txt" 2>/dev/null ||
        "$1/bin/python" -m pip install --disable-pip-version-check --require-hashes -r "requirements/$2.txt"
    touch "$1/$2"
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

# pillow_without_codecs FOLDER: Pillow in that environment again, built from its pinned source without what the
# pictures of the program do not need: they are drawn and saved as PNG. That makes the single binary smaller.
pillow_without_codecs() {
    mkdir -p build/pillow
    sed -n '/^pillow==/,/^ *# via/p' requirements/build.txt >build/pillow/pinned.txt
    set -- "$1/bin/python" -m pip --disable-pip-version-check -q
    "$@" download --require-hashes --no-deps --no-binary pillow --no-build-isolation -d build/pillow \
        -r build/pillow/pinned.txt
    source=$(sed -n '1s/^pillow==\([^ ;]*\).*/\1/p' build/pillow/pinned.txt)
    # Without debug information, which would hold the names of temporary folders.
    CFLAGS="${CFLAGS:-} -g0" "$@" install --force-reinstall --no-deps --no-build-isolation --no-cache-dir \
        --config-settings=jpeg=disable --config-settings=tiff=disable --config-settings=jpeg2000=disable \
        --config-settings=webp=disable --config-settings=avif=disable --config-settings=lcms=disable \
        --config-settings=xcb=disable --config-settings=imagequant=disable --config-settings=raqm=disable \
        "build/pillow/pillow-$source.tar.gz"
}

# kener_relay: a relay for the webhooks of Kener's alerts, which others wrote, unchanged.
kener_relay() {
    [ ! -f build/relay/dist/index.js ] || return 0
    rm -rf build/relay
    GIT_TERMINAL_PROMPT=0 timeout 60 git clone -q \
        https://github.com/ensombl/kener-telegram-webhook-relay build/relay 2>/dev/null || return 1
    git -C build/relay checkout -q 053b7c2ac40848f1273ab8d730fce8088b08af62 || return 1
    npm install --silent --no-audit --no-fund --prefix build/relay || return 1
    npm run --silent --prefix build/relay build
}

case "${1:-}" in
run | dev) environment .venv "$1" ;;
build)
    version=$("$(find_python)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    programs strip:binutils gcc:gcc g++:g++ "libpython$version.so.1.0:libpython$version" \
        "libpython$version.so:libpython$version-dev" libfreetype.so:libfreetype-dev libz.so:zlib1g-dev
    environment build/venv build
    pillow_without_codecs build/venv
    touch build/venv/build
    ;;
tests)
    programs busybox:busybox dash:dash curl:curl shellcheck:shellcheck \
        chromium:chromium libatomic.so.1:libatomic1 strace:strace faketime:faketime nginx:nginx-light openssl:openssl \
        node:nodejs php:php-cli xfs_io:xfsprogs mkfs.ext4:e2fsprogs
    ;;
soak) programs busybox:busybox dash:dash curl:curl xfs_io:xfsprogs mkfs.ext4:e2fsprogs faketime:faketime ;;
peers)
    programs nginx:nginx-light prometheus-alertmanager:prometheus-alertmanager postfix:postfix node:nodejs npm:npm git:git \
        ip:iproute2 nft:nftables ping:iputils-ping named:bind9 sshd:openssh-server slapd:slapd \
        /usr/lib/dovecot/imap-login:dovecot-imapd /usr/lib/dovecot/pop3-login:dovecot-pop3d \
        proftpd:proftpd-core proftpd:proftpd-mod-crypto glewlwyd:glewlwyd \
        libical-glib.so.3:gir1.2-ical-3.0
    /usr/bin/python3 -c 'import gi' 2>/dev/null || install_packages python3-gi
    if [ ! -x build/synapse/bin/synapse_homeserver ]; then
        "$(find_python)" -m venv build/synapse
        build/synapse/bin/python -m pip --disable-pip-version-check -q install matrix-synapse==1.163.2
    fi
    if [ ! -x build/apprise/bin/apprise ]; then
        "$(find_python)" -m venv build/apprise
        build/apprise/bin/python -m pip --disable-pip-version-check -q install apprise==2.3.0
    fi
    if [ ! -d build/adaptivecards/node_modules ]; then
        npm install --silent --no-audit --no-fund --prefix build/adaptivecards adaptivecards@3.0.6
    fi
    if [ ! -d build/oidc-provider/node_modules ]; then
        npm install --silent --no-audit --no-fund --prefix build/oidc-provider oidc-provider@9.13.3
    fi
    if [ ! -d build/rrule/node_modules ]; then
        npm install --silent --no-audit --no-fund --prefix build/rrule rrule@2.8.1
    fi
    if [ ! -x build/icalendar/bin/python ]; then
        "$(find_python)" -m venv build/icalendar
        build/icalendar/bin/python -m pip --disable-pip-version-check -q install icalendar==7.3.2
    fi
    kener_relay || say "the relay of Kener's alerts cannot be had now; its test is skipped"
    ;;
chroot) programs debootstrap:debootstrap unshare:util-linux ;;
nspawn) programs debootstrap:debootstrap systemd-nspawn:systemd-container fsfreeze:util-linux mkfs.ext4:e2fsprogs ;;
deb) programs lintian:lintian ;;
bench) programs wrk:wrk taskset:util-linux strace:strace valgrind:valgrind faketime:faketime ;;
*)
    say "usage: setup.sh run | dev | build | tests | soak | peers | chroot | nspawn | deb | bench"
    exit 2
    ;;
esac
