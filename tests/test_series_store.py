"""Occurrences of series in a running service: made once, changed with their series, announced once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.app import apply
from kener_async.config.load import load
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Actor, ActorKind
from kener_async.store import incidents, maintenance, notices
from kener_async.store import series as store
from tests.rigs.service import SECRET, FakeClock, Service, running

START = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())  # a Sunday
HEAD = f"""
[auth]
secret_key = "{SECRET}"
[database]
path = "kener.db"
[site]
timezone = "Europe/Berlin"
[[categories]]
name = "Planets"
[[monitors]]
tag = "earth"
category = "Planets"
[[monitors]]
tag = "mars"
category = "Planets"
"""
WEEKLY = """
[[maintenance]]
name = "weekly"
title = "Updates"
monitors = ["earth"]
begin = 2026-03-01T02:30:00
length = "2h"
rrule = "FREQ=WEEKLY;BYDAY=SU"
"""
ADA = Actor(ActorKind.PERSON, "ada")
BODY = {
    "title": "Reboots",
    "monitors": ["mars"],
    "begin": "2026-03-02T04:00:00",
    "length": "30m",
    "rrule": "FREQ=DAILY;COUNT=40",
}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "config.toml").write_text(HEAD)
    async with running(load(tmp_path / "config.toml", {}), FakeClock(START)) as service:
        yield service


async def configure(service: Service, text: str) -> None:
    file = service.app[keys.RUNNING].config.file
    file.write_text(HEAD + text)
    await apply(service.app, load(file, {}))


async def occurrences(service: Service, name: str = "weekly") -> list[Incident]:
    found = await service.app[keys.DATABASE].read(store.of_series, name, 1000)
    return sorted(found, key=lambda incident: incident.start)


def utc(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%m-%d %H:%M}"


async def begins(service: Service, name: str = "weekly") -> list[str]:
    return [utc(incident.start) for incident in await occurrences(service, name)]


async def look(service: Service) -> None:
    await service.app[keys.SERIES].look()


async def change(service: Service, number: int, **fields: Any) -> None:
    clock = service.app[keys.CLOCK]
    await service.app[keys.DATABASE].write(incidents.change, number, fields, ADA, clock())


async def test_those_of_the_next_14_days_are_stored_and_at_least_two(service: Service) -> None:
    await configure(service, WEEKLY)
    assert await begins(service) == ["03-08 01:30", "03-15 01:30"]
    first, _ = await occurrences(service)
    assert (first.title, first.tags, first.is_maintenance) == ("Updates", ("earth",), True)
    assert (first.series, first.occurrence) == ("weekly", "2026-03-08T02:30:00")
    await configure(service, WEEKLY.replace("WEEKLY;BYDAY=SU", "YEARLY"))
    assert await begins(service) == ["03-01 01:30", "03-01 01:30"]  # of 2027 and 2028


async def test_a_rare_one_is_stored_however_far_it_is(service: Service) -> None:
    await configure(service, WEEKLY.replace("WEEKLY;BYDAY=SU", "MONTHLY;BYDAY=-1SU"))
    assert await begins(service) == ["03-29 01:00", "04-26 00:30"]  # 02:30 does not exist on the first


async def test_time_makes_each_once_through_any_number_of_looks(service: Service) -> None:
    await configure(service, WEEKLY)
    for _ in range(60):
        service.pass_time(DAY)
        await look(service)
        await look(service)
    made = await occurrences(service)
    assert len({incident.occurrence for incident in made}) == len(made)
    days = [datetime.fromtimestamp(incident.start, UTC).date() for incident in made]
    assert {(later - earlier).days for earlier, later in pairwise(days)} == {7}
    assert made[-1].start > service.clock.now + 7 * DAY


async def test_what_fell_into_a_time_when_the_server_was_away_is_made_up_for(service: Service) -> None:
    await configure(service, WEEKLY)
    service.jump(40 * DAY)
    await look(service)
    assert await begins(service) == [
        *("03-08 01:30", "03-15 01:30", "03-22 01:30", "03-29 01:00"),
        *("04-05 00:30", "04-12 00:30", "04-19 00:30"),
    ]


async def test_a_clock_that_was_wrong_and_is_set_back_makes_none_twice(service: Service) -> None:
    await configure(service, WEEKLY)
    service.jump(365 * DAY)
    await look(service)
    made = await begins(service)
    service.jump(-365 * DAY)
    await look(service)
    assert await begins(service) == made
    assert len(made) == len(set(made)) == 54


async def test_a_new_series_has_none_of_the_past(service: Service) -> None:
    await configure(service, WEEKLY.replace("2026-03-01", "2020-03-01"))
    assert await begins(service) == ["03-08 01:30", "03-15 01:30"]


async def test_a_changed_series_changes_what_is_to_come_and_was_not_changed_by_hand(service: Service) -> None:
    await configure(service, WEEKLY)
    service.pass_time(7 * DAY - 10 * HOUR)  # 02:00: in half of the first
    await look(service)
    running_one, second, third = await occurrences(service)
    await change(service, second.number, title="Updates and more")
    later = WEEKLY.replace('"2h"', '"3h"').replace("02:30", "03:30").replace("Updates", "Upgrades")
    await configure(service, later)
    found = await occurrences(service)
    assert [(utc(one.start), one.title, (one.end or 0) - one.start) for one in found] == [
        ("03-08 01:30", "Updates", 2 * HOUR),  # has begun
        ("03-15 01:30", "Updates and more", 2 * HOUR),  # was changed by hand
        ("03-22 02:30", "Upgrades", 3 * HOUR),
    ]
    assert running_one.number == found[0].number
    assert third.number == found[2].number


async def test_a_text_that_changes_changes_the_same_rows(service: Service) -> None:
    await configure(service, WEEKLY)
    before = await occurrences(service)
    await configure(service, WEEKLY.replace('["earth"]', '["category:Planets"]').replace("Updates", "More"))
    after = await occurrences(service)
    assert [one.number for one in after] == [one.number for one in before]
    assert [(one.title, one.tags, one.revision) for one in after] == [("More", ("earth", "mars"), 1)] * 2


async def test_a_cancelled_one_stays_and_is_not_made_again(service: Service) -> None:
    await configure(service, WEEKLY)
    first, _ = await occurrences(service)
    await change(service, first.number, is_resolved=True)
    await look(service)
    await configure(service, WEEKLY.replace("Updates", "More"))
    found = await occurrences(service)
    assert [one.title for one in found] == ["Updates", "More"]
    assert found[0].number == first.number
    assert found[0].stage(service.clock.now).value == "cancelled"


async def test_a_series_that_is_gone_takes_those_to_come_with_it(service: Service) -> None:
    await configure(service, WEEKLY)
    first, second = await occurrences(service)
    await change(service, first.number, is_resolved=True)
    await change(service, second.number, title="By hand")
    await configure(service, "")
    assert [one.number for one in await occurrences(service)] == [first.number]  # was cancelled, is on record


async def test_an_excluded_date_is_left_out(service: Service) -> None:
    await configure(service, WEEKLY)
    await configure(service, WEEKLY + "except = [2026-03-08]")
    assert await begins(service) == ["03-15 01:30", "03-22 01:30"]


async def test_the_file_wins_over_a_stored_one_of_the_same_name(service: Service) -> None:
    maker = service.app[keys.SERIES]
    await maker.save("weekly", dict(BODY), None, ADA)
    assert len(await begins(service)) == 14
    await configure(service, WEEKLY)
    assert await begins(service) == ["03-08 01:30", "03-15 01:30"]
    await configure(service, "")
    assert len(await begins(service)) == 14


async def test_a_stored_series_ends_with_its_count_and_is_deleted(service: Service) -> None:
    maker = service.app[keys.SERIES]
    saved = await maker.save("reboots", dict(BODY), 0, ADA)
    for _ in range(50):
        service.pass_time(DAY)
        await look(service)
    assert len(await occurrences(service, "reboots")) == 40
    await maker.delete("reboots", saved.revision, ADA)
    assert len(await occurrences(service, "reboots")) == 40  # the past stays


# Announcements

CHANNEL = """
[[channels]]
name = "ops"
kind = "command"
command = ["/bin/true"]
tell = ["opened", "maintenance"]
[[channels]]
name = "other"
kind = "command"
command = ["/bin/true"]
"""
ANNOUNCED = WEEKLY + 'announce = ["24h", "1h"]\n' + CHANNEL


async def announced(service: Service) -> list[tuple[str, int]]:
    """The begin of what was announced, and how many channels are told, oldest first."""
    found = await service.app[keys.DATABASE].read(notices.after, 0, 1000)

    def told(session: Any) -> dict[int, int]:
        return dict(session.execute("SELECT notice, count(*) FROM deliveries GROUP BY notice").fetchall())

    counts = await service.app[keys.DATABASE].read(told)
    return [(utc(notice.facts.since or 0), counts.get(notice.id, 0)) for notice in found]


async def test_each_is_announced_once_a_day_and_an_hour_before(service: Service) -> None:
    await configure(service, ANNOUNCED)
    for _ in range(8 * 24 * 4):
        service.pass_time(15 * MINUTE)
        await look(service)
    assert await announced(service) == [("03-08 01:30", 1), ("03-08 01:30", 1)]


async def test_what_is_late_is_announced_once_and_never_after_the_begin(service: Service) -> None:
    await configure(service, ANNOUNCED)
    first, second = await occurrences(service)
    service.jump(first.start - START - 10 * MINUTE)
    await look(service)
    await look(service)
    assert await announced(service) == [("03-08 01:30", 0), ("03-08 01:30", 1)]
    service.jump(second.start - first.start + 20 * MINUTE)  # the second has begun
    await look(service)
    assert len(await announced(service)) == 2


async def test_one_that_is_moved_is_announced_again_and_a_cancelled_one_never(service: Service) -> None:
    await configure(service, ANNOUNCED)
    first, second = await occurrences(service)
    service.jump(first.start - START - 2 * HOUR)
    await look(service)
    await change(service, first.number, start=first.start + DAY, end=first.start + DAY + HOUR)
    await change(service, second.number, is_resolved=True)
    await look(service)
    assert await announced(service) == [("03-08 01:30", 1)]
    service.jump(6 * HOUR)
    await look(service)
    assert await announced(service) == [("03-08 01:30", 1), ("03-09 01:30", 1)]
    service.jump(7 * DAY)
    await look(service)
    assert [when for when, _ in await announced(service)] == ["03-08 01:30", "03-09 01:30"]


async def test_without_a_channel_that_wants_it_nothing_is_stored(service: Service) -> None:
    await configure(service, ANNOUNCED.replace(', "maintenance"', ""))
    service.jump(6 * DAY + 12 * HOUR)
    await look(service)
    assert await announced(service) == []


# Minutes


async def counted(service: Service, start: int, minutes: int) -> tuple[int, int]:
    """The minutes of maintenance and those down."""
    await service.roll()
    token = await service.mint(scopes=("status:read",))
    query = {"from": str(start), "to": str(start + minutes * MINUTE)}
    _, answer = await service.ask("GET", "/api/monitors/earth/uptime", token, params=query)
    return answer["minutes"]["maintenance"], answer["minutes"]["down"]


SOON = WEEKLY.replace("2026-03-01T02:30:00", "2026-03-01T13:10:00").replace('"2h"', '"20m"')  # in 10 minutes


@pytest.mark.parametrize("act", ["none", "end", "cancel", "lengthen", "move", "series longer", "series gone"])
async def test_minutes_come_back_exactly_after_each_act(service: Service, act: str) -> None:
    """Reports of an hour say DOWN; the occurrence lasts from minute 10 to 30, unless something is done."""
    await configure(service, SOON)
    first, _ = await occurrences(service)
    database = service.app[keys.DATABASE]
    for minute in range(60):
        now = service.clock.now
        if minute == 5 and act == "cancel":
            await database.write(maintenance.cancel, first.number, ADA, now)
        if minute == 5 and act == "move":
            await database.write(maintenance.move, first.number, now + 30 * MINUTE, ADA, now)
        if minute == 5 and act == "series longer":
            await configure(service, SOON.replace('"20m"', '"25m"'))
        if minute == 15 and act == "end":
            await database.write(maintenance.end, first.number, ADA, now)
        if minute == 15 and act == "lengthen":
            await database.write(maintenance.lengthen, first.number, 10 * MINUTE, ADA, now)
        if minute == 15 and act == "series gone":
            await configure(service, "")  # has begun, so it stays
        await service.beat("earth", "DOWN")
        service.pass_time(MINUTE)
    lasted = {"end": 5, "cancel": 0, "lengthen": 30, "series longer": 25}.get(act, 20)
    assert await counted(service, START, 60) == (lasted, 60 - lasted)
