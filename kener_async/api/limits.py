"""Fair shares: how many samples each token may send (the generic cell rate algorithm, ITU-T I.371).

What a token sends beyond its rate empties a bucket that fills again with time. A batch may overdraw it; it is
paid for before the next one.
"""

from collections.abc import Callable
from math import ceil
from time import monotonic

from aiohttp import web

from kener_async.domain.errors import TooMany

REMEMBERED = 10_000


class Limits:
    """For each sender the moment at which its bucket is full again."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def take(self, sender: str, samples: int, rate: int, burst: int) -> None:
        """Count samples of the sender; raises TooMany when its bucket is empty. `rate` 0: no limit."""
        if not rate:
            return
        now = self._clock()
        full_at = max(self._full_at.get(sender, now), now)
        late = full_at - now - burst / rate
        if late >= 0:
            seconds = max(1, ceil(late))
            raise TooMany(f"too many samples from this sender, try again in {seconds} s", seconds)
        if len(self._full_at) >= REMEMBERED:
            self._forget(now)
        self._full_at[sender] = full_at + samples / rate

    def _forget(self, now: float) -> None:
        self._full_at = {sender: full_at for sender, full_at in self._full_at.items() if full_at > now}


LIMITS = web.AppKey("limits", Limits)
