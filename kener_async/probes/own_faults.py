"""Errors of the system in words, and which of them are our own and say nothing about a target."""

import errno
import os
import ssl

from kener_async.domain.checks import Obstacle
from kener_async.probes.probe import NotMeasured

OWN_FAULTS = {
    errno.EMFILE: Obstacle.FILES,
    errno.ENFILE: Obstacle.FILES,
    errno.ENOMEM: Obstacle.MEMORY,
    errno.ENOBUFS: Obstacle.MEMORY,
    errno.EACCES: Obstacle.PERMISSION,
    errno.EPERM: Obstacle.PERMISSION,  # also of a packet that the firewall of this host rejects
    errno.EADDRNOTAVAIL: Obstacle.ADDRESS,
    errno.EADDRINUSE: Obstacle.ADDRESS,
    errno.EAFNOSUPPORT: Obstacle.ADDRESS,
}
TEXTS = {
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files in the system",
    errno.EADDRNOTAVAIL: "no local address or port to connect from",
    errno.EAFNOSUPPORT: "this host does not speak that version of IP",
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection closed by the target",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "no answer",
}


def obstacle_of(error: BaseException) -> Obstacle | None:
    """The fault of our own that an error stands for; None: it is the target's."""
    if isinstance(error, MemoryError):
        return Obstacle.MEMORY
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return Obstacle.MEMORY
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return OWN_FAULTS.get(error.errno) if error.errno is not None else None
    return None


def words_of(error: OSError) -> str:
    """What the system says, without addresses and numbers, such as `connection refused`."""
    if isinstance(error, ssl.SSLError):
        return tls_words(error)
    if error.errno in TEXTS:
        return TEXTS[error.errno]
    if isinstance(error, TimeoutError):
        return "no answer"
    text = error.strerror or (str(error) if error.errno is None else "") or type(error).__name__
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def tls_words(error: ssl.SSLError) -> str:
    """What OpenSSL says of a handshake, such as `TLS failed: no shared cipher`."""
    reason = str(getattr(error, "reason", None) or "").replace("_", " ").lower()
    reason = reason.removeprefix("tlsv1 alert ").removeprefix("sslv3 alert ")
    if isinstance(error, ssl.SSLEOFError) or "unexpected eof" in reason:
        reason = "the connection was closed in the handshake"
    elif reason in {"protocol version", "unsupported protocol"}:
        reason = "the target does not speak TLS 1.2 or newer"
    elif reason in {"wrong version number", "packet length too long", "http request"}:
        return "the target does not speak TLS"
    return f"TLS failed: {reason}" if reason else "TLS failed"


def without_files() -> NotMeasured | None:
    """The error for a process that can open no file now; None: it can.

    What cannot open its files may say that a name does not exist, or that an authority is not known.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            return NotMeasured(Obstacle.FILES, TEXTS[error.errno])
    return None
