"""Housekeeping of people: ended sessions, links, tries and old rows of the audit log go, and are counted."""

from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.domain.guesses import Failures
from kener_async.identity.sessions import Sessions, Visit
from kener_async.store import audit, challenges, invitations, submissions, tries
from kener_async.store.admin.verify import verify
from kener_async.store.interface import Session
from kener_async.web.manage.frame import SESSIONS
from kener_async.worker.housekeeping import drop_ended_sign_ins, drop_old_audit
from kener_async.worker.stop import StopToken
from tests.rigs.database import contents
from tests.rigs.people import COMMAND, a_person, a_session
from tests.rigs.service import FakeClock, Service, a_config, running

DAY, HOUR = 86400, 3600
IDLE = 12 * HOUR
TABLES = ("sessions", "challenges", "invitations", "tries", "submissions")


async def tidy(service: Service) -> None:
    app = service.app
    await drop_ended_sign_ins(app[keys.DATABASE], app[keys.METRICS], service.clock, lambda: IDLE)


def counts(service: Service) -> dict[str, int]:
    rows = contents(service.app[keys.RUNNING].config.database.path)
    return {table: len(rows[table]) for table in TABLES}


async def fill(service: Service) -> None:
    """One row of each table."""
    ada = await a_person(service)
    await a_session(service, ada)

    def added(session: Session) -> None:
        now = service.clock()
        challenges.add(session, "code", {"person": ada.id}, now + 300)
        invitations.add(session, ada.id, b"link", now + DAY, now)
        tries.save(session, "name:ada", Failures(3, now, now))
        submissions.claim(session, "key", "/incidents/1", now)

    await service.app[keys.DATABASE].write(added)


@pytest.mark.parametrize(
    ("seconds", "left"),
    [
        (0, {"sessions", "challenges", "invitations", "tries", "submissions"}),
        (299, {"sessions", "challenges", "invitations", "tries", "submissions"}),
        (300, {"sessions", "invitations", "tries", "submissions"}),
        (IDLE + 59, {"sessions", "invitations", "tries", "submissions"}),  # it may have been used since
        (IDLE + 60, {"invitations", "tries", "submissions"}),
        (DAY + 1, {"submissions"}),
        (submissions.KEPT, set()),
    ],
)
async def test_each_row_goes_at_its_time(service: Service, seconds: int, left: set[str]):
    await fill(service)
    service.clock.now += seconds
    await tidy(service)
    assert {table for table, count in counts(service).items() if count} == left


async def test_a_session_that_is_used_stays_until_its_length(service: Service):
    await fill(service)
    length = service.app[keys.RUNNING].config.manage.session_length
    for _ in range(length // (6 * HOUR) - 1):
        service.clock.now += 6 * HOUR
        await service.app[keys.DATABASE].write(_use, service.clock())
        await tidy(service)
        assert counts(service)["sessions"] == 1
    service.clock.now += 6 * HOUR
    await tidy(service)
    assert counts(service)["sessions"] == 0


def _use(session: Session, now: int) -> None:
    session.execute("UPDATE sessions SET seen_at = ?", (now,))


async def test_sessions_are_counted_for_the_metrics(service: Service):
    await fill(service)
    grace = await a_person(service, "grace")
    await a_session(service, grace)
    await tidy(service)
    assert b"\nkener_sessions 2.0\n" in service.app[keys.METRICS].text()
    service.clock.now += IDLE
    await tidy(service)
    assert b"\nkener_sessions 0.0\n" in service.app[keys.METRICS].text()


async def test_without_people_nothing_is_written(service: Service, monkeypatch: pytest.MonkeyPatch):
    async def write(*_: Any, **__: Any) -> None:
        raise AssertionError("written")

    monkeypatch.setattr(service.app[keys.DATABASE], "write", write)
    await tidy(service)


async def test_old_rows_of_the_audit_log_go_and_the_chain_stays_whole(tmp_path: Path):
    clock = FakeClock()
    config = a_config(tmp_path)
    async with running(config, clock) as service:
        for number in range(3):
            await record(service, number)
            clock.now += DAY
        await drop_old_audit(service.app[keys.DATABASE], clock, lambda: 2 * DAY, StopToken())
        assert [row[5] for row in contents(config.database.path)["audit"]] == ["thing 1", "thing 2"]
    assert list(verify(config.database.path, tmp_path)) == []


async def test_where_no_row_of_the_audit_log_is_old_nothing_is_written(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    database, clock = service.app[keys.DATABASE], service.clock

    async def write(*_args: Any) -> None:
        raise AssertionError("written")

    monkeypatch.setattr(database, "write", write)
    await drop_old_audit(database, clock, lambda: 2 * DAY, StopToken())  # there is none
    monkeypatch.undo()
    await record(service, 1)
    monkeypatch.setattr(database, "write", write)
    await drop_old_audit(database, clock, lambda: 2 * DAY, StopToken())


async def test_after_a_gap_no_row_of_the_audit_log_goes_because_the_clock_may_be_wrong(tmp_path: Path):
    clock = FakeClock()
    config = a_config(tmp_path)
    async with running(config, clock) as service:
        await record(service, 1)
    clock.now += 900 * DAY
    async with running(config, clock) as service:
        await drop_old_audit(service.app[keys.DATABASE], clock, lambda: 730 * DAY, StopToken())
        assert len(contents(config.database.path)["audit"]) == 1
        clock.now += DAY
        await drop_old_audit(service.app[keys.DATABASE], clock, lambda: 730 * DAY, StopToken())
        assert contents(config.database.path)["audit"] == []


async def record(service: Service, number: int) -> None:
    await service.app[keys.DATABASE].write(
        audit.record, COMMAND, "a.b", f"thing {number}", None, {"number": number}, service.clock()
    )


async def test_sessions_begun_are_found_until_they_end(service: Service):
    """The same limits hold for a request as for housekeeping."""
    ada = await a_person(service)
    sessions: Sessions = service.app[SESSIONS]
    cookie = await service.app[keys.DATABASE].write(
        sessions.begin, ada, Visit("127.0.0.1", "tests"), service.clock(), by="password"
    )
    service.clock.now += IDLE - 1
    assert await sessions.find(cookie) is not None
    service.clock.now += IDLE
    assert await sessions.find(cookie) is None
