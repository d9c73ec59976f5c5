"""People as others name them: a provider of OpenID Connect, or a proxy before us."""

from collections.abc import Iterator
from dataclasses import dataclass

from kener_async.domain.people import Actor, ActorKind, Person, Role
from kener_async.store import audit, people, sessions
from kener_async.store.interface import Session

LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class ExternalIdentity:
    """Who signs in, by what an issuer says: (`issuer`, `subject`) is the person, everything else may change.

    `name` is how it calls them. `email` is an address that it has verified, else empty. `role` is that of
    their groups, None: they have none here.
    """

    issuer: str
    subject: str
    name: str
    email: str
    role: Role | None


@dataclass(frozen=True, slots=True)
class Admission:
    """The person who may sign in, or None and the reason, which is for the log."""

    person: Person | None
    reason: str = ""


def find(session: Session, issuer: str, subject: str) -> Person | None:
    """The person of an identity, also an inactive one."""
    row = session.execute(
        "SELECT person FROM identities WHERE issuer = ? AND subject = ?", (issuer, subject)
    ).fetchone()
    return None if row is None else people.get(session, row[0])


def of_person(session: Session, person: int) -> list[tuple[str, str]]:
    """Issuer and subject of each identity of a person."""
    rows = session.execute(
        "SELECT issuer, subject FROM identities WHERE person = ? ORDER BY issuer, subject", (person,)
    )
    return [(issuer, subject) for issuer, subject in rows]


def is_known_elsewhere_only(session: Session, person: Person) -> bool:
    """Whether a person has an identity elsewhere and no password here.

    Their access is what the issuer says at each sign-in, so a passkey made here must not outlive it.
    """
    return person.password is None and bool(of_person(session, person.id))


def admit(
    session: Session, identity: ExternalIdentity, network: str, now: int, *, link_by_email: bool = False
) -> Admission:
    """Find or make the person of an identity, and give them the role of their groups.

    Without a role there is no access: the sessions of the person end. `link_by_email` joins an identity that
    is new with the one active person of its verified address. The audit log names the issuer.
    """
    actor = Actor(ActorKind.SERVER, identity.issuer, network)
    person = find(session, identity.issuer, identity.subject)
    if identity.role is None:
        if person is not None:
            lose_access(session, person, actor, now)
        return Admission(None, "none of the groups gives a role")
    if person is None and link_by_email and identity.email:
        known = people.by_email(session, identity.email)
        if len(known) > 1:
            return Admission(None, "several people have this address")
        person = known[0] if known else None
        if person is not None:
            _link(session, identity, person, actor, now)
    if person is None:
        name = _free_name(session, identity)
        person = people.add(session, name, identity.role, None, identity.email, actor, now)
        _link(session, identity, person, actor, now)
    return admitted(session, person, identity.role, actor, now)


def admit_named(
    session: Session, identity: ExternalIdentity, network: str, now: int, *, create: bool, with_groups: bool
) -> Admission:
    """Find the person of a name that a proxy vouches for; `create`: make one who is not known.

    `with_groups`: the groups decide, so that without a role there is no access; else people keep theirs.
    """
    actor = Actor(ActorKind.SERVER, identity.issuer, network)
    person = people.by_name(session, identity.name)
    if with_groups and identity.role is None:
        if person is not None:
            lose_access(session, person, actor, now)
        return Admission(None, "none of the groups gives a role")
    if person is None:
        if not create or identity.role is None:
            return Admission(None, "there is no such person")
        person = people.add(session, identity.name, identity.role, None, "", actor, now)
        _link(session, identity, person, actor, now)
    role = identity.role if with_groups and identity.role is not None else person.role
    return admitted(session, person, role, actor, now)


def admitted(session: Session, person: Person, role: Role, actor: Actor, now: int) -> Admission:
    """The person with the role that they have from now on; an inactive one is not admitted.

    The role holds also for the last admin: what a provider takes away is gone.
    """
    if not person.is_active:
        return Admission(None, "the person is deactivated")
    if person.role != role:
        person = people.change_rights(
            session, person.id, role, person.categories, actor, now, keeps_an_admin=False
        )
    return Admission(person)


def lose_access(session: Session, person: Person, actor: Actor, now: int) -> None:
    """End the sessions of a person whose groups give no role any more."""
    sessions.end_all(session, person.id, actor, now)


def _link(session: Session, identity: ExternalIdentity, person: Person, actor: Actor, now: int) -> None:
    session.execute(
        "INSERT INTO identities (issuer, subject, person) VALUES (?, ?, ?)",
        (identity.issuer, identity.subject, person.id),
    )
    facts = {"issuer": identity.issuer, "subject": identity.subject}
    audit.record(session, actor, "person.link", f"person {person.name}", None, facts, now)


def _free_name(session: Session, identity: ExternalIdentity) -> str:
    """The name of the identity, or with a number where another person has it: a name joins nobody."""
    return next(name for name in _names(identity) if people.by_name(session, name) is None)


def _names(identity: ExternalIdentity) -> Iterator[str]:
    printable = "".join(each if each.isprintable() else " " for each in identity.name)
    name = " ".join(printable.split())[:LONGEST_NAME].strip() or identity.subject[:LONGEST_NAME]
    yield name
    number = 1
    while True:
        number += 1
        yield f"{name} {number}"
