"""Reports from clients that do not use our API: push keys, Healthchecks, Uptime Kuma, Gatus."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace

from aiohttp import web

from kener_async.api.http.auth import Authenticator
from kener_async.api.http.policy import ErrorFormat, RoutePolicy
from kener_async.api.http.rate_limit import RateLimiter
from kener_async.api.http.request_log import REQUESTER, Requester
from kener_async.api.tags import GROUP_TAG
from kener_async.clock import Clock
from kener_async.config.model import Config, MonitorConfig
from kener_async.domain.calendar import minute_of
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.samples import Sample, Status
from kener_async.domain.states import MonitorState, MonitorStates
from kener_async.keys import Running
from kener_async.store.tokens import digest_of

HEALTHCHECKS, UPTIME_KUMA, GATUS = "healthchecks", "uptime_kuma", "gatus"

SENDER = RoutePolicy(
    ErrorFormat.PLAIN_TEXT, is_public=True, is_heartbeat=True, takes_slash=True, has_secret_path=True
)
PING_SENDER = replace(SENDER, is_cross_origin=True)
KUMA_SENDER = replace(SENDER, error_format=ErrorFormat.UPTIME_KUMA)
GATUS_SENDER = replace(SENDER, has_secret_path=False)  # its secret is a token in a header


class SenderIndex:
    """The monitors of the current configuration by the names that other services have for them.

    They are looked up by digest, because the time of a look-up must not reveal a name that is almost right.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._config: Config | None = None
        self._monitors: Mapping[bytes, MonitorConfig] = {}

    def find(self, service: str, name: str) -> MonitorConfig | None:
        config = self._running.config
        if config is not self._config:
            self._config, self._monitors = config, dict(_names(config))
        return self._monitors.get(_key(service, name))


class SenderReports:
    """Find the monitor of a report, apply the rate limit, store the sample."""

    def __init__(
        self,
        running: Running,
        authenticator: Authenticator,
        rate_limiter: RateLimiter,
        states: MonitorStates,
        clock: Clock,
        put: Callable[[Sample], Awaitable[object]],
        put_heard: Callable[[int], Awaitable[object]],
    ) -> None:
        self._index = SenderIndex(running)
        self._authenticator = authenticator
        self._rate_limiter = rate_limiter
        self._states = states
        self._clock = clock
        self._put = put
        self._put_heard = put_heard

    def monitor(
        self, request: web.Request, service: str, name: str, unknown: str = "not found"
    ) -> MonitorConfig:
        """The monitor with this name; raises NotFound with the text `unknown`, and Unauthenticated."""
        self._authenticator.check_address(request)
        monitor = self._index.find(service, name)
        if monitor is None:
            raise NotFound(unknown)
        request[REQUESTER] = Requester(service, tag=monitor.tag)
        return monitor

    async def admit(self, sender: str, tag: str) -> MonitorState:
        """Count a sample of the sender; raises NotFound, Invalid for a group, and TooMany."""
        state = self._states.find(tag)
        if state is None:
            raise NotFound("not found")
        if tag in self._states.groups:
            raise Invalid(GROUP_TAG)
        await self._rate_limiter.take(sender, 1)
        return state

    async def store(self, state: MonitorState, status: Status, latency: float) -> None:
        """Store a sample of the current minute; on return it is durable. Raises Unavailable."""
        await self._put(Sample(state.id, minute_of(self._clock()), status, latency))

    async def hear(self, state: MonitorState) -> None:
        """Store that the monitor was heard, and no sample. Raises Unavailable."""
        await self._put_heard(state.id)


SENDER_REPORTS = web.AppKey("sender reports", SenderReports)


def _names(config: Config) -> Iterator[tuple[bytes, MonitorConfig]]:
    for monitor in config.monitors:
        senders = monitor.senders
        for check in senders.checks:
            yield _key(HEALTHCHECKS, check), monitor
        if senders.push_token:
            yield _key(UPTIME_KUMA, senders.push_token), monitor
        if senders.gatus_key:
            yield _key(GATUS, senders.gatus_key), monitor


def _key(service: str, name: str) -> bytes:
    return digest_of(f"{service} {name}")
