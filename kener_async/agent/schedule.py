"""Due times of checks and retries, by a monotonic clock in seconds."""

from dataclasses import dataclass

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0


def next_due(due: float, every: float, now: float) -> float:
    """The due time after `due`, in steps of `every`; if several have passed, the last of them."""
    missed = max(0, int((now - due) // every) - 1)
    return due + (missed + 1) * every


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter: the failures in a row, and the time of the next attempt."""

    failures: int = 0
    until: float = 0.0

    def after_failure(
        self, now: float, *, chance: float, retry_after: float = 0.0, is_permanent: bool = False
    ) -> "Backoff":
        """Back off for a random time up to a limit that doubles; `chance`, in [0, 1), picks it.

        At least `retry_after` seconds, as the server asked for. A permanent failure is retried at the longest
        pause, because it takes a person to fix it.
        """
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures, 16))
        pause = LONGEST_PAUSE * (1 + chance) / 2 if is_permanent else longest * chance
        return Backoff(self.failures + 1, now + max(pause, retry_after * (1 + chance / 10)))
