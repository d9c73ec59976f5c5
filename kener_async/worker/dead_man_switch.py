"""The dead man's switch: while the service can work it asks for an address, and its silence raises the alarm.

Whoever waits at that address notices what the service itself cannot tell: that it hangs, or that its machine
or its network is gone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

from kener_async import __version__
from kener_async.clock import Clock
from kener_async.metrics import Metrics

log = structlog.get_logger(__name__)

SECONDS = 10  # within which the other side must have answered
SENT, FAILED, WITHHELD = "sent", "failed", "withheld"


class DeadMan:
    """`url` is asked each time, as a reload may change it; `faults` is what keeps the service from work."""

    def __init__(
        self,
        url: Callable[[], str],
        faults: Callable[[], Awaitable[Sequence[str]]],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._url = url
        self._faults = faults
        self._clock = clock
        self._metrics = metrics
        self._last = SENT
        self._asking: asyncio.Task[str] | None = None

    async def ping(self) -> None:
        """The scheduled job: ask for the address if there is one and nothing is wrong here."""
        url = self._url()
        if not url:
            return
        faults = await self._faults()
        if faults:
            self._note(WITHHELD, url, "; ".join(faults))
            return
        self._asking = asyncio.create_task(_asked(url), name="ping")
        await asyncio.wait({self._asking})
        if not self._asking.cancelled():
            reason = self._asking.result()
            self._note(FAILED if reason else SENT, url, reason)

    def _note(self, result: str, url: str, reason: str) -> None:
        """Count it, and log it where it is another than the last; never the path, which may be a secret."""
        self._metrics.pings.labels(result).inc()
        if result == SENT:
            self._metrics.ping_time.set(self._clock())
        if result != self._last:
            level = log.info if result == SENT else log.warning
            level("the dead man's switch", ping=result, host=urlsplit(url).hostname, reason=reason or None)
        self._last = result

    @contextmanager
    def given_up_at_the_end(self) -> Iterator[None]:
        """On leaving, no answer is waited for any more, so that a stop need not wait for it."""
        try:
            yield
        finally:
            if self._asking is not None:
                self._asking.cancel()


async def _asked(url: str) -> str:
    """Ask for the address; why that went wrong, empty if it did not."""
    headers = {"User-Agent": f"kener-async/{__version__}"}
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=SECONDS), headers=headers) as session,
            session.get(url, max_redirects=3) as reply,
        ):
            return "" if reply.status < 400 else f"answered {reply.status}"
    except TimeoutError:
        return f"no answer within {SECONDS} s"
    except (ClientError, OSError, ValueError) as error:
        return type(error).__name__
