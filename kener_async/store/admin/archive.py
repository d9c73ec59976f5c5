"""The format of backups: a .tar.gz that any tar can read, in which every changed byte is detected.

It holds `manifest.json` and the files that the manifest names with size and SHA-256. Its end is a seal: an
empty gzip member whose comment is the SHA-256 of every byte before it. Programs that know nothing of the seal
see nothing of it.
"""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from kener_async.errors import FatalError
from kener_async.store.sqlite.files import Progress, no_progress, require_room

FORMAT = 2
MAGIC = b"\x1f\x8b"
DATABASE, CONFIG, KEY = "kener.db", "config.toml", "secret.key"
STYLESHEET = "custom.css"
ASSETS = "assets/"  # what follows is a name as pages have it: no part begins with a dot
_PART = "[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
ASSET = re.compile(rf"{ASSETS}{_PART}(?:/{_PART})*")
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 1 << 20
LEVEL = 1  # 81 MB/s; the highest makes it 4 % smaller at 4 MB/s
CHUNK = 1 << 20

SEAL = b"\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\xffsha256:%b\x00\x03\x00" + bytes(8)
SEAL_BYTES = len(SEAL % hashlib.sha256().hexdigest().encode())


class ArchiveError(FatalError):
    """The file is not a backup, or is damaged."""


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """A file in a backup."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a backup. `created_at` is in UTC seconds; `rows` are counts by table.

    `left_out` is what is not in it, in words; format 1 did not say.
    """

    created_at: int
    version: str
    schema: int
    rows: Mapping[str, int]
    files: Mapping[str, ArchiveEntry]
    left_out: Sequence[str] = ()
    format: int = FORMAT
    program: str = "kener-async"


def entry_of(path: Path) -> ArchiveEntry:
    """The size and the digest of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return ArchiveEntry(file.tell(), digest)


# Packing


class _SealedWriter(io.RawIOBase):
    """Write to `out`, computing the digest that `seal` appends."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._digest.update(data)
        self._out.write(data)
        return len(data)

    def seal(self) -> None:
        """Append the digest of everything written before."""
        self._out.write(SEAL % self._digest.hexdigest().encode())


def pack(out: IO[bytes], manifest: Manifest, folder: Path, progress: Progress = no_progress) -> None:
    """Write a backup of the folder's files that the manifest names; `out` need not be seekable."""
    sealed = _SealedWriter(out)
    with (
        gzip.GzipFile("", "wb", LEVEL, sealed, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        text = json.dumps(asdict(manifest), indent=2).encode() + b"\n"
        tar.addfile(_member(MANIFEST, len(text), manifest.created_at), io.BytesIO(text))
        for name, entry in manifest.files.items():
            with open(folder / name, "rb") as file:
                reader = _ProgressReader(file, entry.bytes, progress)
                tar.addfile(_member(name, entry.bytes, manifest.created_at), reader)
    sealed.seal()


def _member(name: str, length: int, instant: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = length, instant, 0o600
    return member


class _ProgressReader(io.RawIOBase):
    """A file that reports progress while it is read."""

    def __init__(self, file: IO[bytes], total: int, progress: Progress) -> None:
        self._file, self._total, self._progress = file, total, progress
        self._reported = 0

    def read(self, limit: int = -1) -> bytes:
        data = self._file.read(limit)
        if self._file.tell() - self._reported >= CHUNK:
            self._reported = self._file.tell()
            self._progress("packing", self._reported, self._total)
        return data


# Unpacking


def unpack(archive: Path, folder: Path, progress: Progress = no_progress) -> Manifest:
    """Unpack a backup into a folder and check it against its manifest.

    Raises ArchiveError and NotEnoughSpace.
    """
    try:
        _check_seal(archive)
        with _readable(archive) as tar:
            manifest = _manifest(tar, archive)
            require_room(folder, sum(entry.bytes for entry in manifest.files.values()))
            _unpack_files(tar, manifest, folder, progress)
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{archive}: is damaged: {error}") from error
    except ArchiveError as error:
        raise ArchiveError(f"{archive}: {error}") from None
    return manifest


def _check_seal(archive: Path) -> None:
    """Check the seal before anything in the archive is used."""
    digest = hashlib.sha256()
    with open(archive, "rb") as file:
        left = os.fstat(file.fileno()).st_size - SEAL_BYTES
        if file.read(len(MAGIC)) != MAGIC or left <= 0:
            raise ArchiveError("is not a backup, nor a database: name another file")
        file.seek(0)
        while left > 0 and (data := file.read(min(CHUNK, left))):
            digest.update(data)
            left -= len(data)
        if file.read() != SEAL % digest.hexdigest().encode():
            raise ArchiveError("is damaged or cut short: its checksum is wrong")


@contextmanager
def _readable(archive: Path) -> Iterator[tarfile.TarFile]:
    with gzip.open(archive) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:
        yield tar


def _manifest(tar: tarfile.TarFile, archive: Path) -> Manifest:
    member = tar.next()
    file = None if member is None or member.name != MANIFEST else tar.extractfile(member)
    if member is None or file is None or member.size > LARGEST_MANIFEST:
        raise ArchiveError("is not a backup: it does not begin with a manifest")
    try:
        fields = json.loads(file.read())
        if fields["format"] > FORMAT:
            raise ArchiveError(f"was made by a newer version ({fields['version']})")
        files = {name: ArchiveEntry(**entry) for name, entry in fields["files"].items()}
        manifest = Manifest(**{**fields, "files": files})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(f"has a manifest that cannot be read: {error}") from error
    if DATABASE not in files or not all(map(_is_known, files)):
        raise ArchiveError("names unknown files, or no database")
    return manifest


def _is_known(name: str) -> bool:
    return name in (DATABASE, CONFIG, KEY, STYLESHEET) or ASSET.fullmatch(name) is not None


def _unpack_files(tar: tarfile.TarFile, manifest: Manifest, folder: Path, progress: Progress) -> None:
    missing = dict(manifest.files)
    while (member := tar.next()) is not None:
        file, entry = tar.extractfile(member), missing.pop(member.name, None)
        if file is None or entry is None:
            raise ArchiveError(f"holds {member.name!r}, which is not in its manifest")
        if member.size != entry.bytes or _write(file, folder / member.name, entry.bytes, progress) != entry:
            raise ArchiveError(f"holds a {member.name} that differs from its manifest")
    if missing:
        raise ArchiveError(f"lacks {', '.join(missing)}")


def _write(file: IO[bytes], path: Path, total: int, progress: Progress) -> ArchiveEntry:
    digest, length = hashlib.sha256(), 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while data := file.read(CHUNK):
            digest.update(data)
            length += len(data)
            out.write(data)
            progress("unpacking", length, total)
    return ArchiveEntry(length, digest.hexdigest())
