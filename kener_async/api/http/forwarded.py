"""The client behind a reverse proxy: X-Forwarded-* headers, from trusted proxies only."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import web

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]

HOPS = 10
MAX_PORT = 65535
FORWARDED_FOR = "X-Forwarded-For"
HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?")
# A hop of X-Forwarded-For: ip, ip:port, [v6], [v6]:port, each perhaps in quotes.
HOP = re.compile(
    r'(?P<quote>"?)(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9.]+)|(?P<bare>[0-9A-Fa-f:.]+))'
    r"(?(bare)|(?::[0-9]{1,5})?)(?P=quote)"
)
# Headers by which a request shows that it came through a proxy, beside X-Forwarded-*.
PROXY_HEADERS = (
    "Forwarded",
    "Via",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Envoy-External-Address",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "True-Client-IP",
)


def client_address(request: web.Request, proxies: Networks) -> Address | None:
    """The address of the client: the rightmost in X-Forwarded-For that is not one of the proxies.

    Addresses left of it were sent by the client, so they prove nothing. None: the request came through a
    proxy that does not say for whom in a form known here; the proxy's own address must not stand for it.
    """
    peer = peer_address(request)
    if peer is None or not is_within(peer, proxies):
        # A peer on this machine that sends such headers is a proxy that is not configured as trusted.
        return None if peer is not None and peer.is_loopback and is_proxied(request) else peer
    hops = _hops(request)
    if not hops:
        return None if is_proxied(request) else peer
    address: Address | None = None
    for hop in reversed(hops[-HOPS:]):
        address = _hop_address(hop)
        if address is None or not is_within(address, proxies):
            return address
    return address if len(hops) <= HOPS else None


def client_origin(request: web.Request, proxies: Networks) -> str:
    """The scheme and host that the client used, such as "https://status.example.org"."""
    scheme, host = request.scheme, request.host
    peer = peer_address(request)
    if peer is not None and is_within(peer, proxies):
        forwarded_scheme = request.headers.get("X-Forwarded-Proto", "")
        forwarded_host = request.headers.get("X-Forwarded-Host", "")
        scheme = forwarded_scheme if forwarded_scheme in ("http", "https") else scheme
        host = forwarded_host if is_host(forwarded_host) else host
    return f"{scheme}://{host}"


def is_host(text: str) -> bool:
    """Whether the text is a host as in a URL: a name, an IPv4 or a bracketed IPv6 address, perhaps a port."""
    match = HOST.fullmatch(text)
    if match is None or int(match["port"] or 0) > MAX_PORT:
        return False
    return match["v6"] is None or (":" in match["v6"] and _address(match["v6"]) is not None)


def is_local(request: web.Request) -> bool:
    """Whether the request comes from this machine itself, and not through a proxy on it."""
    peer = peer_address(request)
    return peer is not None and peer.is_loopback and not is_proxied(request)


def is_proxied(request: web.Request) -> bool:
    """Whether a header shows that the request came through a proxy."""
    headers = request.headers
    return any(name in headers for name in PROXY_HEADERS) or any(
        name.lower().startswith("x-forwarded-") for name in headers
    )


def is_within(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def peer_address(request: web.Request) -> Address | None:
    """The address of the other end of the connection; an IPv4-mapped IPv6 address is IPv4."""
    return _address(request.remote or "")


def _hops(request: web.Request) -> list[str]:
    values = request.headers.getall(FORWARDED_FOR, ())
    return [hop.strip() for value in values for hop in value.split(",") if hop.strip()]


def _hop_address(text: str) -> Address | None:
    match = HOP.fullmatch(text)
    return None if match is None else _address(match["v6"] or match["v4"] or match["bare"])


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
