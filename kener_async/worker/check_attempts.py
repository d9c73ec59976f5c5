"""Attempts of checks from the vantage point of this server, which is opened when the first is made."""

import asyncio
from collections.abc import Container
from contextlib import AsyncExitStack

from kener_async.domain.checks import Attempt
from kener_async.probes.attempt import attempt
from kener_async.probes.probe import Probe, Trace
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import CheckSettings
from kener_async.probes.sockets import Route
from kener_async.probes.vantage import Vantage, VantageSettings


class VantageProber:
    """A Prober (worker/checks.py) that keeps the probe of each monitor. Until the first attempt it has no
    sockets, sessions or threads."""

    def __init__(self, settings: VantageSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._vantage: Vantage | None = None
        self._probes: dict[str, tuple[CheckSettings, Probe]] = {}  # by tag

    async def attempt(self, check: CheckSettings, at: float) -> Attempt:
        """One attempt, begun at the instant `at` (UTC seconds)."""
        vantage = self._vantage or await self._opened()
        known, probe = self._probes.get(check.tag, (None, None))
        if probe is None or known is not check:
            probe = probe_of(check, vantage)
            self._probes[check.tag] = check, probe
        return await attempt(check, probe, at, vantage)

    async def connect(self, host: str, port: int) -> None:
        """Connect over TCP, and close; raises what keeps it from connecting."""
        vantage = self._vantage or await self._opened()
        _, writer = await vantage.sockets.connect(host, port, Route(), Trace())
        writer.transport.abort()

    def keep_only(self, tags: Container[str]) -> None:
        """Drop the probes of all other monitors."""
        self._probes = {tag: kept for tag, kept in self._probes.items() if tag in tags}

    async def close(self) -> None:
        """Close the vantage, after the last attempt."""
        await self._stack.aclose()

    async def _opened(self) -> Vantage:
        async with self._opening:
            if self._vantage is None:
                self._vantage = await self._stack.enter_async_context(Vantage.opened(self._settings))
            return self._vantage
