"""When something is done next, by a monotonic clock in seconds."""

from dataclasses import dataclass

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0


def next_due(due: float, every: float, now: float) -> float:
    """The time after `due`, in steps of `every`; of several that have passed meanwhile the last."""
    missed = max(0, int((now - due) // every) - 1)
    return due + (missed + 1) * every


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often in a row it went wrong, and until when it is not tried again."""

    failures: int = 0
    until: float = 0.0

    def after_failure(
        self, now: float, *, chance: float, at_least: float = 0.0, is_hopeless: bool = False
    ) -> "Backoff":
        """Another pause, of any length up to twice the last limit: `chance`, in [0, 1), decides.

        It is not shorter than `at_least`, which the other side asked for. What somebody must mend first
        `is_hopeless`, and is tried as rarely as can be.
        """
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures, 16))
        pause = LONGEST_PAUSE * (1 + chance) / 2 if is_hopeless else longest * chance
        return Backoff(self.failures + 1, now + max(pause, at_least * (1 + chance / 10)))
