"""Where passkeys are for: the relying party of WebAuthn, which the public address of the site gives."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from kener_async.domain.errors import Invalid

LONGEST_ANSWER = 16_384  # characters of the JSON that a browser answers with
DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The site as browsers know it: passkeys are bound to `id`, a host, and answers name `origin`."""

    id: str
    origin: str


def relying_party_of(public_url: str) -> RelyingParty:
    """The relying party of an address such as "https://status.example.org".

    Raises Invalid with the reason where browsers offer no passkeys: without https, but for http on loopback,
    or where the host is an address instead of a name.
    """
    if not public_url:
        raise Invalid("public_url is not set")
    parts = urlsplit(public_url)
    host, scheme = _ascii_host(parts.hostname or ""), parts.scheme.lower()
    if _is_address(host):
        raise Invalid("the host of public_url is an address, and passkeys are bound to a name")
    if scheme != "https" and not is_loopback(host):
        raise Invalid("public_url is not https")
    port = "" if parts.port in (None, DEFAULT_PORTS[scheme]) else f":{parts.port}"
    return RelyingParty(host, f"{scheme}://{host}{port}")


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address, is this machine by what it says itself."""
    if _is_address(host):
        return ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _ascii_host(host: str) -> str:
    """The host as browsers write it in an origin."""
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:
        raise Invalid("the host of public_url is not a name") from None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
