"""The client behind a reverse proxy: X-Forwarded-* headers, from trusted proxies only."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from aiohttp import web

Networks = Sequence[IPv4Network | IPv6Network]

HOPS = 10
HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def client_address(request: web.Request, proxies: Networks) -> str:
    """The address of the client: the rightmost in X-Forwarded-For that is not one of the proxies.

    Addresses left of it were sent by the client, so they prove nothing.
    """
    address = request.remote or ""
    if not is_within(address, proxies):
        return address
    hops = [
        hop.strip() for value in request.headers.getall("X-Forwarded-For", ()) for hop in value.split(",")
    ]
    for hop in reversed(hops[-HOPS:]):
        if not _is_address(hop):
            return address
        address = hop
        if not is_within(hop, proxies):
            return address
    return address


def client_origin(request: web.Request, proxies: Networks) -> str:
    """The scheme and host that the client used, such as "https://status.example.org"."""
    scheme, host = request.scheme, request.host
    if is_within(request.remote or "", proxies):
        forwarded_scheme = request.headers.get("X-Forwarded-Proto", "")
        forwarded_host = request.headers.get("X-Forwarded-Host", "")
        scheme = forwarded_scheme if forwarded_scheme in ("http", "https") else scheme
        host = forwarded_host if HOST.fullmatch(forwarded_host) else host
    return f"{scheme}://{host}"


def is_within(text: str, networks: Networks) -> bool:
    """Whether the text is an address in one of the networks; an IPv4-mapped IPv6 address counts as IPv4."""
    if not networks or not _is_address(text):
        return False
    address = ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
