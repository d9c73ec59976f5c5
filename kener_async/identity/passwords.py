"""Passwords: which may be chosen, and their hashes by Argon2id."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack
from unicodedata import normalize

from kener_async.domain.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LEAST, MOST = 12, 128  # characters
MAX_WAITING = 100  # sign-ins that wait for their turn, of about 0.1 s each
NICE = 5
COMMON = Path(__file__).with_name("common_passwords.txt")

# The hash of 32 random bytes that were not kept, with the parameters of `argon2id`: verified where there is
# none, so that an unknown name takes the same time.
NO_HASH = "$argon2id$v=19$m=19456,t=2,p=1$CL9T1L1lsuYwiO1qCZGw+w$xn1JyHO3a2x3d2OpMu7Cf3EsMw+xVpO1f5f881KNtRw"


@cache
def argon2id() -> "PasswordHasher":
    """What hashes all passwords; its library is imported at the first use, and never if nobody signs in."""
    from argon2 import PasswordHasher

    # 19 MiB and two passes, as OWASP recommends; a hash with more would be a way to exhaust a small machine.
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class Passwords:
    """Hash and verify passwords, one at a time in a thread of its own.

    So 50 sign-ins at once take the memory of one, and one core at most.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "passwords", initializer=_let_others_go_first)
        self._lock = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn of a sign-in: its hash, and what it writes before and after.

        One at a time, so that the writes of many at once do not stand before those of heartbeats. Raises
        Unavailable when too many wait.
        """
        if self._waiting >= MAX_WAITING:
            raise Unavailable("too many people sign in at once; try again in a few seconds")
        self._waiting += 1
        try:
            async with self._lock:
                yield
        finally:
            self._waiting -= 1

    async def hashed(self, password: str) -> str:
        """The hash of a password, to be stored."""
        return await self._run(_hashed, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is that of a hash; with None it is not, after the same work."""
        return await self._run(_verify, stored, password)

    async def _run(self, work: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *args)

    def close(self) -> None:
        """Drop what waits; a hash under way ends in the background."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _let_others_go_first() -> None:
    """Give this thread less of the processor than the event loop has, where they share a core."""
    with suppress(AttributeError, OSError):  # not on Linux
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def needs_rehash(stored: str) -> bool:
    """Whether a hash was made with other parameters than those in use now."""
    return argon2id().check_needs_rehash(stored)


def require_good(password: str, *, name: str, email: str) -> None:
    """Raise Invalid unless a person of this name and address may choose the password."""
    text = normal(password)
    if len(normalize("NFKC", password)) < LEAST:
        raise Invalid(f"password: must have at least {LEAST} characters")
    if len(normalize("NFKC", password)) > MOST:
        raise Invalid(f"password: must have at most {MOST} characters")
    if any("\ud800" <= character <= "\udfff" for character in password):
        raise Invalid("password: contains an invalid character")
    if text in {normal(name), normal(email)}:
        raise Invalid("password: must not be your name or address")
    if fingerprint(text) in _common():
        raise Invalid("password: is one of those that are used most and tried first")


def normal(password: str) -> str:
    """A password as it is compared with names and common ones: in any case and any Unicode form."""
    return normalize("NFKC", password).casefold()


def fingerprint(text: str) -> str:
    """The line of a normal password in the file of common ones."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@cache
def _common() -> frozenset[str]:
    lines = COMMON.read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def _hashed(password: str) -> str:
    return argon2id().hash(_encoded(password))


def _verify(stored: str | None, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        argon2id().verify(stored or NO_HASH, _encoded(password))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def _encoded(password: str) -> bytes:
    """The bytes that are hashed: the same however a keyboard composes an accent."""
    return normalize("NFKC", password[: 4 * MOST]).encode("utf-8", "surrogatepass")
