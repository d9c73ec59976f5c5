"""Objectives: the uptime that is promised for a monitor."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Objective:
    """`target` percent of the counted minutes of a window.

    It is the month in the site's zone, or the last 30 days.
    """

    target: float
    window: Literal["month", "30d"]
