"""Passkeys of people."""

from dataclasses import dataclass
from typing import Any

from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.people import Actor
from kener_async.store import audit
from kener_async.store.interface import Session

MOST_PASSKEYS = 20  # of one person

_COLUMNS = "id, person, data, counter, name, made_at, last_used"


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey: `data` is WebAuthn's attested credential data, `counter` how often it signed, if it counts.

    Instants are UTC seconds.
    """

    id: bytes
    person: int
    data: bytes
    counter: int
    name: str
    made_at: int
    last_used: int | None = None


def get(session: Session, passkey_id: bytes) -> Passkey | None:
    """The passkey of an id."""
    row = session.execute(f"SELECT {_COLUMNS} FROM passkeys WHERE id = ?", (passkey_id,)).fetchone()  # noqa: S608
    return None if row is None else Passkey(*row)


def of_person(session: Session, person: int) -> list[Passkey]:
    """The passkeys of a person, oldest first."""
    rows = session.execute(
        f"SELECT {_COLUMNS} FROM passkeys WHERE person = ? ORDER BY made_at, id",  # noqa: S608
        (person,),
    )
    return [Passkey(*row) for row in rows]


def add(session: Session, passkey: Passkey, actor: Actor, now: int) -> None:
    """Store a new passkey; raises Invalid for one that is known, and where the person has too many."""
    if get(session, passkey.id) is not None:
        raise Invalid("this passkey is already known")
    if len(of_person(session, passkey.person)) >= MOST_PASSKEYS:
        raise Invalid(f"at most {MOST_PASSKEYS} passkeys, delete one that is not used any more")
    session.execute(
        f"INSERT INTO passkeys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            passkey.id,
            passkey.person,
            passkey.data,
            passkey.counter,
            passkey.name,
            passkey.made_at,
            passkey.last_used,
        ),
    )
    _record(session, actor, "passkey.add", passkey, None, {"name": passkey.name}, now)


def rename(session: Session, person: int, passkey_id: bytes, name: str, actor: Actor, now: int) -> None:
    """Give a passkey of a person another name; raises NotFound."""
    passkey = _owned(session, person, passkey_id)
    if passkey.name == name:
        return
    session.execute("UPDATE passkeys SET name = ? WHERE id = ?", (name, passkey_id))
    _record(session, actor, "passkey.rename", passkey, {"name": passkey.name}, {"name": name}, now)


def delete(session: Session, person: int, passkey_id: bytes, actor: Actor, now: int) -> None:
    """Delete a passkey of a person; raises NotFound, and Invalid for the only way in that they have."""
    passkey = _owned(session, person, passkey_id)
    if not _has_another_way(session, person):
        raise Invalid("this passkey is the only way you can sign in: set a password or add a passkey first")
    session.execute("DELETE FROM passkeys WHERE id = ?", (passkey_id,))
    _record(session, actor, "passkey.delete", passkey, {"name": passkey.name}, None, now)


def use(session: Session, passkey_id: bytes, counter: int, now: int) -> bool:
    """Note that a passkey signed; False if its counter did not go on, as that of a copy, or it is gone.

    Authenticators that do not count send 0 always.
    """
    changed = session.execute(
        """
        UPDATE passkeys SET counter = :counter, last_used = :now
         WHERE id = :id AND (counter < :counter OR (counter = 0 AND :counter = 0))
        """,
        {"id": passkey_id, "counter": counter, "now": now},
    )
    return changed.rowcount == 1


def _has_another_way(session: Session, person: int) -> bool:
    """Whether a person can sign in without one of their passkeys: by another, a password, or elsewhere."""
    row = session.execute(
        """
        SELECT password IS NOT NULL
               OR (SELECT count(*) FROM passkeys WHERE person = people.id) > 1
               OR EXISTS (SELECT 1 FROM identities WHERE person = people.id)
          FROM people WHERE id = ?
        """,
        (person,),
    ).fetchone()
    return bool(row[0])


def _owned(session: Session, person: int, passkey_id: bytes) -> Passkey:
    passkey = get(session, passkey_id)
    if passkey is None or passkey.person != person:
        raise NotFound("no such passkey")
    return passkey


def _record(
    session: Session,
    actor: Actor,
    act: str,
    passkey: Passkey,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    now: int,
) -> None:
    """One row of the audit log, about the person whose passkey it is."""
    (name,) = session.execute("SELECT name FROM people WHERE id = ?", (passkey.person,)).fetchone()
    audit.record(session, actor, act, f"person {name}", before, after, now)
