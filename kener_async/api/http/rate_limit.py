"""A rate limit for each sender: the generic cell rate algorithm (ITU-T I.371).

A sender has a burst of samples that refills at a rate. A batch may overdraw it, and the next request waits
until that is paid back.
"""

import asyncio
from collections.abc import Callable
from math import ceil
from time import monotonic
from typing import NoReturn

from aiohttp import web

from kener_async.domain.errors import TooMany
from kener_async.keys import Running

MAX_SENDERS = 10_000  # beyond these, senders with a full burst are forgotten
DELAY_SECONDS = 1.0


class RateLimiter:
    """Limit the samples of each token or other sender by `[ingest] token_rate` and `token_burst`."""

    def __init__(self, running: Running, clock: Callable[[], float] = monotonic) -> None:
        self._running = running
        self._clock = clock
        self._full_at: dict[str, float] = {}  # when the sender's burst is complete again

    async def take(self, sender: str, samples: int) -> None:
        """Count samples of the sender; raises TooMany if it is over its limit."""
        if not self.admits(sender, samples):
            await self.refuse(sender)

    def admits(self, sender: str, samples: int) -> bool:
        """Count samples of a sender within its limit; `refuse` any other. A rate of 0 is no limit."""
        if self._running.config.ingest.token_rate:
            if self._wait(sender) >= 0:
                return False
            self.charge(sender, samples)
        return True

    async def refuse(self, sender: str) -> NoReturn:
        """Raise TooMany after a delay.

        Because a sender in a tight loop waits for each response, refusals then do not take the time of other
        requests.
        """
        seconds = max(1, ceil(self._wait(sender)))
        await asyncio.sleep(DELAY_SECONDS)
        raise TooMany(f"too many samples from this sender, try again in {seconds} s", seconds)

    def _wait(self, sender: str) -> float:
        """Seconds until the sender is within its limit; negative while it is."""
        ingest, now = self._running.config.ingest, self._clock()
        return self._full_at.get(sender, now) - now - ingest.token_burst / ingest.token_rate

    def charge(self, sender: str, samples: int) -> None:
        """Count samples of a request that was accepted before their number was known."""
        rate = self._running.config.ingest.token_rate
        if not rate:
            return
        now = self._clock()
        if len(self._full_at) >= MAX_SENDERS:
            self._full_at = {name: full_at for name, full_at in self._full_at.items() if full_at > now}
        self._full_at[sender] = max(self._full_at.get(sender, now), now) + samples / rate


RATE_LIMITER = web.AppKey("rate limiter", RateLimiter)
