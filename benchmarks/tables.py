"""Tables in Markdown, printed row by row, so that results can go into the README as they are."""

from collections.abc import Sequence


class Table:
    """Prints its head when it is made."""

    def __init__(self, *columns: str) -> None:
        self._columns: Sequence[str] = columns
        print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)

    def add(self, *cells: object) -> None:
        assert len(cells) == len(self._columns), cells
        print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)


def verdict(value: float, budget: float | None, *, is_at_most: bool = False) -> str:
    """The budget and whether it is kept, as a cell."""
    if budget is None:
        return "-"
    is_kept = value <= budget if is_at_most else value >= budget
    return f"{'<=' if is_at_most else '>='} {budget:g}{'' if is_kept else ', **missed**'}"
