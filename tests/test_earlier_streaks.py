"""Streaks that began before the current quarter-hour, after something in them changed."""

from pathlib import Path
from typing import Any

import pytest

from kener_async.domain.calendar import MINUTE
from tests.rigs.alerts import a_rule, an_alert_config, look, open_alerts
from tests.rigs.service import NOON, FakeClock, Service, running

HALF_AN_HOUR = a_rule(after=30 * MINUTE, count=0)
OUTAGE = NOON - 19 * MINUTE  # the first minute that is DOWN; the last before is UP


async def reports(service: Service, status: str, minutes: range) -> None:
    samples = [
        {"tag": "earth", "status": status, "latency": 1, "timestampInSeconds": minute} for minute in minutes
    ]
    await service.post("/api/status/batch", {"samples": samples})


async def open_at(service: Service, clock: FakeClock, minute: int) -> list[Any]:
    """The alerts that are open after one look in each minute up to this one, each with a report."""
    while clock() < minute:
        await look(service, MINUTE)
        await service.beat("earth", "DOWN")
        await look(service)
    return await open_alerts(service)


@pytest.mark.parametrize("is_late", [True, False], ids=["late reports", "a maintenance of another monitor"])
async def test_a_streak_that_became_longer_opens_its_alert_in_time(tmp_path: Path, is_late: bool) -> None:
    clock = FakeClock(OUTAGE)
    async with running(an_alert_config(tmp_path, HALF_AN_HOUR), clock) as service:
        await reports(service, "UP", range(OUTAGE - 5 * MINUTE, OUTAGE, MINUTE))
        service.pass_time(NOON - OUTAGE)
        await service.roll()  # so that the minutes before noon are in the database only
        late = range(OUTAGE, NOON, MINUTE)
        span = {"startDatetime": OUTAGE + MINUTE, "endDatetime": NOON}
        work = span | {"title": "Work", "isMaintenance": True, "tags": ["mars" if is_late else "earth"]}
        number = (await service.post("/api/incident", work))["incidentNumber"]
        if not is_late:
            await reports(service, "DOWN", late)
        assert await open_at(service, clock, NOON + 5 * MINUTE) == []  # its streak is known now

        if is_late:
            await reports(service, "DOWN", late)
        else:
            moved = await service.ask("PATCH", f"/api/incident/{number}", json=work | {"tags": ["mars"]})
            assert moved[0] == 200
        assert await open_at(service, clock, NOON + 10 * MINUTE) == []
        (alert,) = await open_at(service, clock, NOON + 12 * MINUTE)
        assert (alert.since, alert.opened_at) == (OUTAGE, NOON + 12 * MINUTE)
