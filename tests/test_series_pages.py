"""Occurrences to come on the public pages: the archive, its calendar, feeds and maintenance.ics."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kener_async import keys
from kener_async.config.load import load
from kener_async.domain import series
from kener_async.domain.calendar import DAY
from kener_async.domain.recurrence import parse_rule
from kener_async.domain.series import SHOWN_AHEAD, MaintenanceSeries, occurrences, to_come
from tests.rigs.service import FakeClock, Service, running
from tests.test_icalendar import entries_of
from tests.test_series_store import ADA, BODY, HEAD, START, WEEKLY, configure


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "config.toml").write_text(HEAD)
    async with running(load(tmp_path / "config.toml", {}), FakeClock(START)) as service:
        yield service


async def text(service: Service, path: str) -> str:
    async with service.client.get(path) as reply:
        assert reply.status == 200, path
        return await reply.text()


async def events(service: Service, path: str = "/maintenance.ics") -> list[dict[str, str]]:
    return entries_of((await text(service, path)).encode())


async def test_the_calendar_has_those_of_400_days_each_once_at_its_instant(service: Service) -> None:
    await configure(service, WEEKLY)
    found = await events(service)
    assert len(found) == 57  # Sundays within 400 days
    assert len({event["UID"] for event in found}) == 57
    starts = [event["DTSTART"] for event in found]
    assert starts == sorted(starts)
    assert starts[:4] == ["20260308T013000Z", "20260315T013000Z", "20260322T013000Z", "20260329T010000Z"]
    assert starts[4] == "20260405T003000Z"
    assert {int(event["DTEND"][9:13]) - int(event["DTSTART"][9:13]) for event in found} == {200}
    last = datetime.strptime(starts[-1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    assert last < START + 400 * DAY


async def test_one_keeps_its_identity_when_it_is_stored_and_its_edits_count_up(service: Service) -> None:
    await configure(service, WEEKLY)
    before = {event["DTSTART"]: event for event in await events(service)}
    service.pass_time(10 * DAY)
    await service.app[keys.SERIES].look()
    await configure(service, WEEKLY.replace("Updates", "More"))
    after = {event["DTSTART"]: event for event in await events(service)}
    for start in before.keys() & after.keys():
        assert after[start]["UID"] == before[start]["UID"]
        assert int(after[start]["SEQUENCE"]) >= int(before[start]["SEQUENCE"])
        assert after[start]["DTSTAMP"] >= before[start]["DTSTAMP"]
    assert after["20260322T013000Z"]["SUMMARY"] == "More"
    assert len(before.keys() & after.keys()) == 57


async def test_one_monitor_has_those_of_its_own(service: Service) -> None:
    await configure(service, WEEKLY)
    await service.app[keys.SERIES].save("reboots", dict(BODY), None, ADA)
    assert len(await events(service, "/monitor/earth/maintenance.ics")) == 57
    assert len(await events(service, "/monitor/mars/maintenance.ics")) == 40
    assert len(await events(service)) == 97


async def test_the_archive_shows_months_to_come(service: Service) -> None:
    await configure(service, WEEKLY)
    november = await text(service, "/incidents/2026-11")
    assert november.count(">Updates</h3>") == 5  # without a link: it has no page yet
    assert "/incident/-" not in november
    assert 'rel="next"' in november
    assert 'rel="next"' not in await text(service, "/incidents/2027-04")
    assert (await text(service, "/incidents")).count("/incident/1") >= 1


async def test_feeds_have_what_is_to_come_after_what_happened(service: Service) -> None:
    await service.post("/api/incident", {"title": "Broken", "tags": ["earth"], "impact": "DOWN"})
    await configure(service, WEEKLY)
    feed = await service.get("/feed.json")
    titles = [item["title"] for item in feed["items"]]
    assert titles.index("Broken") < 3
    assert len(titles) == 50
    assert len({item["id"] for item in feed["items"]}) == 50
    assert feed["items"][-1]["url"].endswith(
        ("/incidents/2026-05", "/incidents/2026-04", "/incidents/2026-06")
    )


async def test_hidden_monitors_show_nothing(service: Service) -> None:
    hidden = WEEKLY.replace('["earth"]', '["moon"]') + '[[monitors]]\ntag = "moon"\nhidden = true\n'
    await configure(service, hidden)
    assert await events(service) == []
    assert "Updates" not in await text(service, "/incidents/2026-11")


# Occurrences to come, which are expanded once a day

DAILY = MaintenanceSeries(
    name="backup",
    title="Backup",
    text="",
    tags=("earth",),
    begin=datetime(2026, 1, 1, 2, 30),
    zone=ZoneInfo("Europe/Berlin"),
    length=3600,
    rule=parse_rule("FREQ=DAILY"),
    rule_text="FREQ=DAILY",
)
MIDNIGHT = 1_774_742_400  # UTC, of the day on which clocks in Berlin skip 02:30


@pytest.mark.parametrize("seconds", [0, 1, 3599, 3600, 3601, 43_200, DAY - 1])
def test_at_any_time_of_a_day_the_same_is_to_come_as_by_the_rule(seconds: int):
    now = MIDNIGHT + seconds
    expected = list(occurrences(DAILY, now + 1, now + SHOWN_AHEAD))
    assert to_come(DAILY, {expected[3].day}, now) == expected[:3] + expected[4:]


def test_a_series_is_expanded_once_a_day(monkeypatch):
    weekly = replace(DAILY, rule=parse_rule("FREQ=WEEKLY"), rule_text="FREQ=WEEKLY")
    first = to_come(weekly, (), MIDNIGHT)
    monkeypatch.setattr(series, "occurrences", None)
    assert to_come(weekly, (), MIDNIGHT + 1) == first
    with pytest.raises(TypeError):
        to_come(weekly, (), MIDNIGHT + DAY)
