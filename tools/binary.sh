#!/bin/sh
# Builds dist/kener-async, the program as one file for Linux that needs no Python, with its checksum and the licences
# of what is inside. The same sources give the same file.
set -eu
cd "$(dirname "$0")/.."

python=build/venv/bin/python
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH PYTHONHASHSEED=0 PYTHONPATH=.

"$python" -m PyInstaller --noconfirm --log-level ERROR --distpath dist --workpath build tools/binary.spec
"$python" tools/notices.py build/libraries.txt >dist/THIRD-PARTY.txt
(cd dist && sha256sum kener-async >kener-async.sha256)

# On a system whose C library is older than this it does not run.
while read -r library; do objdump -T "$library"; done <build/libraries.txt 2>/dev/null |
    sed -n 's/.*GLIBC_\(2\.[0-9]*\).*/\1/p' | sort -Vu | tail -n 1 >build/glibc
printf 'dist/kener-async: %s bytes, needs glibc %s\n' "$(wc -c <dist/kener-async)" "$(cat build/glibc)"
