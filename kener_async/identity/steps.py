"""Steps of a sign-in that strangers may begin: bounded by network, and in how many are stored."""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from kener_async.domain.errors import TooMany, Unavailable
from kener_async.domain.guesses import network_of
from kener_async.store import challenges
from kener_async.store.interface import Session

MOST_STEPS = 10_000  # of a kind stored at once
MOST_NETWORKS = 10_000  # remembered at once
BURST = 30  # steps of one network, which
REFILL_SECONDS = 10.0  # brings back one of


class StepLimiter:
    """Limit how many steps a network may begin, as each is a row on the disk."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._full_at: dict[str, float] = {}  # when the burst of a network is complete again

    def take(self, address: str) -> None:
        """Count a step of the network of an address; raises TooMany."""
        network, now = network_of(address), self._monotonic()
        full_at = max(self._full_at.get(network, now), now) + REFILL_SECONDS
        wait = full_at - now - BURST * REFILL_SECONDS
        if wait > 0:
            seconds = ceil(wait)
            raise TooMany(f"Too many tries: wait {seconds} s and try again.", seconds)
        if len(self._full_at) >= MOST_NETWORKS:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        self._full_at[network] = full_at


def begin(session: Session, kind: str, body: Mapping[str, Any], seconds: int, now: int) -> str:
    """Store a step that may be completed within some seconds; its secret. Raises Unavailable at the bound."""
    challenges.drop_ended(session, now)
    if challenges.count(session, kind) >= MOST_STEPS:
        raise Unavailable("too many people are signing in, try again in some minutes")
    return challenges.add(session, kind, body, now + seconds)
