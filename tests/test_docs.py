"""The documentation: examples run, settings and routes exist."""

import re
from pathlib import Path

import pytest

from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from tests.rigs.service import NOON, FakeClock, a_config, a_monitor, running

ROOT = Path(__file__).parent.parent
UPTIME = (ROOT / "docs/uptime.md").read_text()

ROW = re.compile(r"^\| 12:(\d\d) \| (\w+) \| ([\w ]+) \|", re.MULTILINE)
RESULT = re.compile(r"uptime = \(.*\) / \(.*\) = ([\d.]+)")


async def test_the_worked_example_is_what_the_service_answers(tmp_path):
    rows = [(NOON + 60 * int(minute), status, reason) for minute, status, reason in ROW.findall(UPTIME)]
    first, second = RESULT.findall(UPTIME)
    assert len(rows) == 13

    pump = a_monitor(
        "pump", MonitorSettings(expectation=EveryInterval(interval=60, grace=60, down_after=180))
    )
    clock = FakeClock()
    async with running(a_config(tmp_path, pump), clock) as service:
        for minute, status, reason in rows:
            if reason == "sample":
                service.pass_time(minute - clock())
                await service.beat("pump", status)
        maintenance = {"startDatetime": NOON + 390, "endDatetime": NOON + 480, "isMaintenance": True}
        await service.post("/api/incident", {"title": "Work", "tags": ["pump"], **maintenance})
        service.pass_time(NOON + 750 - clock())
        asked = {"from": NOON, "to": clock()}

        history = await service.get("/api/monitors/pump/history", resolution="minute", **asked)
        assert [(item["from"], item["status"], item["reason"]) for item in history["items"]] == rows
        assert (await service.get("/api/monitors/pump/uptime", **asked))["uptime"] == first

        service.pass_time(150)
        await service.beat("pump", at=NOON + 540)
        assert (await service.get("/api/monitors/pump/uptime", **asked))["uptime"] == second


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"], ids=lambda path: path.name
)
def test_links_between_the_pages_lead_somewhere(page: Path):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) + re.findall(r'<img src="([^"]+)"', text):
        assert (page.parent / target).exists(), target


OF_SIGNING_IN = "more sign-in sign-out second-step invitation acknowledge acknowledge-all snooze audit.jsonl"
FILES = re.compile(r"`((?:[a-z_0-9]+/)+[a-z_0-9.]+\.(?:py|sql|toml|sh))`")


@pytest.mark.parametrize(
    "page",
    [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    ids=lambda path: path.name,
)
def test_the_files_that_a_page_names_exist(page: Path):
    for name in FILES.findall(page.read_text()):
        assert (ROOT / name).exists() or (ROOT / "kener_async" / name).exists(), name


async def test_every_route_is_documented(service):
    documented = (ROOT / "docs/api.md").read_text() + (ROOT / "README.md").read_text()
    screens = (ROOT / "docs/manage.md").read_text()
    for resource in service.app.router.resources():
        path = resource.canonical
        if path.startswith("/manage"):
            screen = "/".join(path.split("/")[:3])  # the pages below a screen are its acts
            assert screen in screens or screen in UNLISTED, path
        else:
            assert path.startswith("/static") or path in documented, path


# Pages that lead to others, or that people are led to.
UNLISTED = {f"/manage/{name}" for name in OF_SIGNING_IN.split()}
