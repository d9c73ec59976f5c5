"""A database with rows in every table, as a service leaves it, and the comparison of two databases."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from kener_async import keys
from kener_async.config.model import Senders
from kener_async.domain.alerts import Alert, Closing, Severity
from kener_async.domain.batches import Batch
from kener_async.domain.calendar import DAY
from kener_async.domain.checks import Attempt, Obstacle, Phases, SeenCertificate
from kener_async.domain.guesses import Failures
from kener_async.domain.heartbeats import EveryInterval, Gap, GapKind, MonitorSettings
from kener_async.domain.incident_updates import Impact, IncidentState
from kener_async.domain.incidents import IncidentSource, opened
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.people import Actor, ActorKind, Role
from kener_async.domain.samples import Status
from kener_async.store import (
    alerts,
    certificates,
    challenges,
    channel_states,
    check_faults,
    deliveries,
    incidents,
    invitations,
    managed,
    notices,
    observer,
    passkeys,
    people,
    series_marks,
    sessions,
    submissions,
    tries,
)
from kener_async.store.batches import BatchRecorder, IngestLimits, Outcome
from kener_async.store.interface import Session
from kener_async.store.passkeys import Passkey
from kener_async.store.sealing import seal_turn
from kener_async.store.sessions import StoredSession
from tests.rigs.service import FakeClock, a_config, a_monitor, running

EVERY_MINUTE = MonitorSettings(expectation=EveryInterval(60, 60, 600))
CHECK = "07c2f548-9850-4b27-af5d-6c9dc157ec02"
STATUSES = ("UP", "UP", "DEGRADED", "UP", "DOWN")


def record_batch(connection: sqlite3.Connection, batch: Batch, limits: IngestLimits) -> Outcome:
    """Store all parts of a batch in one transaction, of which the service makes one each."""
    recorder = BatchRecorder(batch, limits)
    for positions in recorder.parts:
        recorder.record(connection, positions)
    return recorder.outcome()


async def fill(folder: Path, clock: FakeClock) -> Path:
    """Fill in two hours of two monitors with incidents, a gap, settings and tokens; count all quarters.

    A few minutes of days before are sealed, and one is late.
    """
    watched = Senders(checks=(CHECK,))
    config = a_config(folder, a_monitor("earth", EVERY_MINUTE), a_monitor("mars", senders=watched))
    async with running(config, clock) as service:
        for minute in range(120):
            service.pass_time(60)
            if minute % 7:
                await service.beat("earth", STATUSES[minute % 5], latency=minute / 7)
            await service.beat("mars", STATUSES[minute % 3], latency=0.25)
        opened = {"title": "Storm ☂", "body": "It *rains*", "tags": ["mars", "earth"], "impact": "DOWN"}
        number = (await service.post("/api/incident", opened))["incidentNumber"]
        for words in ("wet", "still wet"):
            await service.post(f"/api/incident/{number}/comment", {"body": words})
        await service.post(f"/api/incident/{number}/status", {"isResolved": True})
        await service.post(
            "/api/incident",
            {
                "title": "Repairs",
                "tags": ["earth"],
                "startDatetime": clock() - 1800,
                "endDatetime": clock() + 1800,
                "isMaintenance": True,
            },
        )
        batch = [
            {"tag": tag, "status": "UP", "latency": 0.5, "timestampInSeconds": clock() - 60 * ago, "seq": seq}
            for tag, ago, seq in (("earth", 7, 2), ("mars", 5, 3), ("earth", 3, 7))
        ]
        head = {"device": "gate", "sentAt": clock() - 5, "monotonic": 900.5, "boot": "first"}
        await service.post("/api/status/batch", head | {"samples": batch})
        assert (await service.client.get(f"/ping/{CHECK}/start")).status == 200
        await service.app[keys.DATABASE].write(_tell, clock())
        await service.app[keys.DATABASE].write(_check, clock())
        await service.app[keys.DATABASE].write(_sign_in, clock())
        await service.app[keys.DATABASE].write(_respond, number, clock())
        await service.mint(id="beat", tags=("earth",), digest=bytes(range(32)))
        await service.mint(id="revoked", revoked_at=clock() - 5, tags=("site-7-*",))
        await service.configure(
            a_monitor("earth", EVERY_MINUTE), a_monitor("mars", MonitorSettings(default_status=Status.UP))
        )
        service.pass_time(900)
    clock.now += 3600  # away: a gap
    async with running(config, clock) as service:
        service.pass_time(900)
        await service.beat("earth")
        for place in range(3):
            await service.beat("mars", STATUSES[place], at=clock() - 3 * DAY - 60 * place)
        while await service.app[keys.DATABASE].write(seal_turn, clock(), 100):
            pass
        await service.roll()
        # Last, because a service forgets series that it does not know.
        await service.app[keys.DATABASE].write(series_marks.save, "weekly", "each Sunday", clock() + DAY)
    _report_again(config.database.path, (clock() - 3 * DAY) // 60 * 60)
    return config.database.path


def _report_again(database: Path, minute: int) -> None:
    """Let a sample of a sealed day come in again, when no job of a service merges it."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO late_samples VALUES (2, ?, 0, 0, 100000)", (minute,))


def _tell(session: Session, now: int) -> None:
    """An incident of an alert rule, an open alert and one that closed, and what was told of them."""
    fields = {"title": "Mars is DOWN", "tags": ("mars",), "impact": Status.DOWN}
    incident = replace(opened(incidents.next_number(session), fields, now), source=IncidentSource.RULE)
    incidents.save_automatic(session, replace(incident, covers=False, is_draft=True, touched_at=now))
    alert = alerts.add(session, Alert(0, 2, "down", Severity.CRITICAL, now - 60, now, told_at=now, because=1))
    over = replace(alert, rule="slow", severity=Severity.INFO, incident=incident.number)
    alerts.add(session, replace(over, until=now, closed_at=now, closing=Closing.RETRACTED))
    facts = Facts("mars", "down", status=Status.DOWN, since=now - 60, reason="No answer \u2602")
    notices.add(session, NoticeKind.OPENED, now, alert.id, None, facts, ["chat", "mail"], now + 0.25)
    notices.add(session, NoticeKind.TEST, now, None, None, Facts(), ["chat"], now)
    deliveries.mark_sending(session, [1, 2, 3])
    deliveries.mark_sent(session, [1, 3], now, "200 OK", "m-1")
    deliveries.mark_failed(session, [2], now, "550 no such user")
    channel_states.note_sent(session, "chat", now)
    channel_states.note_fault(session, "mail", "550 no such user", for_good=True)


def _respond(session: Session, number: int, now: int) -> None:
    """Updates with states and impacts, one of them edited, and a postmortem."""
    ada = Actor(ActorKind.PERSON, "ada", "192.0.2.7")
    impacts = {"mars": Impact.NONE, "earth": None}
    fields = {"body": "dry ☀", "state": IncidentState.MONITORING, "impacts": impacts}
    _, update = incidents.post_update(session, number, fields, ada, now)
    incidents.edit_update(session, number, update.id, {"body": "nearly dry"}, ada, now)
    incidents.set_impacts(session, number, {"earth": Impact.DEGRADED}, ada, now)
    incidents.postmortem(session, number, "It was *wet*", ada, now)


def _check(session: Session, now: int) -> None:
    """Faults of a check, the certificates it saw, and a minute in which the server was offline."""
    phases = Phases(name=0.004, connect=0.02)
    check_faults.add(
        session,
        2,
        [
            Attempt(now - 50.75, Status.DOWN, 0.5, "status is 502 \u2602", phases),
            Attempt(now - 30.5, None, 0.0, "no name can be resolved now", obstacle=Obstacle.NAMES),
        ],
    )
    own = SeenCertificate(bytes(range(32)), "CN=mars", "CN=Olympus", now + 30 * DAY)
    issuer = SeenCertificate(bytes(range(1, 33)), "CN=Olympus", "CN=Olympus", now + 900 * DAY, "self-signed")
    certificates.note(session, 2, [own, issuer], now)
    observer.save_seen(session, [Gap(now - 600, now - 540, GapKind.OFFLINE)], now)


def _sign_in(session: Session, now: int) -> None:
    """People with all they sign in with, their sessions and sign-ins under way, and what they made."""
    operator = Actor(ActorKind.COMMAND, "root")
    ada = people.add(session, "ada", Role.ADMIN, None, "ada@example.org", operator, now)
    grace = people.add(session, "grace", Role.RESPONDER, ["Planets"], "", operator, now)
    people.set_password(session, ada.id, "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA", operator, now)
    people.set_codes(session, ada.id, b"secret of codes", 59, [bytes(32), bytes(range(7, 39))], operator, now)
    people.use_recovery_code(session, ada.id, bytes(32), now)
    people.set_display(session, grace.id, "de", "Europe/Berlin", operator, now)
    passkeys.add(session, Passkey(b"key", ada.id, b"attested \xff", 7, "phone", now), operator, now)
    session.execute("INSERT INTO identities VALUES ('https://login.example.org', '2482', ?)", (grace.id,))
    sessions.add(
        session, StoredSession(b"cookie", ada.id, b"form", now, now, now + 86400, now, "192.0.2.7", "Browser")
    )
    invitations.add(session, grace.id, b"link", now + DAY, now)
    challenges.add(session, "code", {"person": ada.id}, now + DAY)
    tries.save(session, "name:ada", Failures(3, now - 60, now))
    submissions.claim(session, "key of a form", "/manage/incidents/1", now)
    actor = Actor(ActorKind.PERSON, "ada", "192.0.2.7")
    template = {"title": "{monitors} not working ☂", "monitors": ["earth"]}
    managed.save(session, "template", "down", template, managed.NEW, actor, now)
    managed.save(session, "announcement", "move", {"title": "We move"}, managed.NEW, actor, now)
    managed.delete(session, "announcement", "move", None, actor, now)


def contents(database: Path) -> dict[str, list[Any]]:
    """All rows of all tables."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        return {
            name: connection.execute(f'SELECT * FROM "{name}" ORDER BY 1').fetchall() for (name,) in names
        }


def unaudited(database: Path) -> dict[str, list[Any]]:
    """The same without the audit log, to which a command adds a row that says what it did."""
    return contents(database) | {"audit": [], "sqlite_sequence": []}


def flip(path: Path, offset: int) -> None:
    """Flip one bit of a byte of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << offset % 8]))
