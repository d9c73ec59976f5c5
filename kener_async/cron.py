"""Cron expressions, by croniter: the usual five fields, read in a time zone."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter


@dataclass(frozen=True, slots=True)
class Cron:
    """A Schedule (domain/heartbeats.py)."""

    expression: str
    zone: str = "UTC"

    def next_after(self, instant: int) -> int:
        return _next_after(self.expression, self.zone, instant)


def is_cron(expression: str) -> bool:
    """Whether it is a five-field expression that means the same each time it is read."""
    fields = expression.split()
    random = any(part[:1] in "rR" for field in fields for part in field.split(","))
    return len(fields) == 5 and not random and bool(croniter.is_valid(expression))


@lru_cache(maxsize=4096)
def _next_after(expression: str, zone: str, instant: int) -> int:
    after = datetime.fromtimestamp(instant, ZoneInfo(zone))
    return int(croniter(expression, after).get_next(datetime).timestamp())
