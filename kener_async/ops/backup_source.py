"""The source of a backup: the database, the configuration and, if requested, the signing key."""

import os
import tomllib

from kener_async.config.model import AuthConfig, Config
from kener_async.ops.signing_key import signing_secret
from kener_async.store.admin.archive import CONFIG, KEY
from kener_async.store.admin.backup import BackupSource
from kener_async.store.sqlite import files


def source_of(config: Config, *, with_key: bool = False) -> BackupSource:
    """The files of a backup. A configuration that contains the signing key is left out unless `with_key`."""
    extra_files = {}
    text = _readable(config)
    if text is not None and (with_key or not _holds_key(text)):
        extra_files[CONFIG] = text
    if with_key:
        extra_files[KEY] = signing_secret(config.auth) + b"\n"
    return BackupSource(config.database.path, extra_files)


def _readable(config: Config) -> bytes | None:
    try:
        return config.file.read_bytes()
    except OSError:
        return None


def _holds_key(text: bytes) -> bool:
    try:
        return bool(tomllib.loads(text.decode()).get("auth", {}).get("secret_key"))
    except ValueError:
        return True  # edited since it was loaded, so it may contain the key


def restore_key(auth: AuthConfig, key: bytes) -> str:
    """Restore the signing key of a backup unless one exists; returns a message for the operator."""
    if auth.secret_key or auth.secret_key_file.exists():
        if signing_secret(auth) == key.strip():
            return "signing key kept: it is the one in the backup"
        return "signing key kept: the one in the backup differs, so tokens signed with it will be rejected"
    path = auth.secret_key_file
    with files.workspace(path.parent) as work:
        draft = work / "key"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
        files.replace(draft, path)
    return f"signing key restored to {path}"
