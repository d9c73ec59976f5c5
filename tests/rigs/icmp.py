"""Whether this process may ping, for tests that need it."""

import socket
from contextlib import closing

from kener_async.probes.icmp import PROTOCOLS, EchoSocket
from kener_async.probes.probe import NotMeasured

LOOPBACK = {4: "127.0.0.1", 6: "::1"}


def may_ping(version: int) -> str:
    """The sockets by which this process may ping over IP `version`: `datagram`, `raw`, or empty for none.

    A datagram socket needs no privilege where net.ipv4.ping_group_range has a group of the process, also for
    IPv6; a raw one needs CAP_NET_RAW. Raises OSError.
    """
    kinds = []

    def opening(kind: socket.SocketKind, protocol: int) -> socket.socket:
        kinds.append(kind)
        return socket.socket(PROTOCOLS[version][0], kind, protocol)

    try:
        with closing(EchoSocket(LOOPBACK[version], opening)):
            return "raw" if kinds[-1] is socket.SOCK_RAW else "datagram"
    except NotMeasured:
        return ""
