"""Sign-in with OpenID Connect by providers that others wrote: npm's oidc-provider, Debian's glewlwyd."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest
from aiohttp import ClientSession, CookieJar

from kener_async import keys
from kener_async.config.load import load
from kener_async.domain.people import Role
from kener_async.identity import oidc
from kener_async.store.interface import Database
from tests.rigs.html_client import HtmlClient, Screen
from tests.rigs.markup import parsed
from tests.rigs.people import a_browser, a_person, sign_in
from tests.rigs.process import a_free_port
from tests.rigs.service import SECRET as SIGNING_KEY
from tests.rigs.service import FakeClock, Service, running

# Where `make peers` installs it.
MODULE = Path(
    os.environ.get("KENER_OIDC_PROVIDER", "build/oidc-provider/node_modules/oidc-provider")
).absolute()
CLIENT, SECRET = "status", "a secret: of + the client"
PUBLIC_URL = "http://localhost:3000"
CALLBACK = "/manage/sign-in/oidc/callback"
GROUPS = {"ada": ["ops", "others"], "grace": ["status-admins"], "linus": ["others"]}
SETTINGS = """
[auth]
secret_key = "{key}"
[database]
path = "kener.db"
[server]
public_url = "{public_url}"
[manage.oidc]
issuer = "{issuer}"
client = "{client}"
secret = "{secret}"
scopes = {scopes}
roles = {{ "status-admins" = "admin", "ops" = "editor" }}
"""


class Peer(Protocol):
    """A provider that runs, with the people of GROUPS."""

    scopes: tuple[str, ...]

    @property
    def issuer(self) -> str: ...

    async def approve(self, address: str, login: str) -> dict[str, str]:
        """Sign somebody in on its pages, in a browser of their own; the query of the callback."""
        ...

    async def set_groups(self, login: str, groups: list[str]) -> None: ...

    async def change_key(self) -> None:
        """Sign with another key from now on."""
        ...

    async def stop(self) -> None: ...


async def until_answered(session: ClientSession, address: str) -> None:
    for _ in range(300):
        try:
            async with session.get(address) as reply:
                if reply.status == 200:
                    return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError(f"{address} does not answer")


def query_of(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


# npm's oidc-provider


@dataclass
class NodeProvider:
    folder: Path
    port: int
    scopes: tuple[str, ...] = ("openid", "email", "profile", "groups")
    groups: dict[str, list[str]] = field(default_factory=lambda: dict(GROUPS))
    process: Any = None

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port}"

    async def start(self) -> None:
        file = self.folder / "groups.json"
        file.write_text(json.dumps(self.groups))
        script = Path(__file__).with_name("oidc_provider.mjs")
        self.process = await asyncio.create_subprocess_exec(
            *("node", str(script), str(MODULE / "lib/index.js")),
            *(str(self.port), PUBLIC_URL + CALLBACK, str(file)),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with ClientSession() as session:
            await until_answered(session, f"{self.issuer}/.well-known/openid-configuration")

    async def approve(self, address: str, login: str) -> dict[str, str]:
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
            method, data = "GET", None
            for _ in range(12):
                async with session.request(method, address, data=data, allow_redirects=False) as reply:
                    location, page = reply.headers.get("Location"), await reply.text()
                    assert reply.status < 400, page
                if location is not None:
                    address, method, data = urljoin(address, location), "GET", None
                    if address.startswith(PUBLIC_URL):
                        return query_of(address)
                    continue
                form = parsed(page).all("form")[0]
                data = {
                    each.attributes["name"]: each.attributes.get("value", "")
                    for each in form.all("input")
                    if "name" in each.attributes
                }
                data |= {name: login for name in ("login", "password") if name in data}
                address, method = urljoin(address, form.attributes["action"]), "POST"
        raise AssertionError("it does not come to an end")

    async def set_groups(self, login: str, groups: list[str]) -> None:
        self.groups[login] = groups
        (self.folder / "groups.json").write_text(json.dumps(self.groups))

    async def change_key(self) -> None:
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()


@asynccontextmanager
async def node_provider(folder: Path) -> AsyncIterator[Peer]:
    provider = NodeProvider(folder, a_free_port())
    try:
        await provider.start()
        yield provider
    finally:
        await provider.stop()


PROVIDERS = {"oidc-provider": node_provider}


@dataclass
class Site:
    service: Service
    peer: Peer
    browser: HtmlClient

    async def begin(self, path: str = "/manage/sign-in/oidc") -> str:
        screen = await self.browser.request("GET", path, is_followed=False)
        assert screen.status == 303, screen.said
        return screen.headers["Location"]

    async def come_back(self, callback: Mapping[str, str], browser: HtmlClient | None = None) -> Screen:
        return await (browser or self.browser).request("GET", f"{CALLBACK}?{urlencode(callback)}")

    async def sign_in(self, login: str = "ada") -> Screen:
        return await self.come_back(await self.peer.approve(await self.begin(), login))

    async def role(self, login: str) -> Role | None:
        database: Database = self.service.app[keys.DATABASE]
        return await database.read(_role, self.peer.issuer, login)


def _role(session: Any, issuer: str, login: str) -> Role | None:
    row = session.execute(
        "SELECT people.role FROM people JOIN identities ON person = people.id WHERE issuer = ? AND name = ?",
        (issuer, login),
    ).fetchone()
    return None if row is None else Role(row[0])


class RealClock(FakeClock):
    """That of the provider, which tests can put forward."""

    def __init__(self) -> None:
        super().__init__(int(time.time()))


@pytest.fixture(params=PROVIDERS)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    folder = tmp_path / "provider"
    folder.mkdir()
    async with PROVIDERS[request.param](folder) as peer:
        file = tmp_path / "config.toml"
        file.write_text(
            SETTINGS.format(
                key=SIGNING_KEY,
                public_url=PUBLIC_URL,
                issuer=peer.issuer,
                client=CLIENT,
                secret=SECRET,
                scopes=json.dumps(peer.scopes),
            )
        )
        async with running(load(file, {}), RealClock()) as service, a_browser(service) as browser:
            await a_person(service, "root")
            yield Site(service, peer, browser)


def is_in(screen: Screen) -> bool:
    return screen.status == 200 and screen.path == "/manage"


async def test_people_sign_in_with_the_role_of_their_groups(site: Site):
    assert is_in(await site.sign_in("ada"))
    assert await site.role("ada") == Role.EDITOR
    assert is_in(await site.sign_in("grace"))
    assert await site.role("grace") == Role.ADMIN
    assert (await site.sign_in("linus")).status == 403
    assert await site.role("linus") is None


async def test_a_group_that_is_taken_away_ends_the_access(site: Site):
    assert is_in(await site.sign_in("ada"))
    await site.peer.set_groups("ada", ["others"])
    assert (await site.sign_in("ada")).status == 403
    assert (await site.browser.open("/manage")).path.startswith("/manage/sign-in")


async def test_a_code_signs_in_once(site: Site):
    callback = await site.peer.approve(await site.begin(), "ada")
    assert is_in(await site.come_back(callback))
    # Also by a state of its own, so that it is the provider that refuses it.
    again = await site.peer.approve(await site.begin(), "ada")
    assert (await site.come_back(again | {"code": callback["code"]})).status == 401


async def test_a_wrong_state_or_another_browser_is_refused(site: Site):
    callback = await site.peer.approve(await site.begin(), "ada")
    assert (await site.come_back(callback | {"state": "another"})).status == 401
    async with a_browser(site.service) as other:
        assert (await site.come_back(callback, other)).status == 401


async def test_a_code_of_another_sign_in_is_refused_by_its_verifier_or_nonce(site: Site):
    first = await site.peer.approve(await site.begin(), "ada")
    second = await site.peer.approve(await site.begin(), "ada")
    assert (await site.come_back(second | {"code": first["code"]})).status == 401


async def test_a_key_that_changed_is_fetched(site: Site):
    assert is_in(await site.sign_in("ada"))
    await site.peer.change_key()
    site.service.clock.now += oidc.PAUSE_SECONDS
    assert is_in(await site.sign_in("ada"))


async def test_a_person_proves_once_more_at_the_provider(site: Site):
    assert is_in(await site.sign_in("grace"))
    address = await site.begin("/manage/sign-in/again/oidc?next=%2Fsign-out")
    screen = await site.come_back(await site.peer.approve(address, "grace"))
    assert screen.path == "/manage/sign-out", screen.said


async def test_without_the_provider_a_password_still_works(site: Site):
    await site.peer.stop()
    screen = await site.browser.open("/manage/sign-in/oidc", 503)
    assert "cannot be reached now" in screen.said
    assert is_in(await sign_in(site.browser, "root"))
