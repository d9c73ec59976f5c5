"""Senders that do not speak our API: which monitor they report, and the way of their reports to the disk."""

from collections.abc import Iterator, Mapping

from aiohttp import web

from kener_async import keys
from kener_async.api.http.auth import GATEKEEPER
from kener_async.api.http.rate_limit import LIMITS
from kener_async.config.model import Config, Monitor
from kener_async.domain.calendar import minute_of
from kener_async.domain.errors import NotFound
from kener_async.domain.samples import Sample, Status
from kener_async.domain.states import Live
from kener_async.keys import Running
from kener_async.store.tokens import digest_of

HEALTHCHECKS, UPTIME_KUMA, GATUS = "healthchecks", "uptime_kuma", "gatus"


class Directory:
    """The monitors by what senders of other services call them, in the configuration in force.

    They are looked up by digest: how long that takes says nothing about a name that is nearly right.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._config: Config | None = None
        self._monitors: Mapping[bytes, Monitor] = {}

    def find(self, service: str, name: str) -> Monitor | None:
        """The monitor that senders for the service call so."""
        config = self._running.config
        if config is not self._config:
            self._config, self._monitors = config, dict(_named(config))
        return self._monitors.get(_key(service, name))


DIRECTORY = web.AppKey("directory", Directory)


def _named(config: Config) -> Iterator[tuple[bytes, Monitor]]:
    for monitor in config.monitors:
        names = monitor.senders
        for check in names.checks:
            yield _key(HEALTHCHECKS, check), monitor
        if names.push_token:
            yield _key(UPTIME_KUMA, names.push_token), monitor
        if names.gatus_key:
            yield _key(GATUS, names.gatus_key), monitor


def _key(service: str, name: str) -> bytes:
    return digest_of(f"{service} {name}")


def called(request: web.Request, service: str, name: str, otherwise: str) -> Monitor:
    """The monitor that the sender calls so; raises NotFound with the words for it, and Unauthenticated."""
    request.app[GATEKEEPER].check_address(request)
    monitor = request.app[DIRECTORY].find(service, name)
    if monitor is None:
        raise NotFound(otherwise)
    return monitor


async def admitted(request: web.Request, sender: str, tag: str) -> Live:
    """The monitor of a sender that has not used up its share; raises NotFound and TooMany."""
    app = request.app
    live = app[keys.BOARD].find(tag)
    if live is None:
        raise NotFound("not found")
    ingest = app[keys.RUNNING].config.ingest
    await app[LIMITS].take(sender, 1, ingest.token_rate, ingest.token_burst)
    return live


async def store(request: web.Request, live: Live, status: Status, latency: float) -> None:
    """Return when what is so in this minute is on disk; raises Unavailable."""
    minute = minute_of(request.app[keys.CLOCK]())
    await request.app[keys.INBOX].put(Sample(live.id, minute, status, latency))
