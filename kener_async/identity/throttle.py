"""Slow down guesses at passwords and codes, by name and by network; what is counted is stored.

A try is counted as failed before it is made, and taken back when it succeeds: so a thousand tries at once are
no way around, and neither is a kill in between.
"""

from dataclasses import dataclass
from hashlib import sha256

from kener_async.domain.guesses import (
    name_failed,
    name_wait,
    network_failed,
    network_of,
    network_wait,
    taken_back,
)
from kener_async.store import tries
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class TrySubject:
    """What a try is counted by: a name, and a network or None."""

    name: str
    network: str | None


def password_try(name: str, address: str) -> TrySubject:
    """A try at the password of a name. The name is stored as its hash: people type passwords in its place."""
    digest = sha256(name.casefold().encode("utf-8", "surrogatepass")).hexdigest()
    return TrySubject(f"name:{digest}", f"network:{network_of(address)}")


def known_browser_try(browser: str) -> TrySubject:
    """A try from a browser in which the person has signed in before, by the secret that it was given then.

    It is counted by itself, so that guesses from elsewhere keep nobody out.
    """
    return TrySubject(f"browser:{sha256(browser.encode('utf-8', 'surrogateescape')).hexdigest()}", None)


def again_try(person: int) -> TrySubject:
    """A try of a signed-in person to prove again who they are."""
    return TrySubject(f"again:{person}", None)


def code_try(person: int, address: str) -> TrySubject:
    """A try at a code of a person whose password was right."""
    return TrySubject(f"code:{person}", f"network:{network_of(address)}")


def wait(session: Session, subject: TrySubject, now: int) -> int:
    """The seconds until a try may be made; 0: it may be now."""
    seconds = name_wait(tries.get(session, subject.name), now)
    if subject.network is None:
        return seconds
    return max(seconds, network_wait(tries.get(session, subject.network), now))


def claim(session: Session, subject: TrySubject, now: int) -> int:
    """Count a try as failed, before it is made; 0, or without counting it the seconds to wait."""
    if seconds := wait(session, subject, now):
        return seconds
    tries.save(session, subject.name, name_failed(tries.get(session, subject.name), now))
    if subject.network is not None:
        tries.save(session, subject.network, network_failed(tries.get(session, subject.network), now))
    return 0


def succeed(session: Session, subject: TrySubject) -> None:
    """Forget the failures of the name, and take back the try that was counted for the network."""
    tries.forget(session, subject.name)
    if subject.network is not None:
        tries.save(session, subject.network, taken_back(tries.get(session, subject.network)))
