"""`kener-async maintenance`: plan, list, move, end, cancel, preview, also beside a running server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kener_async import keys
from kener_async.cli import maintenance as cli
from kener_async.cli.main import main
from kener_async.config.load import load
from kener_async.domain.calendar import HOUR
from kener_async.ops import maintenance as ops
from kener_async.worker.incidents import IncidentWatch
from tests.rigs.service import FakeClock, Service, running
from tests.test_series_store import HEAD, START


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    (tmp_path / "config.toml").write_text(HEAD)
    monkeypatch.setenv("SUDO_USER", "ada")
    async with running(load(tmp_path / "config.toml", {}), FakeClock(START)) as service:
        monkeypatch.setattr(cli, "system_clock", service.clock)
        monkeypatch.setattr(ops, "system_clock", service.clock)
        yield service


def command(service: Service, *arguments: str, fails: bool = False) -> str:
    file = service.app[keys.RUNNING].config.file
    done = CliRunner().invoke(main, ["--config", str(file), "maintenance", *arguments])
    assert (done.exit_code != 0) is fails, done.output
    return done.output


PLAN = ("plan", "Move", "--monitor", "earth", "--length", "2h")


async def test_one_is_planned_listed_moved_and_cancelled(service: Service) -> None:
    command(service, *PLAN, "--begin", "2026-03-08 02:30", "--announce", "24h")
    assert command(service, "list").splitlines()[1].split() == [
        *("1", "planned", "2026-03-08", "01:30", "2026-03-08", "03:30", "-", "earth", "Move"),
    ]
    moved = command(
        service, "move", "1", "--begin", "2026-03-09 02:30", "--length", "1h", "--timezone", "UTC"
    )
    assert "2026-03-09 02:30  2026-03-09 03:30" in moved
    assert "it has not begun: cancel it" in command(service, "end", "1", fails=True)
    command(service, "cancel", "1")
    assert len(command(service, "list").splitlines()) == 1
    assert "cancelled" in command(service, "list", "--all")


async def test_one_that_begins_now_is_ended(service: Service) -> None:
    command(service, *PLAN, "--begin", "now")
    service.pass_time(HOUR)
    command(service, "end", "1")
    assert "ended  2026-03-01 12:00  2026-03-01 13:00" in command(service, "list", "--all")


SERIES = ("--begin", "2026-03-22 02:30", "--repeat", "FREQ=WEEKLY;BYDAY=SU")


async def test_a_series_is_previewed_made_and_deleted(service: Service) -> None:
    previewed = command(service, "preview", *SERIES)
    assert "this time does not exist: begins at 03:00" in previewed
    assert len(previewed.splitlines()) == 11
    made = command(service, *PLAN, *SERIES, "--name", "weekly")
    assert made.endswith(command(service, "preview", "weekly"))
    assert len(command(service, "list").splitlines()) == 3
    command(service, "delete-series", "weekly", "--yes")
    assert len(command(service, "list").splitlines()) == 1


async def test_a_running_server_follows_and_the_audit_log_has_it(service: Service) -> None:
    watch = IncidentWatch(service.app[keys.DATABASE], service.app[keys.STATES])
    await watch.look()
    before = service.app[keys.STATES].incidents_revision
    command(service, *PLAN, *SERIES, "--name", "weekly")
    command(service, "cancel", "1")
    await watch.look()
    assert service.app[keys.STATES].incidents_revision > before
    await service.app[keys.SERIES].look()

    def rows(session: Any) -> list[tuple[str, ...]]:
        return [tuple(row) for row in session.execute("SELECT actor, act, object FROM audit ORDER BY id")]

    assert (await service.app[keys.DATABASE].read(rows))[-2:] == [
        ("command:ada", "series.save", "series weekly"),
        ("command:ada", "incident.change", "incident 1"),
    ]
    assert [utc(each["startDatetime"]) for each in await listed(service)] == ["03-29 01:00"]


async def listed(service: Service) -> list[Any]:
    token = await service.mint(scopes=("manage:read",))
    _, found = await service.ask("GET", "/api/manage/maintenance", token, params={"over": "false"})
    return list(found)


def utc(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((*PLAN, "--begin", "soon"), 'must be such as "2026-12-06 02:30"'),
        ((*PLAN, "--begin", "2026-02-01 02:30"), "Invalid endDatetime: must be in the future"),
        (
            ("plan", "A", "--monitor", "pluto", "--begin", "now", "--length", "1h"),
            "is not the tag of a monitor",
        ),
        ((*PLAN, "--begin", "2026-03-08 02:30", "--repeat", "FREQ=WEEKLY"), "--repeat needs --name"),
        (
            ("preview", "--begin", "2026-03-08 02:30", "--repeat", "FREQ=HOURLY"),
            "FREQ=HOURLY is not supported",
        ),
        (("preview", "nothing"), "there is no series 'nothing'"),
        (("end", "7"), "not found"),
        (("move", "7"), "give --begin or --length"),
    ],
)
async def test_what_is_wrong_is_named(service: Service, arguments: tuple[str, ...], error: str) -> None:
    assert error in command(service, *arguments, fails=True)
