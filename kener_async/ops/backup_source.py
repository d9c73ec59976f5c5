"""What goes into a backup beside the database: the configuration, and the signing key where that is asked."""

import os
import tomllib

from kener_async.config.model import AuthConfig, Config
from kener_async.ops.signing_key import signing_secret
from kener_async.store.admin.archive import CONFIG, KEY
from kener_async.store.admin.backup import BackupSource
from kener_async.store.sqlite import files


def source_of(config: Config, *, with_key: bool = False) -> BackupSource:
    """A configuration that holds the signing key goes in only where the key does, too."""
    beside = {}
    text = _readable(config)
    if text is not None and (with_key or not _holds_key(text)):
        beside[CONFIG] = text
    if with_key:
        beside[KEY] = signing_secret(config.auth) + b"\n"
    return BackupSource(config.database.path, beside)


def _readable(config: Config) -> bytes | None:
    try:
        return config.file.read_bytes()
    except OSError:
        return None


def _holds_key(text: bytes) -> bool:
    try:
        return bool(tomllib.loads(text.decode()).get("auth", {}).get("secret_key"))
    except ValueError:
        return True  # edited since it was loaded; what it holds is not known


def put_key_back(auth: AuthConfig, key: bytes) -> str:
    """Put the key of a backup in its place, unless there is one already; says what was done."""
    if auth.secret_key or auth.secret_key_file.exists():
        if signing_secret(auth) == key.strip():
            return "the signing key is the one in the backup"
        return (
            "the signing key was left as it is; the one in the backup is another: its tokens will be refused"
        )
    path = auth.secret_key_file
    with files.workspace(path.parent) as work:
        draft = work / "key"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
        files.replace(draft, path)
    return f"the signing key is in {path}"
