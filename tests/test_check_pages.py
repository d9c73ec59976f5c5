"""What a monitor's page says of its check: how often, why it failed, when its certificate ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.clock import Cron
from kener_async.domain.calendar import DAY
from kener_async.domain.checks import Attempt, CheckTiming, SeenCertificate
from kener_async.domain.heartbeats import MonitorSettings, OnChange
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.probes.settings import CheckSettings, TlsTarget
from kener_async.store import certificates, check_faults
from tests.rigs.markup import Element, parsed
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

EARTH = 1
RARELY = CheckTiming(10**7, 1)
HELD = MonitorSettings(expectation=OnChange(190, is_check=True))
REASON = "status is 502 <b>"


async def page(service: Service, language: str = "en") -> dict[str, str]:
    """The lines of the card of now, by their labels."""
    async with service.client.get("/monitor/earth", headers={"Accept-Language": language}) as reply:
        assert reply.status == 200
        card: Element = parsed(await reply.text()).one(id="now")
    labels, values = card.all("dt"), card.all("dd")
    return {label.text: value.text for label, value in zip(labels, values, strict=True)}


async def measure(service: Service, status: Status, source: SampleSource = SampleSource.CHECK) -> None:
    """A check, or a push, of now, and what a check saw."""
    now, database = service.clock(), service.app[keys.DATABASE]
    await database.write(check_faults.add, EARTH, [Attempt(now + 1.5, status, 0.1, REASON)])
    seen = SeenCertificate(bytes(32), "CN=earth", "CN=Root", NOON + 30 * DAY)
    await database.write(certificates.note, EARTH, [seen], now)
    await service.app[keys.WRITER].put(Sample(EARTH, now - now % 60, status, 0.1, source))


def checked(**fields: Any) -> Any:
    check = CheckSettings("earth", TlsTarget("127.0.0.1", 1), RARELY)
    return a_monitor("earth", HELD, check=check, **fields)


async def test_what_the_check_saw_is_shown_where_it_is_public(tmp_path: Path):
    async with running(a_config(tmp_path, checked(show_reasons=True)), FakeClock()) as service:
        assert "Reason" not in await page(service)
        service.pass_time(60)
        await measure(service, Status.DOWN)
        shown = await page(service)
        assert shown["Reason"] == REASON
        assert shown["Certificate ends"].startswith("Jan 30, 2026")
        assert shown["Last check"].startswith("Down")
        assert shown["Status now"] == "Down, as checked"
        service.pass_time(60)
        shown = await page(service)
        assert (shown["Reason"], shown["Status now"]) == (REASON, "Down, the last check is still valid")
        await measure(service, Status.UP)
        shown = await page(service)
        assert "Reason" not in shown
        assert "Certificate ends" in shown
        service.pass_time(600)
        assert (await page(service))["Status now"] == "No data, not measured"


async def test_by_default_visitors_see_neither(tmp_path: Path):
    async with running(a_config(tmp_path, checked()), FakeClock()) as service:
        await measure(service, Status.DOWN)
        assert {"Reason", "Certificate ends"} & (await page(service)).keys() == set()


async def test_a_report_is_not_explained_by_the_check(tmp_path: Path):
    async with running(a_config(tmp_path, checked(show_reasons=True)), FakeClock()) as service:
        await measure(service, Status.DOWN, SampleSource.PUSH)
        shown = await page(service)
        assert "Reason" not in shown
        assert shown["Status now"] == "Down, as reported"


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        ({"every": 60}, "every 1 min"),
        ({"every": 5400}, "every 1 h 30 min"),
        ({"every": 20}, "several times a minute"),
        ({"cron": Cron("0 3 1 1 *")}, "at set times"),
    ],
)
async def test_a_checked_monitor_says_how_often(tmp_path: Path, timing: dict[str, Any], words: str):
    monitor = checked()
    async with running(a_config(tmp_path, monitor), FakeClock()) as service:
        check = replace(monitor.check, timing=replace(RARELY, **timing))
        running_config = service.app[keys.RUNNING]
        running_config.config = replace(running_config.config, monitors=(replace(monitor, check=check),))
        service.app[keys.STATES].note_change()
        shown = await page(service)
        assert shown["Checked"] == words
        assert "Last heard" not in shown


async def test_a_monitor_that_reports_says_when_it_was_heard(tmp_path: Path):
    async with running(a_config(tmp_path, a_monitor("earth", show_reasons=True)), FakeClock()) as service:
        await service.beat("earth")
        assert {"Last heard", "Last report"} <= (await page(service)).keys()
        assert "Checked" not in await page(service)
