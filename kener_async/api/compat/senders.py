"""Senders that do not speak our API: which monitor they report, and the way of their reports to the disk."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from aiohttp import web

from kener_async import keys
from kener_async.api.http.auth import AUTHENTICATOR
from kener_async.api.http.policy import ErrorFormat, RoutePolicy
from kener_async.api.http.rate_limit import RATE_LIMITER
from kener_async.config.model import Config, MonitorConfig
from kener_async.domain.calendar import minute_of
from kener_async.domain.errors import NotFound
from kener_async.domain.samples import Sample, Status
from kener_async.domain.states import MonitorState
from kener_async.keys import Running
from kener_async.store.tokens import digest_of

HEALTHCHECKS, UPTIME_KUMA, GATUS = "healthchecks", "uptime_kuma", "gatus"

SENDER = RoutePolicy(ErrorFormat.PLAIN_TEXT, is_public=True, is_heartbeat=True, has_secret_path=True)
KUMA_SENDER = replace(SENDER, error_format=ErrorFormat.UPTIME_KUMA)
GATUS_SENDER = replace(SENDER, has_secret_path=False)  # its secret is a token in a header


class SenderIndex:
    """The monitors by what senders of other services call them, in the configuration in force.

    They are looked up by digest: how long that takes says nothing about a name that is nearly right.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._config: Config | None = None
        self._monitors: Mapping[bytes, MonitorConfig] = {}

    def find(self, service: str, name: str) -> MonitorConfig | None:
        """The monitor that senders for the service call so."""
        config = self._running.config
        if config is not self._config:
            self._config, self._monitors = config, dict(_named(config))
        return self._monitors.get(_key(service, name))


SENDERS = web.AppKey("directory", SenderIndex)


def _named(config: Config) -> Iterator[tuple[bytes, MonitorConfig]]:
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


def called(request: web.Request, service: str, name: str, otherwise: str) -> MonitorConfig:
    """The monitor that the sender calls so; raises NotFound with the words for it, and Unauthenticated."""
    request.app[AUTHENTICATOR].check_address(request)
    monitor = request.app[SENDERS].find(service, name)
    if monitor is None:
        raise NotFound(otherwise)
    return monitor


async def admitted(request: web.Request, sender: str, tag: str) -> MonitorState:
    """The monitor of a sender that has not used up its share; raises NotFound and TooMany."""
    app = request.app
    state = app[keys.STATES].find(tag)
    if state is None:
        raise NotFound("not found")
    ingest = app[keys.RUNNING].config.ingest
    await app[RATE_LIMITER].take(sender, 1, ingest.token_rate, ingest.token_burst)
    return state


async def store(request: web.Request, state: MonitorState, status: Status, latency: float) -> None:
    """Return when what is so in this minute is on disk; raises Unavailable."""
    minute = minute_of(request.app[keys.CLOCK]())
    await request.app[keys.WRITER].put(Sample(state.id, minute, status, latency))
