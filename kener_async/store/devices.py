"""Devices: what is stored about each, so that a batch may come in any order and more than once."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kener_async.domain.access import Grant
from kener_async.domain.batches import DeviceState, Key, RecentSample
from kener_async.domain.calendar import DAY, HOUR
from kener_async.domain.clocks import ClockHistory, DeviceClocks, Hearing, Stamp, compare
from kener_async.domain.sequences import SequenceNumbers
from kener_async.store.interface import Session

BOOTS = 16  # kept for each device

Numbers = tuple[int, int]  # a span of sequence numbers: the first and the last


@dataclass(frozen=True, slots=True)
class DeviceSummary:
    """A device as the API lists it. `sender` is the name of its token, `token_id` the id.

    `token_id` is that of the token which it began with, or the subject of one made elsewhere. `is_revoked`:
    that token was revoked. `offset` is how many seconds its clock was behind this server's when it last sent
    its time, or None. `missing` counts the numbers that have not arrived; `tags` are the monitors it has
    reported.
    """

    id: int
    token_id: str
    sender: str
    is_revoked: bool
    name: str
    last_heard: int
    newest: int
    offset: int | None
    missing: int
    restarts: int
    tags: tuple[str, ...]

    def is_visible(self, grant: Grant) -> bool:
        """Whether a grant covers all its monitors; one without monitors is there for a grant of all."""
        return grant.tags is None or (bool(self.tags) and all(map(grant.allows_tag, self.tags)))


def summaries(session: Session, devices: Collection[int] | None = None) -> list[DeviceSummary]:
    """All devices, or these, by sender and name."""
    rows = session.execute(
        """
        SELECT devices.id, devices.sender, coalesce(tokens.name, devices.sender) AS sender_name,
               tokens.revoked_at IS NOT NULL, devices.name, last_heard, newest, clock_offset, lost, restarts
          FROM devices LEFT JOIN tokens ON tokens.id = devices.sender
         WHERE ?1 IS NULL OR devices.id IN (SELECT value FROM json_each(?1))
         ORDER BY sender_name, devices.name, devices.id
        """,
        (None if devices is None else _ids(devices),),
    ).fetchall()
    ids = [row[0] for row in rows]
    spans, tags = _spans(session, ids), _tags(session, ids)
    return [
        DeviceSummary(
            *(device, token, sender, bool(is_revoked), name, heard, newest, offset),
            *(lost + _holes(spans[device]), restarts, tuple(tags[device])),
        )
        for device, token, sender, is_revoked, name, heard, newest, offset, lost, restarts in rows
    ]


def of_monitor(session: Session, monitor: int) -> list[DeviceSummary]:
    """The devices that have reported a monitor, by sender and name."""
    rows = session.execute("SELECT device_id FROM device_monitors WHERE monitor_id = ?", (monitor,))
    return summaries(session, [device for (device,) in rows])


def missing_of(session: Session, monitor: int) -> int:
    """How many numbers of the devices that report a monitor have not arrived."""
    lost: dict[int, int] = dict(
        session.execute(
            "SELECT id, lost FROM device_monitors JOIN devices ON id = device_id WHERE monitor_id = ?",
            (monitor,),
        ).fetchall()
    )
    return sum(lost.values()) + sum(map(_holes, _spans(session, lost).values()))


def _holes(spans: Iterable[Numbers]) -> int:
    return SequenceNumbers(spans).holes


def register(session: Session, sender: str, names: Iterable[str], now: int) -> dict[str, int]:
    """Note that devices of a sender reported now, adding new ones; their ids by name."""
    return dict(
        session.execute(
            """
            INSERT INTO devices (sender, name, last_heard, newest, floor, lost, restarts)
            SELECT :sender, value, :now, 0, 0, 0, 0 FROM json_each(:names) WHERE true
                ON CONFLICT (sender, name) DO UPDATE SET last_heard = excluded.last_heard
            RETURNING name, id
            """,
            {"sender": sender, "names": json.dumps(list(names)), "now": now},
        ).fetchall()
    )


def clocks(session: Session, device: int | None, sent: Stamp, received: int, tolerance: int) -> DeviceClocks:
    """Compare the clocks of the sending device with this server's, and store the comparison."""
    if device is None:
        return compare(sent, received, tolerance, None)
    history = ClockHistory(_usual_offset(session, device, received), _boots(session, device))
    compared = compare(sent, received, tolerance, history)
    _save_offset(session, device, compared)
    _save_boot(session, device, compared)
    return compared


def _usual_offset(session: Session, device: int, now: int) -> int | None:
    """The smallest offset heard in the last day."""
    (smallest,) = session.execute(
        "SELECT min(smallest) FROM clock_offsets WHERE device_id = ? AND hour > ? AND hour <= ?",
        (device, now - DAY, now),
    ).fetchone()
    return None if smallest is None else int(smallest)


def _boots(session: Session, device: int) -> dict[str, float]:
    return dict(session.execute("SELECT boot, began_at FROM boots WHERE device_id = ?", (device,)))


def _save_offset(session: Session, device: int, compared: DeviceClocks) -> None:
    """Store an offset, unless it is one of a late batch; after a step of the clock it is the only one."""
    if compared.hearing in (Hearing.NONE, Hearing.LATE):
        return
    session.execute(
        "DELETE FROM clock_offsets WHERE device_id = ? AND (? OR hour <= ? OR hour > ?)",
        (device, compared.hearing is Hearing.CHANGED, compared.received - DAY, compared.received),
    )
    session.execute(
        """
        INSERT INTO clock_offsets (device_id, hour, smallest) VALUES (?, ?, ?)
            ON CONFLICT (device_id, hour) DO UPDATE SET smallest = min(smallest, excluded.smallest)
        """,
        (device, compared.received - compared.received % HOUR, compared.offset),
    )
    session.execute("UPDATE devices SET clock_offset = ? WHERE id = ?", (compared.offset, device))


def _save_boot(session: Session, device: int, compared: DeviceClocks) -> None:
    boot = compared.sent.boot
    if boot is None or boot not in compared.boots:
        return
    session.execute(
        """
        INSERT INTO boots (device_id, boot, began_at) VALUES (?, ?, ?)
            ON CONFLICT (device_id, boot) DO UPDATE SET began_at = excluded.began_at
        """,
        (device, boot, compared.boots[boot]),
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


def load(
    session: Session, devices: Collection[int], claimed: Collection[tuple[int, Key]]
) -> dict[int, DeviceState]:
    """The sequence states of devices, with their claims to these pairs of a device and a minute."""
    spans, claims = _spans(session, devices), _claims(session, devices, claimed)
    rows = session.execute(
        """
        SELECT id, newest, floor, lost, restarts, recent FROM devices
         WHERE id IN (SELECT value FROM json_each(?))
        """,
        (_ids(devices),),
    )
    return {
        device: DeviceState(
            SequenceNumbers(spans[device], floor),
            claims.get(device, {}),
            newest,
            lost,
            restarts,
            {number: RecentSample(minute, content) for number, minute, content in json.loads(recent)},
        )
        for device, newest, floor, lost, restarts, recent in rows
    }


def _ids(devices: Iterable[int]) -> str:
    return json.dumps(list(devices))


def _spans(session: Session, devices: Iterable[int]) -> dict[int, list[Numbers]]:
    """The numbers received from each device."""
    spans: dict[int, list[Numbers]] = {device: [] for device in devices}
    rows = session.execute(
        """
        SELECT device_id, first, last FROM heard
         WHERE device_id IN (SELECT value FROM json_each(?)) ORDER BY device_id, first
        """,
        (_ids(spans),),
    )
    for device, first, last in rows:
        spans[device].append((first, last))
    return spans


def _tags(session: Session, devices: Iterable[int]) -> dict[int, list[str]]:
    """The monitors that each device has reported."""
    tags: dict[int, list[str]] = {device: [] for device in devices}
    rows = session.execute(
        """
        SELECT device_id, tag
          FROM device_monitors JOIN monitors ON monitors.id = monitor_id
         WHERE device_id IN (SELECT value FROM json_each(?))
         ORDER BY device_id, tag
        """,
        (_ids(tags),),
    )
    for device, tag in rows:
        tags[device].append(tag)
    return tags


def _claims(
    session: Session, devices: Iterable[int], claimed: Collection[tuple[int, Key]]
) -> dict[int, dict[Key, int]]:
    """The highest numbers received for these minutes, by device."""
    # Devices whose numbers arrive in order, which is nearly all of them, have no claims.
    claimants = session.execute(
        """
        SELECT value FROM json_each(?)
         WHERE EXISTS (SELECT 1 FROM claims WHERE device_id = value)
        """,
        (_ids(devices),),
    )
    claims: dict[int, dict[Key, int]] = {device: {} for (device,) in claimants}
    wanted = [(device, *key) for device, key in claimed if device in claims]
    if not wanted:
        return claims
    rows = session.execute(
        """
        WITH wanted (device, monitor, moment) AS (
            SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
        )
        SELECT device_id, monitor_id, minute, number
          FROM wanted CROSS JOIN claims ON device_id = device AND monitor_id = monitor AND minute = moment
        """,
        (json.dumps(wanted),),
    )
    for device, monitor, minute, number in rows:
        claims[device][monitor, minute] = number
    return claims


def save(
    session: Session, states: Mapping[int, DeviceState], spans_before: Mapping[int, Sequence[Numbers]]
) -> None:
    """Store the sequence states of devices after a batch; `spans_before` are those before it."""
    for state in states.values():
        state.prune()
    session.executemany(
        "UPDATE devices SET newest = ?, floor = ?, lost = ?, restarts = ?, recent = ? WHERE id = ?",
        [
            (state.newest, state.sequence.floor, state.lost, state.restarts, _recent(state), device)
            for device, state in states.items()
        ],
    )
    before = {(device, *span) for device, spans in spans_before.items() for span in spans}
    after = {(device, *span) for device, state in states.items() for span in state.sequence.spans}
    session.executemany(
        "DELETE FROM heard WHERE device_id = ? AND first = ?",
        [(device, first) for device, first, _ in before - after],
    )
    session.executemany("INSERT INTO heard (device_id, first, last) VALUES (?, ?, ?)", after - before)
    session.executemany(
        "DELETE FROM claims WHERE device_id = ? AND number <= ?",
        [(device, state.sequence.complete_until) for device, state in states.items()],
    )
    session.executemany(
        """
        INSERT INTO claims (device_id, monitor_id, minute, number) VALUES (?, ?, ?, ?)
            ON CONFLICT (device_id, monitor_id, minute) DO UPDATE SET number = excluded.number
        """,
        [(device, *key, number) for device, state in states.items() for key, number in state.claims.items()],
    )


def _recent(state: DeviceState) -> str:
    """The recent samples as stored: a JSON array of their numbers, minutes and fingerprints."""
    return json.dumps([[number, each.minute, each.fingerprint] for number, each in state.recent.items()])


def add_monitors(session: Session, pairs: Iterable[tuple[int, int]]) -> None:
    """Store which monitors devices report, as pairs of a device and a monitor."""
    session.executemany(
        "INSERT INTO device_monitors (device_id, monitor_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
        sorted(pairs),
    )


def expire(session: Session, claims_before: int, silent_since: int) -> None:
    """Delete claims to minutes older than any batch may report, and devices that are silent for long."""
    session.execute("DELETE FROM claims WHERE minute < ?", (claims_before,))
    silent = session.execute("SELECT id FROM devices WHERE last_heard < ?", (silent_since,)).fetchall()
    if silent:
        delete(session, [device for (device,) in silent])


def delete(session: Session, devices: Collection[int]) -> None:
    """Delete devices with all that is known of them; the samples that they sent stay."""
    for table in ("device_monitors", "heard", "claims", "boots", "clock_offsets"):
        session.execute(
            f"DELETE FROM {table} WHERE device_id IN (SELECT value FROM json_each(?))",  # noqa: S608
            (_ids(devices),),
        )
    session.execute("DELETE FROM devices WHERE id IN (SELECT value FROM json_each(?))", (_ids(devices),))


# Export and import


@dataclass(frozen=True, slots=True)
class DeviceExport:
    """All that is stored about a device, with tags instead of ids.

    `claims` are tag, minute and number; `boots` are the instants at which each began; `clock_offsets` the
    smallest offset by hour; `recent` number, minute and fingerprint of the samples of its newest minutes.
    """

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
    clock_offsets: list[list[int]]
    recent: list[list[int]]


def ids(session: Session) -> list[int]:
    """All devices, oldest first."""
    return [device for (device,) in session.execute("SELECT id FROM devices ORDER BY id")]


def export(session: Session, device: int) -> DeviceExport:
    """All that is stored about one device."""
    row: tuple[str, str, int, int, int | None, int, int, int] = session.execute(
        """
        SELECT sender, name, last_heard, newest, clock_offset, floor, lost, restarts FROM devices WHERE id = ?
        """,
        (device,),
    ).fetchone()
    (recent,) = session.execute("SELECT recent FROM devices WHERE id = ?", (device,)).fetchone()
    offsets = session.execute(
        "SELECT hour, smallest FROM clock_offsets WHERE device_id = ? ORDER BY hour", (device,)
    )
    claims = session.execute(
        """
        SELECT tag, minute, number
          FROM claims JOIN monitors ON id = monitor_id
         WHERE device_id = ?
         ORDER BY tag, minute
        """,
        (device,),
    )
    return DeviceExport(
        *row,
        _tags(session, [device])[device],
        [list(span) for span in _spans(session, [device])[device]],
        [list(claim) for claim in claims],
        _boots(session, device),
        [list(offset) for offset in offsets],
        json.loads(recent),
    )


def insert(session: Session, exported: DeviceExport) -> None:
    """Store an exported device; raises KeyError for a monitor that is not stored."""
    monitors: Mapping[str, int] = dict(session.execute("SELECT tag, id FROM monitors"))
    (device,) = session.execute(
        """
        INSERT INTO devices (sender, name, last_heard, newest, clock_offset, floor, lost, restarts, recent)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
        """,
        (
            exported.sender,
            exported.name,
            exported.last_heard,
            exported.newest,
            exported.clock_offset,
            exported.floor,
            exported.lost,
            exported.restarts,
            json.dumps(exported.recent),
        ),
    ).fetchone()
    add_monitors(session, [(device, monitors[tag]) for tag in exported.monitors])
    session.executemany(
        "INSERT INTO heard (device_id, first, last) VALUES (?, ?, ?)",
        [(device, first, last) for first, last in exported.heard],
    )
    session.executemany(
        "INSERT INTO claims (device_id, monitor_id, minute, number) VALUES (?, ?, ?, ?)",
        [(device, monitors[str(tag)], minute, number) for tag, minute, number in exported.claims],
    )
    session.executemany(
        "INSERT INTO boots (device_id, boot, began_at) VALUES (?, ?, ?)",
        [(device, boot, began) for boot, began in exported.boots.items()],
    )
    session.executemany(
        "INSERT INTO clock_offsets (device_id, hour, smallest) VALUES (?, ?, ?)",
        [(device, hour, smallest) for hour, smallest in exported.clock_offsets],
    )
