"""The dead man's switch: ping an address while the service works, so that its silence raises an alarm.

The monitor at that address notices what the service cannot report itself: that it hangs, or that its machine
or network is gone.
"""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

from kener_async import __version__
from kener_async.clock import Clock
from kener_async.metrics import Metrics
from kener_async.worker.stop import StopToken

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 10
SENT, FAILED, WITHHELD = "sent", "failed", "withheld"


class DeadMansSwitch:
    """Ping `url()`, which a reload may change, as long as `problems()` is empty."""

    def __init__(
        self,
        url: Callable[[], str],
        problems: Callable[[], Awaitable[Sequence[str]]],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._url = url
        self._problems = problems
        self._clock = clock
        self._metrics = metrics
        self._last = SENT

    async def ping(self, stop: StopToken) -> None:
        """The scheduled job: ping the address, if one is configured and nothing is wrong here."""
        url = self._url()
        if not url:
            return
        problems = await self._problems()
        if problems:
            self._note(WITHHELD, url, "; ".join(problems))
            return
        reason = await stop.cancelling(_ping(url))
        if reason is not None:
            self._note(FAILED if reason else SENT, url, reason)

    def _note(self, result: str, url: str, reason: str) -> None:
        """Count the result, and log it when it changes; never the path, which may be a secret."""
        self._metrics.pings.labels(result).inc()
        if result == SENT:
            self._metrics.ping_time.set(self._clock())
        if result != self._last:
            level = log.info if result == SENT else log.warning
            level("the dead man's switch", ping=result, host=urlsplit(url).hostname, reason=reason or None)
        self._last = result


async def _ping(url: str) -> str:
    """Request the address; returns why that failed, or an empty text."""
    headers = {"User-Agent": f"kener-async/{__version__}"}
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=TIMEOUT_SECONDS), headers=headers) as session,
            session.get(url, max_redirects=3) as reply,
        ):
            return "" if reply.status < 400 else f"answered {reply.status}"
    except TimeoutError:
        return f"no answer within {TIMEOUT_SECONDS} s"
    except (ClientError, OSError, ValueError) as error:
        return type(error).__name__
