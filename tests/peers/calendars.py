"""Maintenance as calendars of others read it, and recurrence rules as npm's rrule expands them."""

import json
import os
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kener_async import keys
from kener_async.config.load import load
from kener_async.domain.recurrence import local_begins
from kener_async.store import series as store
from tests.rigs.service import FakeClock, Service, running
from tests.test_recurrence import ANY, accepted
from tests.test_series_store import ADA, BODY, HEAD, START, WEEKLY, configure

# Where `make peers` installs them.
ICALENDAR = Path(os.environ.get("KENER_ICALENDAR", "build/icalendar/bin/python")).absolute()
RRULE = Path(os.environ.get("KENER_RRULE", "build/rrule/node_modules/rrule")).absolute()

TITLE = " and ".join(["Updates; of all, \\ ümläuts"] * 5)

READ_BY_ICALENDAR = """
import json, sys
from icalendar import Calendar
events = Calendar.from_ical(sys.stdin.buffer.read()).walk("VEVENT")
print(json.dumps([[str(e["UID"]), int(e["DTSTART"].dt.timestamp()), int(e["DTEND"].dt.timestamp()),
                   str(e["SUMMARY"]), str(e["STATUS"])] for e in events]))
"""
READ_BY_LIBICAL = """
import json, sys
import gi
gi.require_version("ICalGLib", "3.0")
from gi.repository import ICalGLib
kind = ICalGLib.ComponentKind.VEVENT_COMPONENT
calendar = ICalGLib.Component.new_from_string(sys.stdin.buffer.read().decode())
assert calendar.count_errors() == 0
found, event = [], calendar.get_first_component(kind)
while event is not None:
    status = "CANCELLED" if "CANCELLED" in event.get_status().value_name else "CONFIRMED"
    found.append([event.get_uid(), event.get_dtstart().as_timet(), event.get_dtend().as_timet(),
                  event.get_summary(), status])
    event = calendar.get_next_component(kind)
print(json.dumps(found))
"""
EXPAND = """
const { rrulestr } = require(process.argv[1]);
const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
const found = asked.map(({ rule, begin, end }) =>
  rrulestr(`DTSTART:${begin}Z\\nRRULE:${rule}`)
    .between(new Date(Date.UTC(1970, 0, 1)), new Date(end), false)
    .map((date) => date.toISOString().slice(0, 19))
    .filter((date, place, all) => date !== all[place - 1]));
console.log(JSON.stringify(found));
"""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "config.toml").write_text(HEAD)
    async with running(load(tmp_path / "config.toml", {}), FakeClock(START)) as service:
        await configure(service, WEEKLY.replace("Updates", TITLE.replace("\\", "\\\\")))
        await service.app[keys.SERIES].save("reboots", dict(BODY), None, ADA)
        yield service


@pytest.mark.parametrize(
    ("reader", "script"),
    [
        pytest.param(
            str(ICALENDAR),
            READ_BY_ICALENDAR,
            marks=pytest.mark.skipif(not ICALENDAR.exists(), reason="icalendar is not installed"),
        ),
        ("/usr/bin/python3", READ_BY_LIBICAL),
    ],
    ids=["icalendar", "libical"],
)
async def test_readers_find_each_occurrence_at_its_time(service: Service, reader: str, script: str) -> None:
    first, *_ = await service.app[keys.DATABASE].read(store.of_series, "weekly", 1)
    token = await service.mint(scopes=("incident:write",))
    await service.ask("POST", f"/api/manage/maintenance/{first.number}/cancel", token)
    async with service.client.get("/maintenance.ics") as reply:
        document = await reply.read()
    done = subprocess.run([reader, "-c", script], input=document, capture_output=True, check=True)
    found = json.loads(done.stdout)
    token = await service.mint(scopes=("manage:read",))
    listed = []
    for name in ("weekly", "reboots"):
        _, rows = await service.ask("GET", f"/api/manage/series/{name}/occurrences", token)
        listed += [(row["startDatetime"], row["endDatetime"], row["state"] == "cancelled") for row in rows]
    assert sorted((start, end, status == "CANCELLED") for _, start, end, _, status in found) == sorted(listed)
    assert len(listed) == 97
    assert len({uid for uid, *_ in found}) == 97
    assert {summary for *_, summary, _ in found} == {"Reboots", TITLE}


@pytest.mark.skipif(not RRULE.exists(), reason="rrule is not installed")
def test_random_rules_begin_when_rrule_says() -> None:
    # It counts a day twice that two positions of BYSETPOS mean, and takes the first day for -2 where there is
    # only one.
    rules = [
        (text, begin, rule, begin + timedelta(days=1500))
        for text, begin, rule in accepted(seed=3)
        if not (rule.positions and (rule.count or -2 in rule.positions))
    ]
    asked = [
        {
            "rule": text,
            "begin": f"{begin:%Y%m%dT%H%M%S}",
            "end": int(end.replace(tzinfo=UTC).timestamp() * 1000),
        }
        for text, begin, _, end in rules
    ]
    done = subprocess.run(
        ["node", "-e", EXPAND, str(RRULE)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    for (text, begin, rule, end), theirs in zip(rules, json.loads(done.stdout), strict=True):
        ours = list(local_begins(rule, begin, ANY, begin, end))
        assert ours == [datetime.fromisoformat(each) for each in theirs], (text, begin)
