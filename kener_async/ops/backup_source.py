"""The source of a backup: database, configuration, the site's files and, if requested, the secrets."""

import os
from collections.abc import Iterator
from pathlib import Path

from kener_async.config.fields import is_published
from kener_async.config.model import AuthConfig, Config, SiteConfig
from kener_async.config.redaction import FILL_IN, without_secrets
from kener_async.config.tables import Document
from kener_async.errors import FatalError, reason_of
from kener_async.ops.signing_key import signing_secret
from kener_async.store.admin.archive import ASSETS, CONFIG, KEY, STYLESHEET
from kener_async.store.admin.backup import BackupSource
from kener_async.store.sqlite import files

MOST_ASSETS = 2000
LARGEST_ASSETS = 256 * 1024 * 1024  # all together


def source_of(config: Config, *, with_key: bool = False) -> BackupSource:
    """The files of a backup. `with_key`: with the signing key and the secrets in config.toml."""
    contents: dict[str, bytes] = {}
    left_out: list[str] = []
    text = _readable(config.file)
    if text is not None and with_key:
        contents[CONFIG] = text
    elif text is not None:
        redacted = without_secrets(text, Document)
        if redacted is None:
            left_out.append(f"{CONFIG}, of which the secrets cannot be told from the rest")
        else:
            contents[CONFIG], count = redacted
            left_out += [f"{count} secrets of {CONFIG}, {FILL_IN} in their place"] if count else []
    if with_key:
        contents[KEY] = signing_secret(config.auth) + b"\n"
    else:
        left_out.append("the signing key")
    paths = dict(_site_files(config.site, left_out))
    return BackupSource(config.database.path, contents, paths, tuple(left_out))


def _site_files(site: SiteConfig, left_out: list[str]) -> Iterator[tuple[str, Path]]:
    """The files of the site by their names in a backup; notes what is left out."""
    if site.custom_css is not None:
        yield STYLESHEET, site.custom_css
    if site.assets is None:
        return
    room, count = LARGEST_ASSETS, 0
    for path in sorted(site.assets.rglob("*")):
        name = path.relative_to(site.assets).as_posix()
        if not is_published(name) or not path.is_file():
            continue
        count, room = count + 1, room - path.stat().st_size
        if count > MOST_ASSETS or room < 0:
            left_out.append(f"the assets from {name} on: too many, or too large")
            return
        yield f"{ASSETS}{name}", path


def _readable(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def restore_key(auth: AuthConfig, key: bytes) -> str:
    """Restore the signing key of a backup unless one exists; returns a message for the operator."""
    if auth.secret_key or auth.secret_key_file.exists():
        if signing_secret(auth) == key.strip():
            return "signing key kept: it is the one in the backup"
        return "signing key kept: the one in the backup differs, so tokens signed with it will be rejected"
    path = auth.secret_key_file
    _put(key, path)
    return f"signing key restored to {path}"


def restore_site(site: SiteConfig, folder: Path) -> str:
    """Put the site's files of an unpacked backup where the configuration has them, and none is yet.

    Returns a message for the operator, empty without any. Raises FatalError.
    """
    restored = kept = 0
    for path, target in _site_targets(site, folder):
        if target.exists():
            kept += 1
            continue
        restored += 1
        _put(path.read_bytes(), target, 0o644)
    text = f"{restored} files of the page restored" if restored else ""
    return f"{text}; {kept} kept, which were there".removeprefix("; ") if kept else text


def _site_targets(site: SiteConfig, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Each such file of the backup, and its place."""
    if site.custom_css is not None and (folder / STYLESHEET).is_file():
        yield folder / STYLESHEET, site.custom_css
    if site.assets is None:
        return
    for path in sorted((folder / ASSETS).rglob("*")):
        if path.is_file():
            yield path, site.assets / path.relative_to(folder / ASSETS)


def _put(content: bytes, target: Path, mode: int = 0o600) -> None:
    """Write a file, complete or not at all, in a folder that is made if it is missing."""
    files.make_folder(target)
    try:
        with files.workspace(target.parent) as work:
            draft = work / "draft"
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
            files.replace(draft, target)
    except OSError as error:
        raise FatalError(f"{target}: {reason_of(error)}") from error
