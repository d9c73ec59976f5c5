"""One look at a target, as a check makes it."""

import time
from typing import Any

from kener_async.domain.checks import Attempt, CheckTiming, Obstacle
from kener_async.domain.conditions import CheckCondition, parse
from kener_async.probes.attempt import attempt
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import CheckSettings, Target
from kener_async.probes.vantage import Vantage, VantageSettings


def a_check(
    target: Target,
    *,
    expect: list[str] | None = None,
    warn: list[str] | None = None,
    timeout: float = 5,
    **settings: Any,
) -> CheckSettings:
    """A check of a target, with conditions as they are written."""
    return CheckSettings(
        "tag",
        target,
        CheckTiming(60, timeout),
        None if expect is None else _parsed(expect),
        _parsed(warn or []),
        **settings,
    )


async def look(target: Target, *, vantage: VantageSettings | None = None, **check: Any) -> Attempt:
    """One attempt of a check from a vantage of its own; another where this machine was too busy for it."""
    settings = a_check(target, **check)
    async with Vantage.opened(vantage or VantageSettings()) as opened:
        probe = probe_of(settings, opened)
        made = await attempt(settings, probe, time.time(), opened)
        for _ in range(4):
            if made.obstacle is not Obstacle.STALL:
                break
            made = await attempt(settings, probe, time.time(), opened)
        return made


def _parsed(conditions: list[str]) -> tuple[CheckCondition, ...]:
    return tuple(map(parse, conditions))
