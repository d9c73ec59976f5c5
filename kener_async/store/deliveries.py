"""Deliveries: the outbox, in which each notice waits for each channel that is to hear of it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kener_async.domain.alerts import Closing
from kener_async.domain.deliveries import Backlog
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.notices import Delivery, DeliveryState, Notice, NoticeKind
from kener_async.store import notices
from kener_async.store.interface import Session

COLUMNS = f"""
    {notices.COLUMNS}, deliveries.id, channel, state, attempts, due_at, merged_into, answer, reference,
    done_at
"""
SELECT = f"SELECT {COLUMNS} FROM deliveries JOIN notices ON notices.id = notice"  # noqa: S608
WAITING = "state IN (0, 1)"  # as the partial index says it

FAILED = "state = 3"
INDEXED_STATES = {
    frozenset({DeliveryState.DUE, DeliveryState.SENDING}): (WAITING, "+deliveries.id"),  # the few are sorted
    frozenset({DeliveryState.FAILED}): (FAILED, "deliveries.id"),  # in the order of the index
}  # the condition of those that a partial index has, and how they are ordered
EXPORTED_AT_ONCE = 500

DeliveryRow = tuple[Any, ...]  # of COLUMNS


@dataclass(frozen=True, slots=True)
class DeliverySearch:
    """Search criteria; None matches all. `before` is an id, of the last delivery on the page before.

    With `monitors` only deliveries about their alerts match.
    """

    states: Sequence[DeliveryState] | None = None
    channel: str | None = None
    monitors: Sequence[int] | None = None
    before: int | None = None
    limit: int = 50


def get(session: Session, delivery: int) -> Delivery:
    """The delivery of an id; raises NotFound."""
    row = session.execute(f"{SELECT} WHERE deliveries.id = ?", (delivery,)).fetchone()
    if row is None:
        raise NotFound("delivery not found")
    return _delivery(row)


def waiting(session: Session) -> list[Delivery]:
    """All deliveries that are not done, whenever they are due, oldest first."""
    rows = session.execute(f"{SELECT} WHERE {WAITING} ORDER BY +deliveries.id")  # by the partial index
    return [_delivery(row) for row in rows]


def backlog(session: Session, channel: str, limit: int) -> Backlog:
    """The oldest deliveries of a channel that are not done, with what is to be known of their alerts."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS}
          FROM deliveries INDEXED BY deliveries_waiting JOIN notices ON notices.id = notice
         WHERE {WAITING} AND channel = ? ORDER BY deliveries.id LIMIT ?
        """,  # noqa: S608
        (channel, limit),
    )
    found = [_delivery(row) for row in rows]
    alerts = _ids({each.notice.alert for each in found if each.notice.alert is not None})
    removed = session.execute(
        "SELECT id FROM alerts WHERE id IN (SELECT value FROM json_each(?)) AND closing = ?",
        (alerts, Closing.REMOVED),
    )
    untold = session.execute(
        """
        SELECT alert FROM notices JOIN deliveries ON notice = notices.id AND channel = ?
         WHERE alert IS NOT NULL AND alert IN (SELECT value FROM json_each(?))
           AND kind = ? AND state IN (3, 4)
        """,
        (channel, alerts, NoticeKind.OPENED),
    )
    return Backlog(found, {number for (number,) in removed}, {number for (number,) in untold})


def unheard_openings(session: Session, channel: str, now: float, patience: int, retry_for: int) -> list[int]:
    """The notices that opened alerts, are older than `patience` seconds and reached no channel.

    Those that this channel has a delivery of are left out, and those of alerts that are closed.
    """
    rows = session.execute(
        """
        SELECT notices.id
          FROM alerts CROSS JOIN notices ON alert = alerts.id
         WHERE closed_at IS NULL AND at > :oldest AND at <= :newest AND kind IN (:opened, :flapping)
           AND EXISTS (SELECT 1 FROM deliveries
                        WHERE notice = notices.id AND (attempts > 0 OR due_at <= :newest))
           AND NOT EXISTS (SELECT 1 FROM deliveries
                            WHERE notice = notices.id AND (state = :sent OR channel = :channel))
        """,
        {
            "oldest": now - patience - retry_for,
            "newest": now - patience,
            "opened": NoticeKind.OPENED,
            "flapping": NoticeKind.FLAPPING,
            "sent": DeliveryState.SENT,
            "channel": channel,
        },
    )
    return [number for (number,) in rows]


def closings_to_follow(
    session: Session, channel: str, kinds: Iterable[NoticeKind], now: float, retry_for: int, after: int = 0
) -> list[int]:
    """The notices that closed alerts whose opening this channel was told, and which it is not told of yet.

    Only those with an id above `after` are looked at, so that a look need not repeat the one before it.
    """
    found_by = "NOT INDEXED" if after else "INDEXED BY notices_by_instant"  # by the id, or the last hours
    rows = session.execute(
        f"""
        SELECT closed.id
          FROM notices AS closed {found_by}
         CROSS JOIN notices AS opened
                 ON opened.alert = closed.alert AND opened.kind IN (:opening, :flapping)
         CROSS JOIN deliveries ON notice = opened.id AND channel = :channel
         WHERE closed.id > :after AND closed.at > :oldest AND closed.alert IS NOT NULL
           AND closed.kind IN (SELECT value FROM json_each(:kinds))
           AND NOT EXISTS (SELECT 1 FROM deliveries WHERE notice = closed.id AND channel = :channel)
        """,  # noqa: S608
        {
            "after": after,
            "oldest": now - retry_for,
            "opening": NoticeKind.OPENED,
            "flapping": NoticeKind.FLAPPING,
            "kinds": _ids(kinds),
            "channel": channel,
        },
    )
    return [number for (number,) in rows]


def waiting_channels(session: Session) -> set[str]:
    """The channels that something waits for."""
    rows = session.execute(f"SELECT DISTINCT channel FROM deliveries WHERE {WAITING}")  # noqa: S608
    return {channel for (channel,) in rows}


def drop_all_but(session: Session, channels: Iterable[str], now: int, answer: str) -> dict[str, int]:
    """Drop what waits for any other channel; how many deliveries, by channel."""
    rows = session.execute(
        f"""
        UPDATE deliveries SET state = ?, done_at = ?, answer = ?
         WHERE {WAITING} AND channel NOT IN (SELECT value FROM json_each(?))
        RETURNING channel
        """,  # noqa: S608
        (DeliveryState.DROPPED, now, answer, json.dumps(list(channels))),
    )
    return Counter(channel for (channel,) in rows)


def set_back(session: Session, channel: str, seconds: float, before: float) -> None:
    """Let what a channel is to be tried with be due earlier, after the clock was set back by that much.

    What was to wait anyway, until an instant after `before`, still waits for it.
    """
    session.execute(
        f"""
        UPDATE deliveries SET due_at = due_at - ?
         WHERE {WAITING} AND channel = ? AND (attempts > 0 OR due_at <= ?)
        """,  # noqa: S608
        (seconds, channel, before),
    )


def count_waiting_by_channel(session: Session) -> dict[str, int]:
    """How many deliveries are not done, by channel; those without any are left out."""
    rows = session.execute(
        f"""
        SELECT channel, count(*) FROM deliveries INDEXED BY deliveries_waiting
         WHERE {WAITING} GROUP BY channel
        """  # noqa: S608
    )
    return dict(rows.fetchall())


def count_waiting(session: Session) -> int:
    """How many deliveries are not done."""
    (count,) = session.execute(f"SELECT count(*) FROM deliveries WHERE {WAITING}").fetchone()  # noqa: S608
    return int(count)


def of_notices(session: Session, numbers: Iterable[int]) -> list[Delivery]:
    """All deliveries of these notices, done or not, oldest first."""
    rows = session.execute(
        f"{SELECT} WHERE notice IN (SELECT value FROM json_each(?)) ORDER BY deliveries.id",  # noqa: S608
        (_ids(numbers),),
    )
    return [_delivery(row) for row in rows]


def references(session: Session, channel: str, alerts: Iterable[int]) -> dict[int, str]:
    """The channel's own name of its first message about each alert; alerts without one are left out."""
    rows = session.execute(
        """
        SELECT alert, reference
          FROM notices JOIN deliveries ON notice = notices.id
         WHERE alert IS NOT NULL AND alert IN (SELECT value FROM json_each(?))
           AND channel = ? AND reference <> ''
         ORDER BY deliveries.id DESC
        """,
        (_ids(alerts), channel),
    )
    return dict(rows.fetchall())


def search(session: Session, criteria: DeliverySearch) -> list[Delivery]:
    """Find deliveries, newest first."""
    if criteria.monitors is not None and not criteria.monitors:
        return []  # else all would be looked through
    named, order = ["TRUE"], "deliveries.id"
    if criteria.states is not None:
        values = ", ".join(str(state.value) for state in criteria.states)
        default = f"state IN ({values})", order
        condition, order = INDEXED_STATES.get(frozenset(criteria.states), default)
        named.append(condition)
    if criteria.channel is not None:
        named.append("channel = :channel")
    if criteria.monitors is not None:
        named.append(
            """
            EXISTS (SELECT 1 FROM alerts
                     WHERE alerts.id = alert AND monitor_id IN (SELECT value FROM json_each(:monitors)))
            """
        )
    if criteria.before is not None:
        named.append("deliveries.id < :before")
    rows = session.execute(
        f"{SELECT} WHERE {' AND '.join(named)} ORDER BY {order} DESC LIMIT :limit",
        {
            "channel": criteria.channel,
            "monitors": _ids(criteria.monitors or ()),
            "before": criteria.before,
            "limit": criteria.limit,
        },
    )
    return [_delivery(row) for row in rows]


def failed_since(session: Session, instant: int) -> list[Delivery]:
    """The deliveries that failed for good at an instant or later, newest first."""
    rows = session.execute(f"{SELECT} WHERE state = 3 AND done_at >= ? ORDER BY done_at DESC", (instant,))
    return [_delivery(row) for row in rows]


def all_notices(session: Session) -> Iterator[tuple[Notice, Sequence[Delivery]]]:
    """All notices with their deliveries, oldest first, some at a time."""
    last = 0
    while True:
        found = notices.after(session, last, EXPORTED_AT_ONCE)
        if not found:
            return
        sent: dict[int, list[Delivery]] = {notice.id: [] for notice in found}
        for delivery in of_notices(session, sent):
            sent[delivery.notice.id].append(delivery)
        yield from ((notice, sent[notice.id]) for notice in found)
        last = found[-1].id


def insert(session: Session, notice: Notice, sent: Iterable[Delivery]) -> None:
    """Store an exported notice and its deliveries under their ids."""
    notices.insert(session, notice)
    session.executemany(
        """
        INSERT INTO deliveries (id, notice, channel, state, attempts, due_at, merged_into, answer, reference,
                                done_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
            (
                delivery.id,
                notice.id,
                delivery.channel,
                delivery.state,
                delivery.attempts,
                delivery.due_at,
                delivery.merged_into,
                delivery.answer,
                delivery.reference,
                delivery.done_at,
            )
            for delivery in sent
        ],
    )


def mark_sending(session: Session, numbers: Iterable[int]) -> None:
    """Note that these deliveries are sent now, and count the attempt."""
    session.execute(
        """
        UPDATE deliveries SET state = ?, attempts = attempts + 1
         WHERE id IN (SELECT value FROM json_each(?))
        """,
        (DeliveryState.SENDING, _ids(numbers)),
    )


def mark_sent(session: Session, numbers: Iterable[int], now: int, answer: str, reference: str = "") -> None:
    """Note that the channel took these deliveries, with its answer and its own name of the message."""
    session.execute(
        """
        UPDATE deliveries SET state = ?, done_at = ?, answer = ?, reference = ?
         WHERE id IN (SELECT value FROM json_each(?))
        """,
        (DeliveryState.SENT, now, answer, reference, _ids(numbers)),
    )


def mark_failed(session: Session, numbers: Iterable[int], now: int, answer: str) -> None:
    """Note that these deliveries failed for good."""
    _finish(session, numbers, DeliveryState.FAILED, now, answer)


def postpone(session: Session, numbers: Iterable[int], due_at: float, answer: str) -> None:
    """Let these deliveries, which were not taken, be due later."""
    session.execute(
        """
        UPDATE deliveries SET state = ?, due_at = ?, answer = ? WHERE id IN (SELECT value FROM json_each(?))
        """,
        (DeliveryState.DUE, due_at, answer, _ids(numbers)),
    )


def merge(session: Session, numbers: Iterable[int], into: int, now: int) -> None:
    """Note that another delivery tells these, too."""
    session.execute(
        """
        UPDATE deliveries SET state = ?, merged_into = ?, done_at = ?
         WHERE id IN (SELECT value FROM json_each(?))
        """,
        (DeliveryState.MERGED, into, now, _ids(numbers)),
    )


def drop(session: Session, numbers: Iterable[int], now: int, answer: str) -> None:
    """Note that these deliveries are not sent, and why."""
    _finish(session, numbers, DeliveryState.DROPPED, now, answer)


def send_again(session: Session, number: int, now: float) -> Delivery:
    """Let a delivery that is done be due now, as if it were new; the delivery.

    Raises NotFound, and Invalid for one that is still waiting.
    """
    delivery = get(session, number)
    if delivery.state in (DeliveryState.DUE, DeliveryState.SENDING):
        raise Invalid("this delivery is waiting to be sent")
    session.execute(
        """
        UPDATE deliveries
           SET state = ?, attempts = 0, due_at = ?, merged_into = NULL, answer = '', done_at = NULL
         WHERE id = ?
        """,
        (DeliveryState.DUE, now, number),
    )
    return get(session, number)


def _finish(session: Session, numbers: Iterable[int], state: DeliveryState, now: int, answer: str) -> None:
    session.execute(
        """
        UPDATE deliveries SET state = ?, done_at = ?, answer = ? WHERE id IN (SELECT value FROM json_each(?))
        """,
        (state, now, answer, _ids(numbers)),
    )


def _ids(numbers: Iterable[int]) -> str:
    return json.dumps(list(numbers))


def _delivery(row: DeliveryRow) -> Delivery:
    number, channel, state, attempts, due_at, merged_into, answer, reference, done_at = row[6:]
    return Delivery(
        id=number,
        notice=notices.notice_of(row[:6]),
        channel=channel,
        state=DeliveryState(state),
        attempts=attempts,
        due_at=due_at,
        merged_into=merged_into,
        answer=answer,
        reference=reference,
        done_at=done_at,
    )
