"""Fair shares: how many samples each token may send (the generic cell rate algorithm, ITU-T I.371).

What a token sends beyond its rate empties a bucket that fills again with time. A batch may overdraw it; it is
paid for before the next one. Who has nothing left is refused after a pause: a sender that has gone mad waits
for each answer, so the time of the others is not spent on refusals.
"""

import asyncio
from collections.abc import Callable
from math import ceil
from time import monotonic

from aiohttp import web

from kener_async.domain.errors import TooMany

REMEMBERED = 10_000
PAUSE = 1.0  # seconds


class RateLimiter:
    """For each sender the moment at which its bucket is full again."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}

    async def take(self, sender: str, samples: int, rate: int, burst: int) -> None:
        """Count samples of the sender; raises TooMany when its bucket is empty. `rate` 0: no limit."""
        if not rate:
            return
        now = self._clock()
        late = self._full_at.get(sender, now) - now - burst / rate
        if late >= 0:
            await asyncio.sleep(PAUSE)
            seconds = max(1, ceil(late))
            raise TooMany(f"too many samples from this sender, try again in {seconds} s", seconds)
        self.charge(sender, samples, rate)

    def charge(self, sender: str, samples: int, rate: int) -> None:
        """Count samples of a sender that was let in before it was known how many they are."""
        if not rate:
            return
        now = self._clock()
        if len(self._full_at) >= REMEMBERED:
            self._forget(now)
        self._full_at[sender] = max(self._full_at.get(sender, now), now) + samples / rate

    def _forget(self, now: float) -> None:
        self._full_at = {sender: full_at for sender, full_at in self._full_at.items() if full_at > now}


RATE_LIMITER = web.AppKey("limits", RateLimiter)
