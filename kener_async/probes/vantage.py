"""The vantage point of checks: what all probes of one process share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import ClientSession

from kener_async.probes.connector import session_of_checks
from kener_async.probes.names import Names
from kener_async.probes.sockets import Sockets
from kener_async.probes.stalls import Stalls
from kener_async.probes.targets import PublicTargets
from kener_async.probes.tls_contexts import TlsContexts

if TYPE_CHECKING:
    from kener_async.probes.settings import OAuth
    from kener_async.probes.tokens import StoredToken


@dataclass(frozen=True, slots=True)
class VantageSettings:
    """`[checks]`: how this process looks at targets. `name_servers` empty: the system's way.

    `private_targets` are networks that targets may reach that did not come from config.toml.
    """

    resolver_threads: int = 16
    name_servers: tuple[str, ...] = ()
    source_ipv4: str = ""
    source_ipv6: str = ""
    user_agent: str = "kener-async"
    ca_file: Path | None = None
    private_targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vantage:
    """What probes look with. It is opened in the event loop that they run in, and closed after them."""

    settings: VantageSettings
    names: Names
    sockets: Sockets
    contexts: TlsContexts
    stalls: Stalls
    session: ClientSession
    tokens: "dict[OAuth, StoredToken]" = field(default_factory=dict, repr=False)

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: VantageSettings) -> AsyncIterator["Vantage"]:
        """Open it; nothing is sent and no thread is started before the first look. Closed on leaving."""
        names = Names(settings.resolver_threads)
        contexts = TlsContexts(settings.ca_file)
        sockets = Sockets(
            names,
            PublicTargets(settings.private_targets),
            contexts,
            settings.source_ipv4,
            settings.source_ipv6,
        )
        try:
            async with session_of_checks(sockets, settings.user_agent) as session:
                yield cls(settings, names, sockets, contexts, Stalls(), session)
        finally:
            names.close()
