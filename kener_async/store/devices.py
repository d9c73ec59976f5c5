"""Devices: what is remembered of each, so that a batch may come in any order and more than once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kener_async.domain.batches import DeviceState, Key
from kener_async.domain.clocks import DeviceClocks, Stamp, began_at
from kener_async.domain.sequences import SequenceNumbers
from kener_async.store.interface import Session

BOOTS = 16  # remembered of each device


@dataclass(frozen=True, slots=True)
class Known:
    """A device on record. `offset`: seconds its clock was behind ours when it last said its time, or None.

    `missing` counts the numbers that have not come, `tags` the monitors it has reported.
    """

    sender: str
    name: str
    last_heard: int
    newest: int
    offset: int | None
    missing: int
    restarts: int
    tags: tuple[str, ...]


def everyone(session: Session) -> list[Known]:
    """All devices, by sender and name."""
    rows = session.execute(
        """
        SELECT id, sender, name, last_heard, newest, clock_offset, lost, restarts FROM devices
         ORDER BY sender, name
        """
    ).fetchall()
    return [_known(session, *row) for row in rows]


def _known(
    session: Session,
    device: int,
    sender: str,
    name: str,
    last_heard: int,
    newest: int,
    offset: int | None,
    lost: int,
    restarts: int,
) -> Known:
    missing = lost + SequenceNumbers(_spans(session, device)).holes
    return Known(sender, name, last_heard, newest, offset, missing, restarts, _tags(session, device))


def _tags(session: Session, device: int) -> tuple[str, ...]:
    rows = session.execute(
        """
        SELECT tag
          FROM device_monitors JOIN monitors ON monitors.id = monitor_id
         WHERE device_id = ?
         ORDER BY tag
        """,
        (device,),
    )
    return tuple(tag for (tag,) in rows)


def missing_of(session: Session, monitor: int) -> int:
    """How many numbers of the devices that report a monitor have not come in."""
    reporting = session.execute(
        "SELECT id, lost FROM device_monitors JOIN devices ON id = device_id WHERE monitor_id = ?", (monitor,)
    ).fetchall()
    return sum(lost + SequenceNumbers(_spans(session, device)).holes for device, lost in reporting)


def enrol(session: Session, sender: str, names: Iterable[str], now: int) -> dict[str, int]:
    """The ids of the devices of a sender by name; those not seen before are taken on."""
    ids = {}
    for name in names:
        (ids[name],) = session.execute(
            """
            INSERT INTO devices (sender, name, last_heard, newest, floor, lost, restarts)
            VALUES (?, ?, ?, 0, 0, 0, 0)
                ON CONFLICT (sender, name) DO UPDATE SET last_heard = excluded.last_heard
            RETURNING id
            """,
            (sender, name, now),
        ).fetchone()
    return ids


def clocks(session: Session, device: int | None, sent: Stamp, received: int, tolerance: int) -> DeviceClocks:
    """How the clocks of the device that sends stand to ours; what is learned of them is kept."""
    boots = {} if device is None else _boots(session, device)
    if sent.boot is not None:
        offset_before = None if device is None else _clock_offset(session, device)
        began = began_at(boots.get(sent.boot), sent, received, offset_before)
        if began is not None:
            boots[sent.boot] = began
    found = DeviceClocks(sent, received, tolerance, boots)
    if device is not None:
        _keep_clocks(session, device, found)
    return found


def _clock_offset(session: Session, device: int) -> int | None:
    (offset,) = session.execute("SELECT clock_offset FROM devices WHERE id = ?", (device,)).fetchone()
    return None if offset is None else int(offset)


def _boots(session: Session, device: int) -> dict[str, float]:
    return dict(session.execute("SELECT boot, began_at FROM boots WHERE device_id = ?", (device,)))


def _keep_clocks(session: Session, device: int, found: DeviceClocks) -> None:
    if found.offset is not None:
        session.execute("UPDATE devices SET clock_offset = ? WHERE id = ?", (found.offset, device))
    boot = found.sent.boot
    if boot is None or boot not in found.boots:
        return
    session.execute(
        """
        INSERT INTO boots (device_id, boot, began_at) VALUES (?, ?, ?)
            ON CONFLICT (device_id, boot) DO UPDATE SET began_at = excluded.began_at
        """,
        (device, boot, found.boots[boot]),
    )
    session.execute(
        """
        DELETE FROM boots
         WHERE device_id = :device
           AND boot NOT IN (SELECT boot FROM boots
                             WHERE device_id = :device
                             ORDER BY began_at DESC LIMIT :kept)
        """,
        {"device": device, "kept": BOOTS},
    )


def load(session: Session, device: int, keys: Iterable[Key]) -> DeviceState:
    """What is known of a device, with its claims to these minutes."""
    newest, floor, lost, restarts = session.execute(
        "SELECT newest, floor, lost, restarts FROM devices WHERE id = ?", (device,)
    ).fetchone()
    sequence = SequenceNumbers(_spans(session, device), floor)
    return DeviceState(sequence, _claims(session, device, keys), newest, lost, restarts)


def _spans(session: Session, device: int) -> list[tuple[int, int]]:
    return session.execute(
        "SELECT first, last FROM heard WHERE device_id = ? ORDER BY first", (device,)
    ).fetchall()


def _claims(session: Session, device: int, keys: Iterable[Key]) -> dict[Key, int]:
    if session.execute("SELECT 1 FROM claims WHERE device_id = ? LIMIT 1", (device,)).fetchone() is None:
        return {}
    claims = {}
    for key in keys:
        found = session.execute(
            "SELECT number FROM claims WHERE device_id = ? AND monitor_id = ? AND minute = ?", (device, *key)
        ).fetchone()
        if found is not None:
            claims[key] = found[0]
    return claims


def save(session: Session, device: int, state: DeviceState, spans_before: Iterable[tuple[int, int]]) -> None:
    """Keep what is known of a device after a batch."""
    state.prune()
    sequence = state.sequence
    session.execute(
        "UPDATE devices SET newest = ?, floor = ?, lost = ?, restarts = ? WHERE id = ?",
        (state.newest, sequence.floor, state.lost, state.restarts, device),
    )
    before, after = set(spans_before), set(sequence.spans)
    session.executemany(
        "DELETE FROM heard WHERE device_id = ? AND first = ?",
        [(device, first) for first, _ in before - after],
    )
    session.executemany("INSERT INTO heard VALUES (?, ?, ?)", [(device, *span) for span in after - before])
    session.execute(
        "DELETE FROM claims WHERE device_id = ? AND number <= ?", (device, sequence.complete_until)
    )
    session.executemany(
        """
        INSERT INTO claims (device_id, monitor_id, minute, number) VALUES (?, ?, ?, ?)
            ON CONFLICT (device_id, monitor_id, minute) DO UPDATE SET number = excluded.number
        """,
        [(device, *key, number) for key, number in state.claims.items()],
    )


def note_monitors(session: Session, pairs: Iterable[tuple[int, int]]) -> None:
    """Note which monitors devices report: pairs of device and monitor."""
    session.executemany("INSERT INTO device_monitors VALUES (?, ?) ON CONFLICT DO NOTHING", sorted(pairs))


def drop_unneeded(session: Session, too_old: int, forgotten: int) -> None:
    """Drop the claims to minutes no batch may speak of any more, and devices silent since `forgotten`."""
    session.execute("DELETE FROM claims WHERE minute < ?", (too_old,))
    silent = "SELECT id FROM devices WHERE last_heard < ?"
    for table in ("device_monitors", "heard", "claims", "boots"):
        session.execute(f"DELETE FROM {table} WHERE device_id IN ({silent})", (forgotten,))  # noqa: S608
    session.execute("DELETE FROM devices WHERE last_heard < ?", (forgotten,))


@dataclass(frozen=True, slots=True)
class Record:
    """All that is stored of a device; `claims` are tag, minute and number, `boots` when each began."""

    sender: str
    name: str
    last_heard: int
    newest: int
    clock_offset: int | None
    floor: int
    lost: int
    restarts: int
    monitors: list[str]
    heard: list[list[int]]
    claims: list[list[str | int]]
    boots: dict[str, float]


def ids(session: Session) -> list[int]:
    """All devices, in the order in which they came."""
    return [device for (device,) in session.execute("SELECT id FROM devices ORDER BY id")]


def record(session: Session, device: int) -> Record:
    """All that is stored of one device, in names that mean the same in another database."""
    row = session.execute(
        """
        SELECT sender, name, last_heard, newest, clock_offset, floor, lost, restarts FROM devices WHERE id = ?
        """,
        (device,),
    ).fetchone()
    claims = session.execute(
        """
        SELECT tag, minute, number
          FROM claims JOIN monitors ON id = monitor_id
         WHERE device_id = ?
         ORDER BY tag, minute
        """,
        (device,),
    )
    sender, name, last_heard, newest, offset, floor, lost, restarts = row
    return Record(
        sender,
        name,
        last_heard,
        newest,
        offset,
        floor,
        lost,
        restarts,
        monitors=list(_tags(session, device)),
        heard=[list(span) for span in _spans(session, device)],
        claims=[list(claim) for claim in claims],
        boots=_boots(session, device),
    )


def put_back(session: Session, record: Record) -> None:
    """Store a record as it was; raises KeyError for a monitor that is not known."""
    monitors: Mapping[str, int] = dict(session.execute("SELECT tag, id FROM monitors"))
    (device,) = session.execute(
        """
        INSERT INTO devices (sender, name, last_heard, newest, clock_offset, floor, lost, restarts)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
        """,
        (
            record.sender,
            record.name,
            record.last_heard,
            record.newest,
            record.clock_offset,
            record.floor,
            record.lost,
            record.restarts,
        ),
    ).fetchone()
    note_monitors(session, [(device, monitors[tag]) for tag in record.monitors])
    session.executemany(
        "INSERT INTO heard VALUES (?, ?, ?)", [(device, first, last) for first, last in record.heard]
    )
    session.executemany(
        "INSERT INTO claims VALUES (?, ?, ?, ?)",
        [(device, monitors[str(tag)], minute, number) for tag, minute, number in record.claims],
    )
    session.executemany(
        "INSERT INTO boots VALUES (?, ?, ?)", [(device, boot, began) for boot, began in record.boots.items()]
    )
