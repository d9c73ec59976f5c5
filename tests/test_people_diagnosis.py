"""`doctor` on people: whether an admin can sign in, passkeys can work, and the provider responds."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.manage import OidcConfig
from kener_async.config.model import Config
from kener_async.domain.people import Role
from kener_async.ops import doctor
from kener_async.ops.people_diagnosis import of_oidc
from kener_async.store import people
from tests.rigs.people import COMMAND, a_person
from tests.rigs.process import a_free_port
from tests.rigs.service import NOON, FakeClock, Service, a_config, running

OIDC = OidcConfig(
    "https://login.example.org", "status", "", ("openid",), "groups", (("ops", "admin"),), "Sign in", False
)

Making = Callable[[Service], Any]


def findings(config: Config) -> dict[str, tuple[str, str]]:
    """The findings about people by what they are about, each its state and text."""
    found = doctor.examine(config, NOON)
    return {
        each.check: (each.state.value, each.text) for each in found if each.check in ("people", "passkeys")
    }


async def examined(folder: Path, made: Making, **settings: Any) -> dict[str, tuple[str, str]]:
    """The findings of a database in which something was made; `settings` are of [manage] and [server]."""
    config = a_config(folder)
    async with running(config, FakeClock()) as service:
        await made(service)
    url = settings.pop("public_url", "https://status.example.org")
    server = replace(config.server, public_url=url)
    return findings(replace(config, server=server, manage=replace(config.manage, **settings)))


async def nobody(service: Service) -> None:
    """No person."""


async def an_admin(service: Service) -> None:
    await a_person(service)


async def a_limited_admin(service: Service) -> None:
    await a_person(service, categories=["Planets"])


async def an_editor(service: Service) -> None:
    await a_person(service, "grace", Role.EDITOR)


async def an_admin_without_anything(service: Service) -> None:
    await a_person(service, password=None)


async def an_inactive_admin(service: Service) -> None:
    ada = await a_person(service)
    await a_person(service, "grace")
    await service.app[keys.DATABASE].write(people.deactivate, ada.id, COMMAND, NOON)
    await service.app[keys.DATABASE].write(people.set_password, 2, None, COMMAND, NOON)


CAN = ("ok", "1 of 1 can sign in, 1 as admin of everything")
CANNOT = ("warn", "no admin can sign in, of 1 people (1 active)")


@pytest.mark.parametrize(
    ("made", "settings", "expected"),
    [
        (an_admin, {}, CAN),
        (an_admin, {"password_login": False}, CANNOT),
        (an_admin_without_anything, {}, CANNOT),
        (a_limited_admin, {}, CANNOT),
        (an_editor, {}, CANNOT),
        (an_inactive_admin, {}, ("warn", "no admin can sign in, of 2 people (1 active)")),
    ],
)
async def test_whether_an_admin_can_sign_in(
    tmp_path: Path, made: Making, settings: dict[str, Any], expected: tuple[str, str]
):
    assert (await examined(tmp_path, made, **settings))["people"] == expected


async def test_without_people_nothing_is_said(tmp_path: Path):
    assert await examined(tmp_path, nobody, public_url="") == {}


async def test_passkeys_need_an_address_of_the_site(tmp_path: Path):
    found = await examined(tmp_path, an_admin, public_url="")
    assert found["passkeys"][0] == "warn"
    assert "browsers can use none" in found["passkeys"][1]


async def test_passkeys_that_are_off_need_none(tmp_path: Path):
    assert "passkeys" not in await examined(tmp_path, an_admin, public_url="", passkeys=False)


@contextmanager
def a_provider(status: int, body: bytes) -> Iterator[str]:
    """A provider that says this of itself; its address."""

    class Said(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            port = server.server_port
            said = body.replace(b"SELF", f"http://127.0.0.1:{port}".encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Said)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "state", "words"),
    [
        (200, json.dumps({"issuer": "SELF"}).encode(), "ok", "responds"),
        (200, json.dumps({"issuer": "https://other.example.org"}).encode(), "warn", "names another issuer"),
        (200, b"[]", "warn", "names another issuer"),
        (200, b"hello", "warn", "Expecting value"),
        (404, b"", "warn", "status 404"),
    ],
)
def test_the_provider_is_asked_for_its_addresses(status: int, body: bytes, state: str, words: str):
    with a_provider(status, body) as address:
        found = of_oidc(replace(OIDC, issuer=address))
    assert (found.state.value, words in found.text) == (state, True), found


def test_a_provider_that_is_away_is_a_warning():
    found = of_oidc(replace(OIDC, issuer=f"http://127.0.0.1:{a_free_port()}"))
    assert found.state.value == "warn"
    assert "refused" in found.text
