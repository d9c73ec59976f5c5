"""Devices: what is remembered of each, so that a batch may come in any order and more than once."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kener_async.domain.batches import DeviceState, Key
from kener_async.domain.clocks import Clocks, Stamp, began_at
from kener_async.domain.sequences import Sequence

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


def everyone(connection: sqlite3.Connection) -> list[Known]:
    """All devices, by sender and name."""
    rows = connection.execute(
        """
        SELECT id, sender, name, last_heard, newest, clock_offset, lost, restarts FROM devices
         ORDER BY sender, name
        """
    ).fetchall()
    return [_known(connection, *row) for row in rows]


def _known(
    connection: sqlite3.Connection,
    device: int,
    sender: str,
    name: str,
    last_heard: int,
    newest: int,
    offset: int | None,
    lost: int,
    restarts: int,
) -> Known:
    missing = lost + Sequence(_spans(connection, device)).holes
    return Known(sender, name, last_heard, newest, offset, missing, restarts, _tags(connection, device))


def _tags(connection: sqlite3.Connection, device: int) -> tuple[str, ...]:
    rows = connection.execute(
        """
        SELECT tag
          FROM device_monitors JOIN monitors ON monitors.id = monitor_id
         WHERE device_id = ?
         ORDER BY tag
        """,
        (device,),
    )
    return tuple(tag for (tag,) in rows)


def missing_of(connection: sqlite3.Connection, monitor: int) -> int:
    """How many numbers of the devices that report a monitor have not come in."""
    reporting = connection.execute(
        "SELECT id, lost FROM device_monitors JOIN devices ON id = device_id WHERE monitor_id = ?", (monitor,)
    ).fetchall()
    return sum(lost + Sequence(_spans(connection, device)).holes for device, lost in reporting)


def enrol(connection: sqlite3.Connection, sender: str, names: Iterable[str], now: int) -> dict[str, int]:
    """The ids of the devices of a sender by name; those not seen before are taken on."""
    ids = {}
    for name in names:
        (ids[name],) = connection.execute(
            """
            INSERT INTO devices (sender, name, last_heard, newest, floor, lost, restarts)
            VALUES (?, ?, ?, 0, 0, 0, 0)
                ON CONFLICT (sender, name) DO UPDATE SET last_heard = excluded.last_heard
            RETURNING id
            """,
            (sender, name, now),
        ).fetchone()
    return ids


def clocks(
    connection: sqlite3.Connection, device: int | None, sent: Stamp, received: int, tolerance: int
) -> Clocks:
    """How the clocks of the device that sends stand to ours; what is learned of them is kept."""
    boots = {} if device is None else _boots(connection, device)
    if sent.boot is not None:
        offset_before = None if device is None else _clock_offset(connection, device)
        began = began_at(boots.get(sent.boot), sent, received, offset_before)
        if began is not None:
            boots[sent.boot] = began
    found = Clocks(sent, received, tolerance, boots)
    if device is not None:
        _keep_clocks(connection, device, found)
    return found


def _clock_offset(connection: sqlite3.Connection, device: int) -> int | None:
    (offset,) = connection.execute("SELECT clock_offset FROM devices WHERE id = ?", (device,)).fetchone()
    return None if offset is None else int(offset)


def _boots(connection: sqlite3.Connection, device: int) -> dict[str, float]:
    return dict(connection.execute("SELECT boot, began_at FROM boots WHERE device_id = ?", (device,)))


def _keep_clocks(connection: sqlite3.Connection, device: int, found: Clocks) -> None:
    if found.offset is not None:
        connection.execute("UPDATE devices SET clock_offset = ? WHERE id = ?", (found.offset, device))
    boot = found.sent.boot
    if boot is None or boot not in found.boots:
        return
    connection.execute(
        """
        INSERT INTO boots (device_id, boot, began_at) VALUES (?, ?, ?)
            ON CONFLICT (device_id, boot) DO UPDATE SET began_at = excluded.began_at
        """,
        (device, boot, found.boots[boot]),
    )
    connection.execute(
        """
        DELETE FROM boots
         WHERE device_id = :device
           AND boot NOT IN (SELECT boot FROM boots
                             WHERE device_id = :device
                             ORDER BY began_at DESC LIMIT :kept)
        """,
        {"device": device, "kept": BOOTS},
    )


def load(connection: sqlite3.Connection, device: int, keys: Iterable[Key]) -> DeviceState:
    """What is known of a device, with its claims to these minutes."""
    newest, floor, lost, restarts = connection.execute(
        "SELECT newest, floor, lost, restarts FROM devices WHERE id = ?", (device,)
    ).fetchone()
    sequence = Sequence(_spans(connection, device), floor)
    return DeviceState(sequence, _claims(connection, device, keys), newest, lost, restarts)


def _spans(connection: sqlite3.Connection, device: int) -> list[tuple[int, int]]:
    return connection.execute(
        "SELECT first, last FROM heard WHERE device_id = ? ORDER BY first", (device,)
    ).fetchall()


def _claims(connection: sqlite3.Connection, device: int, keys: Iterable[Key]) -> dict[Key, int]:
    if connection.execute("SELECT 1 FROM claims WHERE device_id = ? LIMIT 1", (device,)).fetchone() is None:
        return {}
    claims = {}
    for key in keys:
        found = connection.execute(
            "SELECT number FROM claims WHERE device_id = ? AND monitor_id = ? AND minute = ?", (device, *key)
        ).fetchone()
        if found is not None:
            claims[key] = found[0]
    return claims


def save(
    connection: sqlite3.Connection, device: int, state: DeviceState, spans_before: Iterable[tuple[int, int]]
) -> None:
    """Keep what is known of a device after a batch."""
    state.settle()
    sequence = state.sequence
    connection.execute(
        "UPDATE devices SET newest = ?, floor = ?, lost = ?, restarts = ? WHERE id = ?",
        (state.newest, sequence.floor, state.lost, state.restarts, device),
    )
    before, after = set(spans_before), set(sequence.spans)
    connection.executemany(
        "DELETE FROM heard WHERE device_id = ? AND first = ?",
        [(device, first) for first, _ in before - after],
    )
    connection.executemany("INSERT INTO heard VALUES (?, ?, ?)", [(device, *span) for span in after - before])
    connection.execute(
        "DELETE FROM claims WHERE device_id = ? AND number <= ?", (device, sequence.complete_until)
    )
    connection.executemany(
        """
        INSERT INTO claims (device_id, monitor_id, minute, number) VALUES (?, ?, ?, ?)
            ON CONFLICT (device_id, monitor_id, minute) DO UPDATE SET number = excluded.number
        """,
        [(device, *key, number) for key, number in state.claims.items()],
    )


def note_monitors(connection: sqlite3.Connection, pairs: Iterable[tuple[int, int]]) -> None:
    """Note which monitors devices report: pairs of device and monitor."""
    connection.executemany("INSERT INTO device_monitors VALUES (?, ?) ON CONFLICT DO NOTHING", sorted(pairs))


def drop_unneeded(connection: sqlite3.Connection, too_old: int, forgotten: int) -> None:
    """Drop the claims to minutes no batch may speak of any more, and devices silent since `forgotten`."""
    connection.execute("DELETE FROM claims WHERE minute < ?", (too_old,))
    silent = "SELECT id FROM devices WHERE last_heard < ?"
    for table in ("device_monitors", "heard", "claims", "boots"):
        connection.execute(f"DELETE FROM {table} WHERE device_id IN ({silent})", (forgotten,))  # noqa: S608
    connection.execute("DELETE FROM devices WHERE last_heard < ?", (forgotten,))


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


def ids(connection: sqlite3.Connection) -> list[int]:
    """All devices, in the order in which they came."""
    return [device for (device,) in connection.execute("SELECT id FROM devices ORDER BY id")]


def record(connection: sqlite3.Connection, device: int) -> Record:
    """All that is stored of one device, in names that mean the same in another database."""
    row = connection.execute(
        """
        SELECT sender, name, last_heard, newest, clock_offset, floor, lost, restarts FROM devices WHERE id = ?
        """,
        (device,),
    ).fetchone()
    claims = connection.execute(
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
        monitors=list(_tags(connection, device)),
        heard=[list(span) for span in _spans(connection, device)],
        claims=[list(claim) for claim in claims],
        boots=_boots(connection, device),
    )


def put_back(connection: sqlite3.Connection, record: Record) -> None:
    """Store a record as it was; raises KeyError for a monitor that is not known."""
    monitors: Mapping[str, int] = dict(connection.execute("SELECT tag, id FROM monitors"))
    (device,) = connection.execute(
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
    note_monitors(connection, [(device, monitors[tag]) for tag in record.monitors])
    connection.executemany(
        "INSERT INTO heard VALUES (?, ?, ?)", [(device, first, last) for first, last in record.heard]
    )
    connection.executemany(
        "INSERT INTO claims VALUES (?, ?, ?, ?)",
        [(device, monitors[str(tag)], minute, number) for tag, minute, number in record.claims],
    )
    connection.executemany(
        "INSERT INTO boots VALUES (?, ?, ?)", [(device, boot, began) for boot, began in record.boots.items()]
    )
