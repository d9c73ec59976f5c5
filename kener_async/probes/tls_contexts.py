"""TLS contexts, made once each: making one takes twenty milliseconds."""

import asyncio
import ssl
from pathlib import Path
from typing import NamedTuple

from kener_async.domain.checks import Obstacle
from kener_async.probes.own_faults import words_of
from kener_async.probes.probe import NotMeasured
from kener_async.probes.settings import TlsSettings


class _Key(NamedTuple):
    verify: bool
    certificate: Path | None
    changed_at: int  # of the certificate's file: one that is renewed is loaded again


class TlsContexts:
    """The contexts of a process. `ca_file` has authorities that are believed besides the system's."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file
        self._made: dict[_Key, ssl.SSLContext] = {}
        self._lock = asyncio.Lock()

    async def of(self, settings: TlsSettings) -> ssl.SSLContext:
        """The context for a target's settings; raises NotMeasured when a file of ours cannot be read."""
        key = _Key(settings.verify, settings.certificate, _changed_at(settings.certificate))
        if (made := self._made.get(key)) is not None:
            return made
        async with self._lock:
            if key not in self._made:
                self._drop_older(key)
                self._made[key] = await asyncio.to_thread(self._make, key)
            return self._made[key]

    def _drop_older(self, key: _Key) -> None:
        for each in [each for each in self._made if each[:2] == key[:2]]:
            del self._made[each]

    def _make(self, key: _Key) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # which not every system sets
        if self._ca_file is not None:
            try:
                context.load_verify_locations(self._ca_file)
            except OSError as error:
                raise NotMeasured(Obstacle.SECRET, f"ca_file cannot be read: {_why(error)}") from None
        if not key.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if key.certificate is not None:
            try:
                context.load_cert_chain(key.certificate, password=_no_password)
            except (OSError, ValueError) as error:
                text = f"client_certificate cannot be read: {_why(error)}"
                raise NotMeasured(Obstacle.SECRET, text) from None
        return context


def _changed_at(path: Path | None) -> int:
    if path is None:
        return 0
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        text = f"client_certificate cannot be read: {words_of(error)}"
        raise NotMeasured(Obstacle.SECRET, text) from None


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) or not isinstance(error, OSError):
        return "it is not PEM with a certificate and its key"
    return words_of(error)


def _no_password() -> str:
    """Instead of a question on the terminal."""
    raise ValueError("it needs a password")
