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
    """What a try is counted by."""

    name: str
    network: str


def password_try(name: str, address: str) -> TrySubject:
    """A try at the password of a name. The name is stored as its hash: people type passwords in its place."""
    digest = sha256(name.casefold().encode("utf-8", "surrogatepass")).hexdigest()
    return TrySubject(f"name:{digest}", f"network:{network_of(address)}")


def code_try(person: int, address: str) -> TrySubject:
    """A try at a code of a person whose password was right."""
    return TrySubject(f"code:{person}", f"network:{network_of(address)}")


def claim(session: Session, subject: TrySubject, now: int) -> int:
    """Count a try as failed, before it is made; 0, or without counting it the seconds to wait."""
    name, network = tries.get(session, subject.name), tries.get(session, subject.network)
    wait = max(name_wait(name, now), network_wait(network, now))
    if wait:
        return wait
    tries.save(session, subject.name, name_failed(name, now))
    tries.save(session, subject.network, network_failed(network, now))
    return 0


def succeed(session: Session, subject: TrySubject) -> None:
    """Forget the failures of the name, and take back the try that was counted for the network."""
    tries.forget(session, subject.name)
    tries.save(session, subject.network, taken_back(tries.get(session, subject.network)))
