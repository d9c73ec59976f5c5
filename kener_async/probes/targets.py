"""Where a check may go: the guard for targets that did not come from config.toml.

It judges addresses, not names, and is asked where a socket is made: names that change, redirects and
addresses spelled in unusual ways all end there.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

# IANA's special-purpose registries, multicast and what is reserved; the same in every version of Python.
NOT_PUBLIC_IPV4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
GLOBAL_UNICAST_IPV6 = IPv6Network("2000::/3")
NOT_PUBLIC_IPV6 = tuple(
    IPv6Network(each)
    for each in ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20", "3ffe::/16")
)
LINK_LOCAL = (IPv4Network("169.254.0.0/16"), IPv6Network("fe80::/10"))
NAT64 = IPv6Network("64:ff9b::/96")
TEREDO = IPv6Network("2001::/32")


class PublicTargets:
    """The addresses that anybody's targets may reach: public ones, and those in the networks named here.

    Link-local addresses are reached only through a network that lies within theirs.
    """

    def __init__(self, private_networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ip_network(each, strict=False) for each in private_networks)

    def allow(self, address: str) -> bool:
        """Whether a socket may be connected to the address, a literal one; what it carries counts, too."""
        return all(self._allows(each) for each in carried(ip_address(address.partition("%")[0])))

    def _allows(self, address: IpAddress) -> bool:
        return is_public(address) or any(self._names(each, address) for each in self._networks)

    @staticmethod
    def _names(network: IpNetwork, address: IpAddress) -> bool:
        if network.version != address.version or address not in network:
            return False
        return all(address not in local or _is_within(network, local) for local in LINK_LOCAL)


def carried(address: IpAddress) -> tuple[IpAddress, ...]:
    """The addresses that decide: those within a mapped, NAT64, 6to4 or Teredo address, else itself."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in NAT64:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address in TEREDO:
        return address.teredo or ()
    return (address,)


def is_public(address: IpAddress) -> bool:
    """Whether it is a global unicast address of no special purpose."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_PUBLIC_IPV4)
    return address in GLOBAL_UNICAST_IPV6 and not any(address in network for network in NOT_PUBLIC_IPV6)


def _is_within(network: IpNetwork, other: IpNetwork) -> bool:
    if isinstance(network, IPv4Network) and isinstance(other, IPv4Network):
        return network.subnet_of(other)
    return isinstance(network, IPv6Network) and isinstance(other, IPv6Network) and network.subnet_of(other)
