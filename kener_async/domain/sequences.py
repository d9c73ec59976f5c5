"""The numbers a device gives to what it sends: which have been heard, and which were lost on the way."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

LIMIT = 1000  # spans; a device that leaves more holes than that is not counted in detail

Span = tuple[int, int]


class Sequence:
    """The numbers heard, as disjoint spans `(first, last)` in order; none lies below `floor`.

    What lies between two spans has not come, or not yet.
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
        """How many numbers between the first and the last have not come."""
        if not self._firsts:
            return 0
        inner = zip(self._firsts[1:], self._lasts[:-1], strict=True)
        return sum(first - last - 1 for first, last in inner)

    @property
    def complete_until(self) -> int:
        """No number up to this one is still to come: numbers begin at 1, or at 0."""
        return self._lasts[0] if self._firsts and self._firsts[0] <= max(1, self.floor) else self.floor - 1

    def __contains__(self, number: int) -> bool:
        position = bisect_right(self._firsts, number) - 1
        return position >= 0 and number <= self._lasts[position]

    def hear(self, number: int) -> bool:
        """Take note of a number; False: it was heard before, or lies below the floor."""
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

    def give_up(self) -> int:
        """Forget the lowest spans that are too many; how many numbers the holes above them held."""
        surplus = len(self._firsts) - LIMIT
        if surplus <= 0:
            return 0
        before = self.holes
        del self._firsts[:surplus], self._lasts[:surplus]
        self.floor = self._firsts[0]
        return before - self.holes
