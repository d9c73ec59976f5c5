"""The commands on people, also beside a running server."""

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kener_async import keys
from kener_async.cli.main import main
from kener_async.clock import system_clock
from kener_async.config.model import Config
from tests.rigs.html_client import HtmlClient
from tests.rigs.people import a_browser, a_person, sign_in, signed_in
from tests.rigs.service import SECRET, FakeClock, Service

NEW = "several new words here"
SETTINGS = f"""
[auth]
secret_key = "{SECRET}"
[database]
path = "kener.db"
[[categories]]
name = "Planets"
[[monitors]]
tag = "earth"
category = "Planets"
"""


@pytest.fixture
def file(service: Service) -> Path:
    """The configuration of a running service, with a category."""
    config: Config = service.app[keys.RUNNING].config
    config.file.write_text(SETTINGS)
    return config.file


@pytest.fixture
def clock() -> FakeClock:
    """Commands have the clock of the system."""
    return FakeClock(system_clock())


def person(file: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["person", *words, "--config", str(file)])


def audited(file: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(file.parent / "kener.db")) as connection:
        rows = connection.execute("SELECT actor, act FROM audit ORDER BY id").fetchall()
    return [(actor.partition(":")[0], act) for actor, act in rows]


async def accept(browser: HtmlClient, link: str) -> str:
    """Set a password by a link; where that leads."""
    screen = await browser.open(link.strip().partition(":3000")[2])
    return (await screen.press("Set password and sign in", password=NEW, repeated=NEW)).path


async def test_the_first_person_is_added_and_gets_in_by_the_link(service: Service, file: Path):
    async with a_browser(service) as browser:
        await browser.open("/manage", 404)
        done = person(file, "add", "--role", "admin", "ada")
        assert (done.exit_code, done.stdout.count("\n")) == (0, 1)
        assert done.stdout.startswith("http://127.0.0.1:3000/manage/invitation/")
        assert "added ada; this link can be used once, until " in done.stderr
        assert await accept(browser, done.stdout) == "/manage"
    assert audited(file) == [
        ("command", "person.add"),
        ("command", "person.invite"),
        ("person", "person.password"),
        ("person", "session.begin"),
    ]


@pytest.mark.parametrize(
    ("settings", "link"),
    [
        ('public_url = "https://status.example.org"', "https://status.example.org/manage/invitation/"),
        (
            'public_url = "https://example.org"\nbase_path = "/status"\nmanage_path = "/admin"',
            "https://example.org/status/admin/invitation/",
        ),
        ('host = "0.0.0.0"\nport = 8080', "http://127.0.0.1:8080/manage/invitation/"),
        ('host = "::1"', "http://[::1]:3000/manage/invitation/"),
    ],
)
async def test_the_link_is_where_visitors_reach_the_server(file: Path, settings: str, link: str):
    file.write_text(f"[server]\n{settings}\n{SETTINGS}")
    assert person(file, "add", "--role", "viewer", "ada").stdout.startswith(link)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["add", "ada"], "Missing option '--role'"),
        (["add", "--role", "owner", "ada"], "'owner' is not one of"),
        (["add", "--role", "viewer", ""], "name: must have 1 to 64 characters"),
        (["add", "--role", "viewer", "x" * 65], "name: must have 1 to 64 characters"),
        (["add", "--role", "viewer", " ada"], "name: must not begin or end with a space"),
        (["add", "--role", "viewer", "a\x07da"], "nor contain a control character"),
        (["add", "--role", "viewer", "--email", "ada", "ada"], "email: must be an address"),
        (["add", "--role", "viewer", "--category", "Moons", "ada"], "category: there is no category Moons"),
        (["reset", "nobody"], "there is no person nobody"),
        (["deactivate", "nobody"], "there is no person nobody"),
    ],
)
async def test_what_is_wrong_is_said_and_changes_nothing(file: Path, words: list[str], error: str):
    done = person(file, *words)
    assert done.exit_code in (1, 2)
    assert error in done.output
    assert audited(file) == []


async def test_a_name_is_given_once_in_any_case(file: Path):
    assert person(file, "add", "--role", "viewer", "ada").exit_code == 0
    done = person(file, "add", "--role", "viewer", "ADA")
    assert (done.exit_code, "there is a person ADA already" in done.stderr) == (1, True)


async def test_without_a_path_for_the_screens_there_is_nobody_to_add(file: Path):
    file.write_text(f'[server]\nmanage_path = ""\n{SETTINGS}')
    done = person(file, "add", "--role", "viewer", "ada")
    assert (done.exit_code, "manage_path of [server] is empty" in done.stderr) == (1, True)


async def test_without_a_database_it_says_what_makes_one(tmp_path: Path):
    (tmp_path / "config.toml").write_text(SETTINGS)
    done = person(tmp_path / "config.toml", "add", "--role", "admin", "ada")
    assert (done.exit_code, "there is no database yet" in done.stderr) == (1, True)
    assert not (tmp_path / "kener.db").exists()


async def test_people_are_listed(service: Service, file: Path):
    ada = await a_person(service, "ada")
    person(file, "add", "--role", "responder", "--category", "Planets", "--email", "g@example.org", "grace")
    async with signed_in(service, ada):
        [head, first, second] = person(file, "list").stdout.splitlines()
        assert head.split()[:3] == ["name", "role", "state"]
        assert first.split()[:5] == ["ada", "admin", "active", "password", "1"]
        assert second.split() == ["grace", "responder", "invited", "-", "0", "never", "Planets"]
        listed = json.loads(person(file, "list", "--json").stdout)
    assert [(each["name"], each["role"], each["state"]) for each in listed] == [
        ("ada", "admin", "active"),
        ("grace", "responder", "invited"),
    ]
    assert (listed[1]["email"], listed[1]["categories"]) == ("g@example.org", ["Planets"])
    assert "hash" not in str(listed)


async def test_a_reset_takes_everything_and_gives_a_new_link(service: Service, file: Path):
    ada = await a_person(service, "ada")
    async with signed_in(service, ada) as browser:
        done = person(file, "reset", "ada")
        assert done.exit_code == 0
        assert (await browser.open("/manage")).path.startswith("/manage/sign-in")
        assert (await sign_in(browser)).status == 401
        assert await accept(browser, done.stdout) == "/manage"


async def test_a_deactivated_person_is_out_at_once_and_a_reset_lets_them_in(service: Service, file: Path):
    await a_person(service, "ada")
    grace = await a_person(service, "grace")
    async with signed_in(service, grace) as browser:
        assert person(file, "deactivate", "Grace").exit_code == 0
        assert (await browser.open("/manage")).path.startswith("/manage/sign-in")
        assert (await sign_in(browser, "grace")).status == 401
        assert "inactive" in person(file, "list").stdout
        assert await accept(browser, person(file, "reset", "grace").stdout) == "/manage"
    assert [act for _, act in audited(file)][-5:] == [
        "person.deactivate",
        "person.reset",
        "person.invite",
        "person.password",
        "session.begin",
    ]


async def test_the_last_admin_is_not_deactivated(service: Service, file: Path):
    await a_person(service, "ada")
    done = person(file, "deactivate", "ada")
    assert (done.exit_code, "this is the last admin" in done.stderr) == (1, True)


async def test_two_at_once_add_one_person_each(tmp_path: Path, file: Path):
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda name: _added(file, name), ["ada", "grace", "linus", "ada"]))
    assert sorted(done) == [False, True, True, True]


def _added(file: Path, name: str) -> bool:
    words = ["person", "add", "--role", "viewer", name, "--config", str(file)]
    done = subprocess.run([sys.executable, "-m", "kener_async", *words], capture_output=True, check=False)
    return done.returncode == 0
