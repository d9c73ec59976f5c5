#!/bin/sh
# Builds dist/kener-async_VERSION_ARCHITECTURE.deb around dist/kener-async. What the package puts in place is what
# `kener-async install` does, in the folders that belong to packages, and the agent's unit and user.
# DEBFULLNAME and DEBEMAIL, as in devscripts, name the maintainer.
set -eu
cd "$(dirname "$0")/.."

root=build/deb
maintainer="${DEBFULLNAME:-kener_async} <${DEBEMAIL:-root@localhost}>"
version=$(dist/kener-async --version | sed 's/.* //')
architecture=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
umask 022

rm -rf "$root"
mkdir -p "$root"
dist/kener-async install --root "$root" 2>/dev/null
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/usr/lib/systemd" "$root/usr/share/man/man1" \
    "$root/usr/share/doc/kener-async" "$root/usr/share/lintian/overrides"
mv "$root/usr/local/bin/kener-async" "$root/usr/bin/"
mv "$root/etc/systemd/system" "$root/usr/lib/systemd/system"
install -m 644 systemd/kener-agent.service "$root/usr/lib/systemd/system/"
mv "$root/etc/sysusers.d" "$root/usr/lib/sysusers.d"
install -D -m 644 systemd/kener-agent.sysusers "$root/usr/lib/sysusers.d/kener-agent.conf"
sed -i 's|^ExecStart=kener-async |ExecStart=/usr/bin/kener-async |' "$root"/usr/lib/systemd/system/*.service
rmdir "$root/usr/local/bin" "$root/usr/local" "$root/etc/systemd"

docs="$root/usr/share/doc/kener-async"
cp -R docs contrib README.md CHANGELOG.md "$docs/"
install -D -m 644 systemd/README.md "$docs/systemd/README.md"
find "$docs" -name __pycache__ -prune -exec rm -rf {} +
find "$docs" -type f -exec chmod 644 {} +
chmod 755 "$docs/contrib/heartbeat.sh"
PYTHONPATH=. build/venv/bin/python -m tools.manpage | gzip -9n >"$root/usr/share/man/man1/kener-async.1.gz"
gzip -9nc dist/THIRD-PARTY.txt >"$docs/THIRD-PARTY.txt.gz"
{
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
    printf 'Upstream-Name: kener_async\nComment: Others hold the copyright of works inside the program; each is\n'
    printf ' named, with its licence, in /usr/share/doc/kener-async/THIRD-PARTY.txt.gz\n\n'
    printf 'Files: *\nCopyright: %s\nLicense: Expat\n' "$(sed -n 's/^Copyright (c) //p' LICENSE)"
    sed '1,/^Copyright/d; /./,$!d; s/^$/./; s/^/ /' LICENSE | sed '1{/^ \.$/d}'
} >"$docs/copyright"
{
    printf 'kener-async (%s) stable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n' "$version"
    printf ' -- %s  %s\n' "$maintainer" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$docs/changelog.gz"

install -m 755 tools/deb/postinst tools/deb/prerm tools/deb/postrm "$root/DEBIAN/"
install -m 644 tools/deb/overrides "$root/usr/share/lintian/overrides/kener-async"
printf '/etc/kener-async/config.toml\n' >"$root/DEBIAN/conffiles"
(cd "$root" && find usr -type f | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@MAINTAINER@/$maintainer/" \
    -e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$root" | cut -f 1)/" -e "s/@GLIBC@/$(cat build/glibc)/" \
    tools/deb/control >"$root/DEBIAN/control"

dpkg-deb --root-owner-group --build "$root" "dist/kener-async_${version}_$architecture.deb" >/dev/null
printf 'dist/kener-async_%s_%s.deb\n' "$version" "$architecture"
