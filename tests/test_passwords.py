"""Passwords: which may be chosen, and how they are hashed."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from unicodedata import normalize

import pytest
from argon2 import PasswordHasher, extract_parameters

from kener_async import keys
from kener_async.domain.errors import Invalid, Unavailable
from kener_async.identity import passwords
from kener_async.identity.passwords import COMMON, MAX_WAITING, NO_HASH, Passwords, argon2id, require_good
from kener_async.store import people
from tests.rigs.people import a_browser, a_person, sign_in
from tests.rigs.service import Service

GOOD = "seven blue herons"


@pytest.fixture
def hasher() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that are verified, in place of the work."""
    verified: list[str] = []

    def verify(self: PasswordHasher, stored: str, password: bytes) -> bool:
        verified.append(stored)
        return True

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    return verified


@pytest.mark.parametrize(
    ("password", "error"),
    [
        ("x" * 11, "must have at least 12 characters"),
        ("seven heron", "must have at least 12 characters"),
        ("seven herons", None),
        ("\N{GRINNING FACE}" * 12, None),
        ("e\N{COMBINING ACUTE ACCENT}" * 6, "must have at least 12 characters"),  # 6 letters, however typed
        ("aaaaaaaaaaaa1", None),  # there is no other rule
        ("x y" * 42 + "zz", None),  # 128
        ("x y" * 43, "must have at most 128 characters"),
        ("Ada Lovelace-King", "must not be your name or address"),
        ("ada lovelace-king", "must not be your name or address"),
        ("ADA@example.org", "must not be your name or address"),
        ("ada lovelace-king!", None),
        ("qwertyqwerty", "is one of those that are used most and tried first"),
        ("QwertyQwerty", "is one of those that are used most and tried first"),
        ("password1234", "is one of those that are used most and tried first"),
        ("1qaz2wsx3edc", "is one of those that are used most and tried first"),
        ("seven \ud800 herons", "contains an invalid character"),
    ],
)
def test_the_rules(password: str, error: str | None):
    try:
        require_good(password, name="Ada Lovelace-King", email="ada@example.org")
        said = None
    except Invalid as refused:
        said = refused.message.removeprefix("password: ")
    assert said == error


def test_common_passwords_are_shipped_as_fingerprints_of_those_that_are_long_enough():
    lines = [line for line in COMMON.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines)) == 351
    assert all(len(line) == 16 and set(line) <= set("0123456789abcdef") for line in lines)


async def test_a_hash_is_that_of_one_password_however_an_accent_is_typed(hasher: Passwords):
    stored = await hasher.hashed("sept hérons bleus")
    assert await hasher.verify(stored, normalize("NFD", "sept hérons bleus"))
    assert not await hasher.verify(stored, "sept herons bleus")
    assert stored != await hasher.hashed("sept hérons bleus")


@pytest.mark.parametrize("stored", ["", "$argon2id$", "plain", "\0"])
async def test_a_damaged_hash_is_that_of_no_password(hasher: Passwords, stored: str):
    assert not await hasher.verify(stored or "x", GOOD)


def test_hashes_have_the_parameters_that_owasp_recommends():
    parameters = extract_parameters(argon2id().hash(GOOD))
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (2, 19_456, 1)
    assert parameters.type.name == "ID"


def test_the_hash_of_unknown_names_takes_the_same_work():
    assert extract_parameters(NO_HASH) == extract_parameters(argon2id().hash(GOOD))


@pytest.mark.parametrize("name", ["ada", "grace", "linus", "nobody"])
async def test_each_failure_verifies_one_hash(service: Service, calls: list[str], name: str):
    """Of a person, of one without a password, of an inactive one, and of a name that there is not."""
    ada = await a_person(service, "ada")
    await a_person(service, "grace", password=None)
    linus = await a_person(service, "linus")
    await service.app[keys.DATABASE].write(
        lambda session: session.execute("UPDATE people SET inactive_since = 1 WHERE id = ?", (linus.id,))
    )
    async with a_browser(service) as browser:
        screen = await sign_in(browser, name)
    assert (screen.status, calls) == ((200, [ada.password]) if name == "ada" else (401, [NO_HASH]))


async def test_an_old_hash_is_renewed_at_the_next_sign_in(service: Service):
    ada = await a_person(service)  # with a quick hash
    assert ada.password is not None
    async with a_browser(service) as browser:
        await sign_in(browser, password="wrong words here")
        assert (await service.app[keys.DATABASE].read(people.get, ada.id)).password == ada.password
        await sign_in(browser)
        renewed = (await service.app[keys.DATABASE].read(people.get, ada.id)).password
        assert renewed is not None
        assert extract_parameters(renewed) == extract_parameters(NO_HASH)
        browser.cookies.clear()
        assert (await sign_in(browser)).path == "/manage"


async def test_one_at_a_time_in_a_thread_of_its_own(hasher: Passwords, monkeypatch: pytest.MonkeyPatch):
    threads, at_once, most = set(), 0, 0

    def work(stored: str | None, password: str) -> bool:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        threads.add(threading.current_thread().name)
        at_once -= 1
        return True

    monkeypatch.setattr(passwords, "_verify", work)
    await asyncio.gather(*(hasher.verify(None, GOOD) for _ in range(50)))
    assert (most, len(threads), threading.current_thread().name in threads) == (1, 1, False)


async def test_sign_ins_take_turns_and_too_many_are_told_to_come_back(hasher: Passwords):
    order: list[int] = []
    first = asyncio.Event()

    async def sign_in_of(number: int) -> None:
        async with hasher.turn():
            order.append(number)
            await first.wait()

    waiting = [asyncio.create_task(sign_in_of(number)) for number in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await sign_in_of(-1)
    assert order == [0]
    for task in waiting[2:]:
        task.cancel()
    await asyncio.gather(*waiting[2:], return_exceptions=True)
    first.set()
    await asyncio.gather(*waiting[:2])
    await sign_in_of(7)
    assert order == [0, 1, 7]


MEASURED = """
import asyncio
from pathlib import Path
from kener_async.identity.passwords import Passwords

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

async def main():
    hasher = Passwords()
    before = peak()
    await asyncio.gather(*(hasher.verify(None, "seven blue herons") for _ in range(50)))
    print(peak() - before)

asyncio.run(main())
"""


def test_fifty_sign_ins_at_once_take_the_memory_of_one():
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    assert 19_000 < int(done.stdout) < 25_000  # KiB
