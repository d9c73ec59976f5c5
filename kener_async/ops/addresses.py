"""The address at which this machine reaches its own server."""

# A server that listens on all addresses cannot be opened at the one that stands for them.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to connect, not where to listen


def local_host(host: str) -> str:
    """The host to connect to, for a host to listen on."""
    return EVERYWHERE.get(host, host)


def local_url(host: str, port: int) -> str:
    """An address that can be opened, without a slash at its end."""
    reached = local_host(host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
