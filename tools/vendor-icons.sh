#!/bin/sh
# Fetch the pinned Lucide release with npm and write the icons that the pages use, as symbols of one sprite,
# into kener_async/web/templates/icons.svg. Nothing is written unless the package has the checksum below.
set -eu

version=1.62.0
checksum=386f9080c440d6f5049cefe3456ae8357f7a0c7f76e59670cd1cb83bc7050a44
icons='
activity arrow-left bell calendar calendar-days check chevron-down chevron-left chevron-right circle-check
circle-question-mark circle-x clock copy globe info languages megaphone moon rss share-2 sun sun-moon
triangle-alert wrench
'

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
(cd "$work" && npm pack --silent "lucide-static@$version" >/dev/null)
actual=$(sha256sum "$work/lucide-static-$version.tgz" | cut -d ' ' -f 1)
if [ "$actual" != "$checksum" ]; then
    echo "vendor-icons: lucide-static: expected $checksum, got $actual" >&2
    exit 1
fi
tar -xzf "$work/lucide-static-$version.tgz" -C "$work"
{
    echo "<svg class=\"sprite\" width=\"0\" height=\"0\" aria-hidden=\"true\">"
    for icon in $icons; do
        printf '<symbol id="i-%s" viewBox="0 0 24 24">' "$icon"
        tr '\n' ' ' <"$work/package/icons/$icon.svg" |
            sed -e 's/<!--[^>]*-->//' -e 's/<svg[^>]*>//' -e 's/<\/svg>//' -e 's/  */ /g' -e 's/ *\/>/\/>/g' \
                -e 's/> </></g' -e 's/^ *//' -e 's/ *$//'
        printf '</symbol>\n'
    done
    echo "</svg>"
} >"$work/icons.svg"
cp "$work/icons.svg" "$root/kener_async/web/templates/icons.svg"
cp "$work/package/LICENSE" "$root/kener_async/web/static/icons.LICENSE"
