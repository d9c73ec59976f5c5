"""Certificates that targets send: their subjects and ends, and in words why one is not good."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from kener_async.domain.checks import SeenCertificate
from kener_async.domain.masking import shortened

if TYPE_CHECKING:  # the library takes 10 MB, which a device that sees no certificate shall not pay
    from cryptography import x509

# Codes of OpenSSL (x509_vfy.h) for what is wrong with a certificate.
NOT_YET_VALID, HAS_EXPIRED = 9, 10
SELF_SIGNED, SELF_SIGNED_IN_CHAIN = 18, 19
NO_ISSUER, NO_FIRST_ISSUER = 20, 21
WRONG_HOST, WRONG_ADDRESS = 62, 64
NAMES_SHOWN = 3
LONGEST_NAME = 200  # characters
DAY_SECONDS = 86_400


class TlsConnection(Protocol):
    """What is needed of an ssl.SSLObject."""

    def getpeercert(self, binary_form: bool = False) -> Any: ...


def sent_chain(tls: TlsConnection | None) -> tuple[bytes, ...]:
    """The certificates as the target sent them (DER), its own first; also of one that is not verified."""
    if tls is None:
        return ()
    if hasattr(tls, "get_unverified_chain"):  # Python 3.13
        return tuple(tls.get_unverified_chain() or ())
    # Until then only the object below has it (Python 3.10 to 3.12); without it there is the first one.
    inner = getattr(tls, "_sslobj", None)
    if inner is not None and hasattr(inner, "get_unverified_chain"):
        sent = inner.get_unverified_chain() or ()
        return tuple(ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in sent)
    own = tls.getpeercert(True)
    return (own,) if own else ()


def seen(chain: Sequence[bytes], fault: str = "") -> tuple[SeenCertificate, ...]:
    """What is known of a chain; `fault` is that of the target's own certificate."""
    found = [known for der in chain if (known := _seen(der)) is not None]
    if fault and found:
        own = found[0]
        found[0] = SeenCertificate(own.fingerprint, own.subject, own.issuer, own.ends, fault)
    return tuple(found)


def fault_of(error: ssl.SSLCertVerificationError, chain: Sequence[bytes], host: str, now: float) -> str:
    """Why a certificate was refused, such as `the certificate expired 3 days ago`; `now` in UTC seconds."""
    certificates = [parsed for der in chain if (parsed := _parsed(der)) is not None]
    if not certificates:
        return f"the certificate is not valid: {error.verify_message}"
    match error.verify_code:
        case code if code == HAS_EXPIRED:
            return _expired(certificates, now)
        case code if code == NOT_YET_VALID:
            first = max(each.not_valid_before_utc for each in certificates)
            return f"the certificate is not valid before {first:%Y-%m-%d %H:%M} UTC"
        case code if code in {WRONG_HOST, WRONG_ADDRESS}:
            return f"the certificate is for {_names(certificates[0])}, not for {host}"
        case code if code == SELF_SIGNED:
            return "the certificate is self-signed"
        case code if code in {SELF_SIGNED_IN_CHAIN, NO_ISSUER, NO_FIRST_ISSUER}:
            return _unknown_issuer(certificates)
        case _:
            return f"the certificate is not valid: {error.verify_message}"


def first_end(certificates: Sequence[SeenCertificate]) -> int | None:
    """The earliest end of a chain in UTC seconds."""
    return min((each.ends for each in certificates), default=None)


def _expired(certificates: Sequence["x509.Certificate"], now: float) -> str:
    first = min(certificates, key=lambda each: each.not_valid_after_utc)
    ended = first.not_valid_after_utc
    days = int((datetime.fromtimestamp(now, UTC) - ended).total_seconds() // DAY_SECONDS)
    ago = "today" if days < 1 else "1 day ago" if days == 1 else f"{days} days ago"
    whose = "the certificate" if first is certificates[0] else f"the certificate of {_name(first.subject)}"
    return f"{whose} expired {ago}, on {ended:%Y-%m-%d}"


def _unknown_issuer(certificates: Sequence["x509.Certificate"]) -> str:
    issuer = _name(certificates[-1].issuer)
    if len(certificates) == 1:
        return f"the certificate of {issuer}, which signed it, was not sent and is not known"
    return f"the certificate is signed by an unknown authority: {issuer}"


def _names(certificate: "x509.Certificate") -> str:
    """The first of the names that it is for."""
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return _name(certificate.subject)
    names = [_printable(str(each.value)) for each in extension]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more if names else _name(certificate.subject)


def _name(name: "x509.Name") -> str:
    """The common name, else the organisation, else all of it."""
    from cryptography.x509.oid import NameOID

    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := name.get_attributes_for_oid(kind):
            return _printable(str(found[0].value))
    return _printable(name.rfc4514_string()) or "(no name)"


def _printable(text: str) -> str:
    """The beginning of a text of strangers, without what a terminal or a log takes as a command."""
    printable = "".join(each if each.isprintable() else " " for each in text[: LONGEST_NAME + 1])
    return shortened(printable, LONGEST_NAME)


@lru_cache(maxsize=1024)
def _seen(der: bytes) -> SeenCertificate | None:
    certificate = _parsed(der)
    if certificate is None:
        return None
    return SeenCertificate(
        sha256(der).digest(),
        _name(certificate.subject),
        _name(certificate.issuer),
        int(certificate.not_valid_after_utc.timestamp()),
    )


def _parsed(der: bytes) -> "x509.Certificate | None":
    """A certificate, or None for one that cannot be read; those of strangers may be malformed in any way."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer, certificate.not_valid_after_utc
    except (ValueError, TypeError, OverflowError):
        return None
    return certificate
