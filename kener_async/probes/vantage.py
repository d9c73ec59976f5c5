"""The vantage point of checks: what all probes of one process share."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import ClientSession

from kener_async.probes.connector import session_of_checks
from kener_async.probes.names import Names, NameServers
from kener_async.probes.settings import OAuth, VantageSettings
from kener_async.probes.sockets import Sockets
from kener_async.probes.stalls import Stalls
from kener_async.probes.targets import PublicTargets
from kener_async.probes.tls_contexts import TlsContexts

if TYPE_CHECKING:
    from kener_async.probes.oauth import StoredToken

__all__ = ["Vantage", "VantageSettings"]


@dataclass(frozen=True, slots=True)
class Vantage:
    """What probes look with. It is opened in the event loop that they run in, and closed after them."""

    settings: VantageSettings
    names: Names
    sockets: Sockets
    contexts: TlsContexts
    stalls: Stalls
    session: ClientSession
    tokens: dict[OAuth, "StoredToken"] = field(default_factory=dict, repr=False)

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: VantageSettings) -> AsyncIterator["Vantage"]:
        """Open it; nothing is sent and no thread is started before the first look. Closed on leaving.

        Raises ValueError for a name server that cannot be parsed.
        """
        contexts = TlsContexts(settings.ca_file)
        targets = PublicTargets(settings.private_targets)
        sources = (settings.source_ipv4, settings.source_ipv6)
        names = system_names = Names(settings.resolver_threads)
        sockets = Sockets(names, targets, contexts, *sources)
        if settings.name_servers:  # whose own names the system looks up
            names = Names(settings.resolver_threads, _resolver(settings.name_servers, sockets))
            sockets = Sockets(names, targets, contexts, *sources)
        try:
            async with session_of_checks(sockets, settings.user_agent) as session:
                yield cls(settings, names, sockets, contexts, Stalls(), session)
        finally:
            system_names.close()
            names.close()


def _resolver(servers: Sequence[str], sockets: Sockets) -> NameServers:
    """Imported here, because the library for it takes memory that most do not need."""
    from kener_async.probes.name_servers import NameServer
    from kener_async.probes.resolver import Resolver

    return Resolver([NameServer.parse(each) for each in servers], sockets)
