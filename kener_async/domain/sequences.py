"""Sequence numbers of a device: which have been received, and which are missing."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

LIMIT = 1000  # spans kept; with more holes than that the lowest numbers are given up as lost

Span = tuple[int, int]


class SequenceNumbers:
    """The numbers received, as disjoint spans `(first, last)` in order; none is below `floor`.

    The numbers between two spans are lost, or still to come.
    """

    def __init__(self, spans: Iterable[Span] = (), floor: int = 0) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in spans:
            self._firsts.append(first)
            self._lasts.append(last)
        self.floor = floor

    @property
    def spans(self) -> list[Span]:
        return list(zip(self._firsts, self._lasts, strict=True))

    @property
    def holes(self) -> int:
        """How many numbers between the first and the last are missing."""
        if not self._firsts:
            return 0
        inner = zip(self._firsts[1:], self._lasts[:-1], strict=True)
        return sum(first - last - 1 for first, last in inner)

    @property
    def complete_until(self) -> int:
        """The number up to which all were received or given up: numbers begin at 1, or at 0."""
        return self._lasts[0] if self._firsts and self._firsts[0] <= max(1, self.floor) else self.floor - 1

    def __contains__(self, number: int) -> bool:
        position = bisect_right(self._firsts, number) - 1
        return position >= 0 and number <= self._lasts[position]

    def add(self, number: int) -> bool:
        """Record a received number; False: it was received before, or is below the floor."""
        firsts, lasts = self._firsts, self._lasts
        if lasts and number == lasts[-1] + 1:
            lasts[-1] = number
            return True
        if number < self.floor or number in self:
            return False
        position = bisect_left(firsts, number)
        extends_one = position > 0 and lasts[position - 1] == number - 1
        meets_next = position < len(firsts) and firsts[position] == number + 1
        if extends_one and meets_next:
            lasts[position - 1] = lasts[position]
            del firsts[position], lasts[position]
        elif extends_one:
            lasts[position - 1] = number
        elif meets_next:
            firsts[position] = number
        else:
            firsts.insert(position, number)
            lasts.insert(position, number)
        return True

    def prune(self) -> int:
        """Drop the lowest spans over the limit; returns how many missing numbers are given up with them."""
        surplus = len(self._firsts) - LIMIT
        if surplus <= 0:
            return 0
        before = self.holes
        del self._firsts[:surplus], self._lasts[:surplus]
        self.floor = self._firsts[0]
        return before - self.holes
