"""Certificates of targets: which one counts, when it ends, and what is stored of them."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from kener_async.domain.calendar import DAY, HOUR
from kener_async.domain.certificates import StoredCertificate, ends_at
from kener_async.domain.checks import SeenCertificate
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.store import certificates, monitors, observer
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.upgrade import prepare

NOW = 1_767_182_400
EARTH = 1


def a_certificate(
    name: str, ends: int, issuer: str = "Root", position: int = 0, last_seen: int = NOW
) -> StoredCertificate:
    seen = SeenCertificate(f"{name}{ends}".encode(), name, issuer, NOW + ends * DAY)
    return StoredCertificate(seen, position, NOW - 90 * DAY, last_seen)


@pytest.mark.parametrize(
    ("seen", "days"),
    [
        ([], None),
        ([a_certificate("shop", 9)], 9),
        # an issuer that ends sooner
        ([a_certificate("shop", 9), a_certificate("Root", 5, position=1)], 5),
        # an issuer of another chain
        ([a_certificate("shop", 9), a_certificate("Other", 5, position=1)], 9),
        # the old issuer and its renewal
        (
            [
                a_certificate("shop", 9),
                a_certificate("Root", 5, position=1),
                a_certificate("Root", 700, position=1),
            ],
            9,
        ),
        # an old one on other nodes, and a new one
        ([a_certificate("shop", 3), a_certificate("shop", 90)], 90),
        # one that is put back speaks after a day
        ([a_certificate("shop", 3), a_certificate("shop", 90, last_seen=NOW - DAY + 1)], 90),
        ([a_certificate("shop", 3), a_certificate("shop", 90, last_seen=NOW - DAY)], 3),
        # a target that has been down for a week
        ([a_certificate("shop", 3, last_seen=NOW - 7 * DAY)], 3),
        # a chain that goes in circles
        (
            [
                a_certificate("shop", 9, issuer="A"),
                a_certificate("A", 8, issuer="B", position=1),
                a_certificate("B", 7, issuer="A", position=2),
            ],
            7,
        ),
        ([a_certificate("shop", -1)], -1),
    ],
)
def test_the_certificate_that_counts_ends(seen: Sequence[StoredCertificate], days: int | None):
    expected = None if days is None else NOW + days * DAY
    assert ends_at(seen) == expected
    assert ends_at(list(reversed(seen))) == expected


@pytest.fixture
def session(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    prepare(tmp_path / "kener.db")
    with closing(connect(tmp_path / "kener.db")) as connection:
        observer.begin(connection, 0, 0)
        monitors.register(connection, {"earth": MonitorSettings(), "mars": MonitorSettings()}, 0)
        yield connection


OWN = SeenCertificate(bytes(32), "CN=shop", "CN=Root", NOW + 90 * DAY)
ROOT = SeenCertificate(bytes([1] * 32), "CN=Root", "CN=Root", NOW + 900 * DAY)


def test_a_chain_is_stored_as_it_was_sent(session: sqlite3.Connection):
    assert certificates.note(session, EARTH, [OWN, ROOT], NOW)
    assert certificates.of(session, [EARTH, 2]) == {
        EARTH: [StoredCertificate(OWN, 0, NOW, NOW), StoredCertificate(ROOT, 1, NOW, NOW)]
    }


@pytest.mark.parametrize(
    ("later", "fault", "is_written"),
    [(60, "", False), (HOUR - 1, "", False), (HOUR, "", True), (60, "self-signed", True), (-60, "", True)],
)
def test_a_certificate_seen_again_is_written_once_an_hour(
    session: sqlite3.Connection, later: int, fault: str, is_written: bool
):
    certificates.note(session, EARTH, [OWN], NOW)
    again = SeenCertificate(OWN.fingerprint, OWN.subject, OWN.issuer, OWN.ends, fault)
    assert certificates.note(session, EARTH, [again], NOW + later) is is_written
    (stored,) = certificates.of(session, [EARTH])[EARTH]
    assert (stored.first_seen, stored.last_seen) == (NOW, NOW + later if is_written else NOW)


def test_the_last_certificates_of_a_target_stay_and_older_ones_go(session: sqlite3.Connection):
    certificates.note(session, EARTH, [OWN], NOW - 40 * DAY)
    certificates.note(session, EARTH, [ROOT], NOW)
    certificates.note(session, 2, [OWN], NOW - 40 * DAY)
    certificates.delete_before(session, NOW - 30 * DAY)
    left = certificates.of(session, [EARTH, 2])
    assert {monitor: [each.seen for each in some] for monitor, some in left.items()} == {
        EARTH: [ROOT],
        2: [OWN],
    }
