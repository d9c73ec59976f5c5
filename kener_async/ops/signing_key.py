"""The signing key: read it, or create it on the first start."""

import os
import secrets
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from kener_async.api.http.auth import Keys
from kener_async.config.fields import is_placeholder
from kener_async.config.model import AuthConfig
from kener_async.errors import FatalError, reason_of
from kener_async.store.sqlite import files

log = structlog.get_logger(__name__)

LEAST_BYTES = 32
KINDS = {"EdDSA": (Ed25519PublicKey, Ed448PublicKey), "RS256": (RSAPublicKey,)}


class SigningKeyError(FatalError):
    """The signing key or the public key cannot be used; the server cannot run without."""


def signing_keys(auth: AuthConfig) -> Keys:
    """Load the keys that verify tokens; raises SigningKeyError."""
    public = None if auth.public_key_file is None else _public_key(auth.public_key_file, auth.algorithm)
    return Keys(signing_secret(auth), auth.algorithm, public, auth.audience)


def signing_secret(auth: AuthConfig) -> bytes:
    """Load the secret that signs tokens; creates the default file if the configuration names none."""
    if auth.secret_key:
        return auth.secret_key.encode()
    path = auth.secret_key_file
    if auth.makes_secret_key and not path.exists():
        _create(path)
    return _secret_in(path)


def _create(path: Path) -> None:
    files.make_folder(path)
    try:
        # Write to a temporary name first, so that no process ever reads an incomplete key.
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        files.give_to_owner_of(path.absolute().parent, draft)
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # another process has created it
        finally:
            draft.unlink()
    except OSError as error:
        raise SigningKeyError(f"{path}: the key cannot be created: {reason_of(error)}") from error
    log.info("created a new signing key", file=str(path))


def _secret_in(path: Path) -> bytes:
    try:
        secret = path.read_bytes().strip()
        mode = path.stat().st_mode
    except OSError as error:
        raise SigningKeyError(f"{path}: the key cannot be read: {reason_of(error)}") from error
    if len(secret) < LEAST_BYTES:
        raise SigningKeyError(f"{path}: the key is shorter than {LEAST_BYTES} bytes")
    if is_placeholder(secret.decode("utf-8", "replace")):
        raise SigningKeyError(f"{path}: the key is a placeholder, not a secret")
    if mode & 0o007:
        raise SigningKeyError(f"{path}: the key is readable by everyone: chmod 600 {path}")
    return secret


def _public_key(path: Path, algorithm: str) -> object:
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise SigningKeyError(f"{path}: the key cannot be read: {reason_of(error)}") from error
    except ValueError as error:
        raise SigningKeyError(f"{path}: is not a public key in PEM format") from error
    if not isinstance(key, KINDS[algorithm]):
        raise SigningKeyError(f"{path}: is not a key for {algorithm}")
    return key
