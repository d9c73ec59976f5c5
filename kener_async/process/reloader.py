"""Reloads on SIGHUP: one at a time, and none that outlives the service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from kener_async.process.systemd import SystemdNotifier
from kener_async.worker.background import background

log = structlog.get_logger(__name__)


class Reloader:
    """Run `reload` when requested; `ready` are the states that systemd is sent after each one."""

    def __init__(
        self, reload: Callable[[], Awaitable[None]], notifier: SystemdNotifier, ready: Sequence[str]
    ) -> None:
        self._reload = reload
        self._notifier = notifier
        self._ready = ready
        self._requested = asyncio.Event()

    def request(self) -> None:
        """Reload now, or once more after the reload under way, which may have read an older file."""
        self._requested.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve requests until left; a reload under way is abandoned then, and systemd is sent no READY."""
        async with background(self._run(), "reloads"):
            yield

    async def _run(self) -> None:
        while True:
            await self._requested.wait()
            self._requested.clear()
            self._notifier.reloading()
            try:
                await self._reload()
            except Exception:
                log.exception("the reload failed")
            self._notifier.notify(*self._ready)
