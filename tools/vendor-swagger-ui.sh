#!/bin/sh
# Fetch the pinned Swagger UI release with npm and copy the files that
# /api/docs needs into kener_async/web/static/swagger-ui/. Nothing is written
# unless every file has the checksum below.
#
# To upgrade: change "version", run the script, read the release's changes,
# then replace the checksums with the ones it reports.
set -eu
LC_ALL=C
export LC_ALL

version=5.35.0
checksums='
cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30  LICENSE
0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2  NOTICE
bc17dcf92c08d01ba2d73c58e0fb6a28c412df42a69aac2e254966664a5c2a10  swagger-ui-bundle.js
37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb  swagger-ui-bundle.js.LICENSE.txt
a6a4cf68f069eb89984d5d43644e6a812e749df08d2b1320c6e06e6973847d10  swagger-ui.css
'

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=$root/kener_async/web/static/swagger-ui

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum
    else
        shasum -a 256
    fi <"$1" | cut -d ' ' -f 1
}

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/out"

# Run in the temporary folder, so that no package.json here has a say.
(cd "$work" && npm pack --silent "swagger-ui-dist@$version" >/dev/null)
tar -xzf "$work/swagger-ui-dist-$version.tgz" -C "$work"

failed=0
files=
while read -r expected file; do
    [ -n "$file" ] || continue
    case $file in
    *.js | *.css)
        # The source maps are left out, so the comments naming them go too.
        awk '!/^\/[\/*]# sourceMappingURL=/' "$work/package/$file" >"$work/out/$file"
        ;;
    *)
        cp "$work/package/$file" "$work/out/$file"
        ;;
    esac
    actual=$(sha256 "$work/out/$file")
    if [ "$actual" != "$expected" ]; then
        echo "vendor-swagger-ui: $file: expected $expected, got $actual" >&2
        failed=1
    fi
    files="$files $file"
done <<LIST
$checksums
LIST

if [ "$failed" -ne 0 ]; then
    echo "vendor-swagger-ui: checksums differ, nothing was copied" >&2
    exit 1
fi

mkdir -p "$target"
for file in $files; do
    cp "$work/out/$file" "$target/$file"
    chmod 644 "$target/$file"
    echo "copied $file ($(wc -c <"$target/$file" | tr -d ' ') bytes)"
done
echo "swagger-ui-dist $version is in ${target#"$root"/}"
