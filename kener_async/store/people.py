"""People, and what they sign in with: passwords, secrets of codes, recovery codes."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.people import Actor, Person, Role
from kener_async.store import audit
from kener_async.store.interface import Session

COLUMNS = """
    people.id, people.name, people.role, people.made_at, people.email, people.categories, people.password,
    people.code_key, people.code_step, people.locale, people.zone, people.last_seen, people.inactive_since
"""


_RECORDS = f"""
    SELECT (SELECT count(*) FROM passkeys WHERE person = people.id),
           (SELECT count(*) FROM recovery_codes WHERE person = people.id AND used_at IS NULL),
           (SELECT count(*) FROM identities WHERE person = people.id),
           (SELECT count(*) FROM sessions WHERE person = people.id AND ends_at > :now),
           (SELECT max(ends_at) FROM invitations
             WHERE person = people.id AND used_at IS NULL AND ends_at > :now),
           {COLUMNS}
      FROM people
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Factors:
    """What a person can sign in with besides a password and codes, and how many sessions they have.

    `invited_until` is when their open invitation ends (UTC seconds); None: they have none.
    """

    passkeys: int
    recovery_codes: int  # unused ones
    identities: int
    sessions: int
    invited_until: int | None


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A person and their factors."""

    person: Person
    factors: Factors

    @property
    def state(self) -> str:
        """`active`, `inactive`, `invited`, or `link expired` of a person who has not used any link."""
        if not self.person.is_active:
            return "inactive"
        if self.factors.invited_until is not None:
            return "invited"
        return "active" if self.ways else "link expired"

    @property
    def ways(self) -> tuple[str, ...]:
        """What they sign in with: `password`, `codes`, `passkey`, `OpenID Connect`."""
        ways = {
            "password": self.person.password,
            "codes": self.person.code_key,
            "passkey": self.factors.passkeys,
            "OpenID Connect": self.factors.identities,
        }
        return tuple(way for way, is_there in ways.items() if is_there)


def exists(session: Session) -> bool:
    """Whether there is any person; without one the signed-in side is not there."""
    return session.execute("SELECT 1 FROM people LIMIT 1").fetchone() is not None


def get(session: Session, number: int) -> Person:
    """The person of an id, also an inactive one; raises NotFound."""
    row = session.execute(f"SELECT {COLUMNS} FROM people WHERE id = ?", (number,)).fetchone()  # noqa: S608
    if row is None:
        raise NotFound("there is no such person")
    return person_of(row)


def by_name(session: Session, name: str) -> Person | None:
    """The person of a name in any case, also an inactive one."""
    row = session.execute(f"SELECT {COLUMNS} FROM people WHERE name = ?", (name,)).fetchone()  # noqa: S608
    return None if row is None else person_of(row)


def named(session: Session, name: str) -> Person:
    """The person of a name in any case, also an inactive one; raises NotFound."""
    person = by_name(session, name)
    if person is None:
        raise NotFound(f"there is no person {name}")
    return person


def by_email(session: Session, email: str) -> list[Person]:
    """The active people of an address in any case."""
    rows = session.execute(
        f"SELECT {COLUMNS} FROM people"  # noqa: S608
        " WHERE email = ? COLLATE NOCASE AND email <> '' AND inactive_since IS NULL",
        (email,),
    )
    return [person_of(row) for row in rows]


def all_people(session: Session) -> list[Person]:
    """All people by name, also inactive ones."""
    rows = session.execute(f"SELECT {COLUMNS} FROM people ORDER BY name COLLATE NOCASE")  # noqa: S608
    return [person_of(row) for row in rows]


def records(session: Session, now: int) -> list[PersonRecord]:
    """All people by name, also inactive ones, with their factors."""
    rows = session.execute(_RECORDS + " ORDER BY people.name COLLATE NOCASE", {"now": now})
    return [_record_of(row) for row in rows]


def record_of(session: Session, number: int, now: int) -> PersonRecord:
    """A person with their factors; raises NotFound."""
    row = session.execute(_RECORDS + " WHERE people.id = :id", {"now": now, "id": number}).fetchone()
    if row is None:
        raise NotFound("there is no such person")
    return _record_of(row)


def add(
    session: Session,
    name: str,
    role: Role,
    categories: Collection[str] | None,
    email: str,
    actor: Actor,
    now: int,
) -> Person:
    """Add a person who has nothing to sign in with yet; raises Invalid when the name is taken."""
    if by_name(session, name) is not None:
        raise Invalid(f"name: there is a person {name} already")
    session.execute(
        "INSERT INTO people (name, email, role, categories, made_at) VALUES (?, ?, ?, ?, ?)",
        (name, email, int(role), _json(categories), now),
    )
    person = named(session, name)
    audit.record(session, actor, "person.add", _thing(person), None, _facts(person), now)
    return person


def change_rights(
    session: Session,
    number: int,
    role: Role,
    categories: Collection[str] | None,
    actor: Actor,
    now: int,
    *,
    keeps_an_admin: bool = True,
) -> Person:
    """Give a person a role and the categories they are limited to, and end their sessions.

    Raises NotFound, and with `keeps_an_admin` Invalid where no active admin without limits would be left.
    """
    before = get(session, number)
    limits = None if categories is None else tuple(categories)
    after = replace(before, role=role, categories=limits)
    if after == before:
        return before
    session.execute(
        "UPDATE people SET role = ?, categories = ? WHERE id = ?", (int(role), _json(categories), number)
    )
    if keeps_an_admin:
        _require_admin(session, before)
    _end_sessions(session, number)
    _record(session, "person.change", before, after, actor, now)
    return after


def change_email(session: Session, number: int, email: str, actor: Actor, now: int) -> Person:
    """Change the address of a person, which is empty for none; raises NotFound."""
    before = get(session, number)
    after = replace(before, email=email)
    if after != before:
        session.execute("UPDATE people SET email = ? WHERE id = ?", (email, number))
        _record(session, "person.change", before, after, actor, now)
    return after


def deactivate(session: Session, number: int, actor: Actor, now: int) -> Person:
    """End the sessions of a person and let them sign in no more.

    Raises NotFound, and Invalid where no active admin without limits would be left.
    """
    before = get(session, number)
    if not before.is_active:
        return before
    session.execute("UPDATE people SET inactive_since = ? WHERE id = ?", (now, number))
    _require_admin(session, before)
    session.execute("DELETE FROM invitations WHERE person = ?", (number,))
    _end_sessions(session, number)
    after = replace(before, inactive_since=now)
    _record(session, "person.deactivate", before, after, actor, now)
    return after


def activate(session: Session, number: int, actor: Actor, now: int) -> Person:
    """Let a person sign in again; raises NotFound."""
    before = get(session, number)
    after = replace(before, inactive_since=None)
    if before != after:
        session.execute("UPDATE people SET inactive_since = NULL WHERE id = ?", (number,))
        _record(session, "person.activate", before, after, actor, now)
    return after


def set_password(session: Session, number: int, password: str | None, actor: Actor, now: int) -> None:
    """Store the hash of a new password, None for none, and end the sessions of the person.

    A link that could set another one is void from then on.
    """
    person = get(session, number)
    session.execute("UPDATE people SET password = ? WHERE id = ?", (password, number))
    session.execute("DELETE FROM invitations WHERE person = ? AND used_at IS NULL", (number,))
    _end_sessions(session, number)
    _note(session, "person.password", person, {"password": "set" if password else "removed"}, actor, now)


def rehash_password(session: Session, number: int, before: str, after: str) -> None:
    """Store another hash of the same password, unless the password was changed meanwhile."""
    session.execute("UPDATE people SET password = ? WHERE id = ? AND password = ?", (after, number, before))


def set_codes(
    session: Session, number: int, key: bytes, step: int, recovery: Iterable[bytes], actor: Actor, now: int
) -> None:
    """Store the secret of codes, of which `step` is used, and the digests of new recovery codes.

    Ends the sessions of the person.
    """
    person = get(session, number)
    session.execute("UPDATE people SET code_key = ?, code_step = ? WHERE id = ?", (key, step, number))
    _replace_recovery_codes(session, number, recovery)
    _end_sessions(session, number)
    _note(session, "person.codes", person, {"codes": "set"}, actor, now)


def remove_codes(session: Session, number: int, actor: Actor, now: int) -> None:
    """Remove the secret of codes and the recovery codes of a person, and end their sessions."""
    person = get(session, number)
    session.execute("UPDATE people SET code_key = NULL, code_step = 0 WHERE id = ?", (number,))
    session.execute("DELETE FROM recovery_codes WHERE person = ?", (number,))
    _end_sessions(session, number)
    _note(session, "person.codes", person, {"codes": "removed"}, actor, now)


def set_recovery_codes(
    session: Session, number: int, digests: Iterable[bytes], actor: Actor, now: int
) -> None:
    """Store the digests of new recovery codes in the place of those before, and end all sessions."""
    person = get(session, number)
    _replace_recovery_codes(session, number, digests)
    _end_sessions(session, number)
    _note(session, "person.recovery-codes", person, {"recovery_codes": "set"}, actor, now)


def has_passkey(session: Session, number: int) -> bool:
    """Whether a person has a passkey."""
    return (
        session.execute("SELECT 1 FROM passkeys WHERE person = ? LIMIT 1", (number,)).fetchone() is not None
    )


def use_code_step(session: Session, number: int, step: int) -> bool:
    """Take the step of a code as used; False when it, or a later one, was used before."""
    return (
        session.execute(
            "UPDATE people SET code_step = ? WHERE id = ? AND code_step < ? AND code_key IS NOT NULL",
            (step, number, step),
        ).rowcount
        == 1
    )


def use_recovery_code(session: Session, number: int, digest: bytes, now: int) -> bool:
    """Take a recovery code as used; False when there is none such that is unused."""
    return (
        session.execute(
            "UPDATE recovery_codes SET used_at = ? WHERE digest = ? AND person = ? AND used_at IS NULL",
            (now, digest, number),
        ).rowcount
        == 1
    )


def reset(session: Session, number: int, actor: Actor, now: int) -> Person:
    """Remove password, codes, recovery codes and passkeys of a person, and end their sessions.

    An inactive person becomes active. Raises NotFound.
    """
    before = get(session, number)
    session.execute(
        "UPDATE people SET password = NULL, code_key = NULL, code_step = 0, inactive_since = NULL"
        " WHERE id = ?",
        (number,),
    )
    session.execute("DELETE FROM recovery_codes WHERE person = ?", (number,))
    session.execute("DELETE FROM passkeys WHERE person = ?", (number,))
    session.execute("DELETE FROM invitations WHERE person = ?", (number,))
    _end_sessions(session, number)
    after = get(session, number)
    _record(session, "person.reset", before, after, actor, now)
    return after


def reset_second_factor(session: Session, number: int, actor: Actor, now: int) -> None:
    """Remove codes, recovery codes and passkeys of a person, and end their sessions; raises NotFound."""
    person = get(session, number)
    session.execute("UPDATE people SET code_key = NULL, code_step = 0 WHERE id = ?", (number,))
    session.execute("DELETE FROM recovery_codes WHERE person = ?", (number,))
    session.execute("DELETE FROM passkeys WHERE person = ?", (number,))
    _end_sessions(session, number)
    _note(session, "person.reset-factor", person, {"codes": "removed", "passkeys": "removed"}, actor, now)


def set_display(session: Session, number: int, locale: str, zone: str, actor: Actor, now: int) -> None:
    """Store the language and the zone in which a person sees pages."""
    before = get(session, number)
    if (before.locale, before.zone) == (locale, zone):
        return
    session.execute("UPDATE people SET locale = ?, zone = ? WHERE id = ?", (locale, zone, number))
    audit.record(
        session,
        actor,
        "person.display",
        _thing(before),
        {"locale": before.locale, "zone": before.zone},
        {"locale": locale, "zone": zone},
        now,
    )


def person_of(row: Sequence[Any]) -> Person:
    """The person of a row of COLUMNS."""
    number, name, role, made_at, email, categories, *rest = row
    limits = None if categories is None else tuple(json.loads(categories))
    return Person(number, name, Role(role), made_at, email, limits, *rest)


def _record_of(row: Sequence[Any]) -> PersonRecord:
    return PersonRecord(person_of(row[5:]), Factors(*row[:5]))


def _replace_recovery_codes(session: Session, number: int, digests: Iterable[bytes]) -> None:
    session.execute("DELETE FROM recovery_codes WHERE person = ?", (number,))
    session.executemany(
        "INSERT INTO recovery_codes (digest, person) VALUES (?, ?)", [(digest, number) for digest in digests]
    )


def _end_sessions(session: Session, number: int) -> None:
    session.execute("DELETE FROM sessions WHERE person = ?", (number,))


def _require_admin(session: Session, before: Person) -> None:
    """Raise Invalid where a person was the last active admin without limits, and is not any more."""
    if before.role is not Role.ADMIN or before.categories is not None or not before.is_active:
        return
    row = session.execute(
        "SELECT 1 FROM people WHERE role = ? AND categories IS NULL AND inactive_since IS NULL LIMIT 1",
        (int(Role.ADMIN),),
    ).fetchone()
    if row is None:
        raise Invalid("role: this is the last admin; make another person admin first")


def _record(session: Session, act: str, before: Person, after: Person, actor: Actor, now: int) -> None:
    audit.record(session, actor, act, _thing(after), _facts(before), _facts(after), now)


def _note(session: Session, act: str, person: Person, facts: dict[str, str], actor: Actor, now: int) -> None:
    audit.record(session, actor, act, _thing(person), None, facts, now)


def _thing(person: Person) -> str:
    return f"person {person.name}"


def _facts(person: Person) -> dict[str, Any]:
    """What the audit log says of a person; secrets only as whether there is one."""
    return {
        "role": person.role.name.lower(),
        "categories": None if person.categories is None else list(person.categories),
        "email": person.email,
        "is_active": person.is_active,
        "has_password": person.password is not None,
        "has_codes": person.code_key is not None,
    }


def _json(categories: Collection[str] | None) -> str | None:
    return None if categories is None else json.dumps(list(categories), ensure_ascii=False)
