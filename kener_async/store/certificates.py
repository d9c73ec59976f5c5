"""Certificates that checks have seen of their targets, and when."""

import json
from collections.abc import Mapping, Sequence

from kener_async.domain.calendar import DAY, HOUR
from kener_async.domain.certificates import StoredCertificate
from kener_async.domain.checks import SeenCertificate
from kener_async.store.interface import Session

COLUMNS = "monitor_id, fingerprint, position, subject, issuer, ends, fault, first_seen, last_seen"
NOTED_EVERY = HOUR  # seconds: a check sees the same certificate every minute

CertificateRow = tuple[int, bytes, int, str, str, int, str, int, int]


def note(session: Session, monitor: int, seen: Sequence[SeenCertificate], now: int) -> bool:
    """Store the chain that a target sent, its own certificate first; whether anything was written.

    What has been stored within NOTED_EVERY seconds and has not changed is not written again.
    """
    written = 0
    for position, certificate in enumerate(seen):
        row = (monitor, certificate.fingerprint, position, certificate.subject, certificate.issuer)
        written += session.execute(
            f"""
            INSERT INTO certificates ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (monitor_id, fingerprint) DO UPDATE
               SET position = excluded.position, fault = excluded.fault, last_seen = excluded.last_seen
             WHERE excluded.last_seen NOT BETWEEN last_seen AND last_seen + {NOTED_EVERY - 1}
                OR position <> excluded.position OR fault <> excluded.fault
            """,  # noqa: S608
            (*row, certificate.ends, certificate.fault, now, now),
        ).rowcount
    return written > 0


def insert(session: Session, monitor: int, certificate: StoredCertificate) -> None:
    """Store an exported certificate."""
    seen = certificate.seen
    session.execute(
        f"INSERT INTO certificates ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            *(monitor, seen.fingerprint, certificate.position, seen.subject, seen.issuer, seen.ends),
            *(seen.fault, certificate.first_seen, certificate.last_seen),
        ),
    )


def of(session: Session, monitors: Sequence[int]) -> Mapping[int, list[StoredCertificate]]:
    """The certificates of each of these monitors, those without any left out; the last seen first."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM certificates
         WHERE monitor_id IN (SELECT value FROM json_each(?))
         ORDER BY monitor_id, last_seen DESC, position, fingerprint
        """,  # noqa: S608
        (json.dumps(list(monitors)),),
    )
    return _by_monitor(rows.fetchall())


def all_certificates(session: Session) -> Mapping[int, list[StoredCertificate]]:
    """The certificates of all monitors, as `of` gives them."""
    rows = session.execute(
        f"SELECT {COLUMNS} FROM certificates ORDER BY monitor_id, last_seen DESC, position, fingerprint"  # noqa: S608
    )
    return _by_monitor(rows.fetchall())


def delete_before(session: Session, instant: int) -> None:
    """Delete the certificates that were last seen before an instant.

    Those that a monitor's target sent last stay, because they are what is known of it.
    """
    session.execute(
        """
        DELETE FROM certificates
         WHERE last_seen < :instant
           AND last_seen < (SELECT max(last_seen) FROM certificates AS others
                             WHERE others.monitor_id = certificates.monitor_id) - :day
        """,
        {"instant": instant, "day": DAY},
    )


def _by_monitor(rows: Sequence[CertificateRow]) -> Mapping[int, list[StoredCertificate]]:
    found: dict[int, list[StoredCertificate]] = {}
    for monitor, fingerprint, position, subject, issuer, ends, fault, first_seen, last_seen in rows:
        seen = SeenCertificate(fingerprint, subject, issuer, ends, fault)
        found.setdefault(monitor, []).append(StoredCertificate(seen, position, first_seen, last_seen))
    return found
