"""Alerts: the open ones, the recent ones of a rule, and the history."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kener_async.domain.alerts import Alert, Closing, Severity
from kener_async.domain.errors import NotFound
from kener_async.store.interface import Session

COLUMNS = """
    id, monitor_id, rule, severity, since, opened_at, told_at, reminders, reminded_at, because, is_flapping,
    settled_at, acknowledged_at, acknowledged_by, acknowledged_from, snoozed_until, incident, until,
    closed_at, closing
"""
OPEN = "alerts INDEXED BY alerts_open"  # which are few, also of a monitor with many
RECENT_AT_MOST = 500  # of one monitor and rule that flap without end
OF_RULE_AT_MOST = 20_000

EXPORTED_AT_ONCE = 500

AlertRow = tuple[Any, ...]  # of COLUMNS


@dataclass(frozen=True, slots=True)
class AlertSearch:
    """Search criteria; None matches all. `before` is an id, of the last alert on the page before."""

    is_open: bool | None = None
    monitors: Sequence[int] | None = None
    rule: str | None = None
    before: int | None = None
    limit: int = 50


def get(session: Session, alert: int) -> Alert:
    """The alert of an id; raises NotFound."""
    row = session.execute(f"SELECT {COLUMNS} FROM alerts WHERE id = ?", (alert,)).fetchone()  # noqa: S608
    if row is None:
        raise NotFound("alert not found")
    return _alert(row)


def open_of(session: Session, monitors: Iterable[int]) -> list[Alert]:
    """The open alerts of these monitors, oldest first."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM {OPEN}
         WHERE closed_at IS NULL AND monitor_id IN (SELECT value FROM json_each(?)) ORDER BY id
        """,  # noqa: S608
        (json.dumps(sorted(monitors)),),
    )
    return [_alert(row) for row in rows]


def all_open(session: Session) -> list[Alert]:
    """The open alerts of all monitors, oldest first."""
    rows = session.execute(f"SELECT {COLUMNS} FROM {OPEN} WHERE closed_at IS NULL ORDER BY id")  # noqa: S608
    return [_alert(row) for row in rows]


def recent_of(session: Session, monitor: int, rule: str, since: int) -> list[Alert]:
    """The closed alerts of a monitor and a rule that `decide` looks at, oldest first.

    They are those opened at `since` or later, those of a flapping that has not settled, and the newest before
    both; at most RECENT_AT_MOST.
    """
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM alerts
         WHERE monitor_id = :monitor AND rule = :rule AND closed_at IS NOT NULL
           AND id >= coalesce((SELECT max(id) FROM alerts
                                WHERE monitor_id = :monitor AND rule = :rule AND closed_at IS NOT NULL
                                  AND opened_at < :since AND (is_flapping = 0 OR settled_at IS NOT NULL)), 0)
         ORDER BY id DESC LIMIT :most
        """,  # noqa: S608
        {"monitor": monitor, "rule": rule, "since": since, "most": RECENT_AT_MOST},
    ).fetchall()
    return [_alert(row) for row in reversed(rows)]


def unsettled(session: Session) -> list[Alert]:
    """The newest alerts of the monitors and rules that still flap, those that are closed, oldest first."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM alerts AS newest INDEXED BY alerts_flapping
         WHERE is_flapping = 1 AND settled_at IS NULL AND closed_at IS NOT NULL AND closing <> 2
           AND NOT EXISTS (SELECT 1 FROM alerts
                            WHERE monitor_id = newest.monitor_id AND rule = newest.rule AND id > newest.id)
         ORDER BY id
        """  # noqa: S608
    )
    return [_alert(row) for row in rows]


def all_alerts(session: Session) -> Iterator[Alert]:
    """All alerts, oldest first, some at a time."""
    last = 0
    while True:
        rows = session.execute(
            f"SELECT {COLUMNS} FROM alerts WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608
            (last, EXPORTED_AT_ONCE),
        ).fetchall()
        if not rows:
            return
        yield from (_alert(row) for row in rows)
        last = rows[-1][0]


def of_incident(session: Session, incident: int, limit: int = -1) -> list[Alert]:
    """The alerts of an automatic incident, oldest first; at most so many, or all."""
    rows = session.execute(
        f"SELECT {COLUMNS} FROM alerts WHERE incident = ? ORDER BY id LIMIT ?",  # noqa: S608
        (incident, limit),
    )
    return [_alert(row) for row in rows]


def has_open(session: Session, incident: int) -> bool:
    """Whether an alert of an automatic incident is open; in a storm it has hundreds, so none is read."""
    row = session.execute(
        "SELECT 1 FROM alerts WHERE incident = ? AND closed_at IS NULL LIMIT 1", (incident,)
    ).fetchone()
    return row is not None


def search(session: Session, criteria: AlertSearch) -> list[Alert]:
    """Find alerts, newest first."""
    conditions = {
        None: "TRUE",
        True: "closed_at IS NULL",
        False: "closed_at IS NOT NULL",
    }
    named = [conditions[criteria.is_open]]
    if criteria.monitors is not None:
        named.append("monitor_id IN (SELECT value FROM json_each(:monitors))")
    if criteria.rule is not None:
        named.append("rule = :rule")
    if criteria.before is not None:
        named.append("id < :before")
    table = OPEN if criteria.is_open else "alerts"
    rows = session.execute(
        f"SELECT {COLUMNS} FROM {table} WHERE {' AND '.join(named)} ORDER BY id DESC LIMIT :limit",  # noqa: S608
        {
            "monitors": json.dumps(list(criteria.monitors or ())),
            "rule": criteria.rule,
            "before": criteria.before,
            "limit": criteria.limit,
        },
    )
    return [_alert(row) for row in rows]


def of_monitor(session: Session, monitor: int, since: int, limit: int) -> list[Alert]:
    """The alerts of a monitor that were open at `since` or later, newest first."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM alerts INDEXED BY alerts_by_monitor
         WHERE monitor_id = ? AND (closed_at IS NULL OR closed_at >= ?) ORDER BY id DESC LIMIT ?
        """,  # noqa: S608
        (monitor, since, limit),
    )
    return [_alert(row) for row in rows]


def of_rule(session: Session, rule: str, monitors: Iterable[int], since: int) -> list[Alert]:
    """The alerts of a rule, of these monitors, that were open at `since` or later, newest first."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM alerts INDEXED BY alerts_by_rule
         WHERE monitor_id IN (SELECT value FROM json_each(?)) AND rule = ?
           AND (closed_at IS NULL OR closed_at >= ?)
         ORDER BY id DESC LIMIT ?
        """,  # noqa: S608
        (json.dumps(sorted(monitors)), rule, since, OF_RULE_AT_MOST),
    )
    return [_alert(row) for row in rows]


def count_open(session: Session) -> dict[Severity, int]:
    """How many alerts are open, by severity; those without any are left out."""
    rows = session.execute("SELECT severity, count(*) FROM alerts WHERE closed_at IS NULL GROUP BY severity")
    return {Severity(severity): count for severity, count in rows}


def add(session: Session, alert: Alert) -> Alert:
    """Store an alert that opened, under the next id, which replaces its own."""
    (number,) = session.execute(
        f"INSERT INTO alerts ({COLUMNS}) VALUES (NULL{', ?' * 19}) RETURNING id",  # noqa: S608
        _values(alert),
    ).fetchone()
    return replace(alert, id=number)


def insert(session: Session, alert: Alert) -> None:
    """Store an exported alert under its id."""
    session.execute(
        f"INSERT INTO alerts ({COLUMNS}) VALUES (?{', ?' * 19})",  # noqa: S608
        (alert.id, *_values(alert)),
    )


def change(session: Session, alert: Alert) -> None:
    """Store an alert as an event, a closing among them, left it."""
    session.execute(
        """
        UPDATE alerts
           SET monitor_id = ?, rule = ?, severity = ?, since = ?, opened_at = ?, told_at = ?, reminders = ?,
               reminded_at = ?, because = ?, is_flapping = ?, settled_at = ?, acknowledged_at = ?,
               acknowledged_by = ?, acknowledged_from = ?, snoozed_until = ?, incident = ?, until = ?,
               closed_at = ?, closing = ?
         WHERE id = ?
        """,
        (*_values(alert), alert.id),
    )


def acknowledge(session: Session, monitor: int, now: int, by: str, origin: str) -> list[Alert]:
    """Acknowledge the open alerts of a monitor; those that were not before, as they are now.

    `by` is the person, `origin` where the act came from. A snooze ends with it.
    """
    rows = session.execute(
        f"""
        UPDATE alerts
           SET acknowledged_at = ?, acknowledged_by = ?, acknowledged_from = ?, snoozed_until = NULL
         WHERE monitor_id = ? AND closed_at IS NULL AND acknowledged_at IS NULL
        RETURNING {COLUMNS}
        """,  # noqa: S608
        (now, by, origin, monitor),
    ).fetchall()
    return sorted((_alert(row) for row in rows), key=lambda alert: alert.id)


def snooze(session: Session, monitor: int, until: int, by: str, origin: str) -> list[Alert]:
    """Keep the open alerts of a monitor quiet until an instant; they, as they are now.

    An acknowledgement ends with it: the newest act of a person counts.
    """
    rows = session.execute(
        f"""
        UPDATE alerts
           SET snoozed_until = ?, acknowledged_at = NULL, acknowledged_by = ?, acknowledged_from = ?
         WHERE monitor_id = ? AND closed_at IS NULL
        RETURNING {COLUMNS}
        """,  # noqa: S608
        (until, by, origin, monitor),
    ).fetchall()
    return sorted((_alert(row) for row in rows), key=lambda alert: alert.id)


def _values(alert: Alert) -> tuple[Any, ...]:
    """The values of COLUMNS without the id."""
    return (
        alert.monitor,
        alert.rule,
        alert.severity,
        alert.since,
        alert.opened_at,
        alert.told_at,
        alert.reminders,
        alert.reminded_at,
        alert.because,
        alert.is_flapping,
        alert.settled_at,
        alert.acknowledged_at,
        alert.acknowledged_by,
        alert.acknowledged_from,
        alert.snoozed_until,
        alert.incident,
        alert.until,
        alert.closed_at,
        alert.closing,
    )


def _alert(row: AlertRow) -> Alert:
    return Alert(
        id=row[0],
        monitor=row[1],
        rule=row[2],
        severity=Severity(row[3]),
        since=row[4],
        opened_at=row[5],
        told_at=row[6],
        reminders=row[7],
        reminded_at=row[8],
        because=row[9],
        is_flapping=bool(row[10]),
        settled_at=row[11],
        acknowledged_at=row[12],
        acknowledged_by=row[13],
        acknowledged_from=row[14],
        snoozed_until=row[15],
        incident=row[16],
        until=row[17],
        closed_at=row[18],
        closing=None if row[19] is None else Closing(row[19]),
    )
