"""Sign-in with OpenID Connect by providers that others wrote: npm's oidc-provider, Debian's glewlwyd."""

import asyncio
import gzip
import json
import os
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit
from uuid import uuid4

import jwt
import pytest
from aiohttp import ClientSession, CookieJar
from cryptography.hazmat.primitives.asymmetric import rsa

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
    says_when: bool  # it tells when somebody signed in there

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
    says_when: bool = True
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


# Debian's glewlwyd, set up by its API. It writes several groups in one text, so its people are in one each,
# does not decode the header with the secret, which is sent in the body then, and its auth_time is 0.


GLEWLWYD = shutil.which("glewlwyd")
SHARE = Path("/usr/share/doc/glewlwyd")
FORMAT = {"multiple": True, "read": True, "write": True, "profile-read": True, "profile-write": False}


@dataclass
class Glewlwyd:
    folder: Path
    port: int
    admin: ClientSession
    scopes: tuple[str, ...] = ("openid",)
    says_when: bool = False
    process: Any = None

    @property
    def api(self) -> str:
        return f"http://localhost:{self.port}/api"

    @property
    def issuer(self) -> str:
        return f"{self.api}/oidc"

    async def start(self) -> None:
        database = self.folder / "glewlwyd.db"
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(_text(SHARE / "database/init.sqlite3.sql.gz"))
            (text,) = connection.execute("SELECT gumi_parameters FROM g_user_module_instance").fetchone()
            stored = json.loads(text)
            stored["data-format"]["groups"] = FORMAT
            connection.execute("UPDATE g_user_module_instance SET gumi_parameters = ?", (json.dumps(stored),))
            connection.commit()
        settings = _text(SHARE / "glewlwyd.conf.sample.gz")
        for before, after in {
            "port=4593": f"port={self.port}",
            "localhost:4593": f"localhost:{self.port}",
            "cookie_secure=1": "cookie_secure=0",
            "/var/cache/glewlwyd/glewlwyd.db": str(database),
        }.items():
            assert before in settings, before
            settings = settings.replace(before, after)
        (self.folder / "glewlwyd.conf").write_text(settings)
        self.process = await asyncio.create_subprocess_exec(
            str(GLEWLWYD), f"--config-file={self.folder}/glewlwyd.conf", stdout=asyncio.subprocess.DEVNULL
        )
        await until_answered(self.admin, f"http://localhost:{self.port}/config")
        await self._ask(self.admin, "POST", "/auth/", username="admin", password="password")
        await self._ask(self.admin, "POST", "/mod/plugin/", module="oidc", name="oidc", **self._plugin())
        await self._ask(
            self.admin,
            "POST",
            "/client/",
            client_id=CLIENT,
            name=CLIENT,
            client_secret=SECRET,
            redirect_uri=[PUBLIC_URL + CALLBACK],
            authorization_type=["code"],
            token_endpoint_auth_method=["client_secret_basic", "client_secret_post"],
            confidential=True,
            enabled=True,
        )
        for login, groups in GROUPS.items():
            await self._ask(self.admin, "POST", "/user/", username=login, **_user(login, groups[:1]))

    def _plugin(self) -> dict[str, Any]:
        """The plugin of OpenID Connect, with a new key."""
        private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048)))
        key = {**private, "kid": str(uuid4()), "alg": "RS256", "use": "sig"}
        flows = ("token", "password", "client", "refresh", "none")
        claims = {"groups": "groups", "preferred_username": "username"}
        return {
            "display_name": "OpenID Connect",
            "parameters": {
                "iss": self.issuer,
                "jwks-private": json.dumps({"keys": [key]}),
                "jwks-show": True,
                "jwt-type": "rsa",
                "jwt-key-size": "256",
                "access-token-duration": 3600,
                "refresh-token-duration": 3600,
                "code-duration": 600,
                "refresh-token-rolling": False,
                "allow-non-oidc": False,
                "auth-type-code-enabled": True,
                "auth-type-id-token-enabled": True,
                **{f"auth-type-{flow}-enabled": False for flow in flows},
                "pkce-allowed": True,
                "pkce-required": True,
                "subject-type": "public",
                "claims": [
                    {
                        "name": name,
                        "user-property": each,
                        "type": "string",
                        "on-demand": False,
                        "mandatory": True,
                    }
                    for name, each in claims.items()
                ],
                "name-claim": "no",
                "email-claim": "mandatory",
                "scope-claim": "no",
            },
        }

    async def _ask(self, session: ClientSession, method: str, path: str, **body: Any) -> None:
        async with session.request(method, self.api + path, json=body) as reply:
            assert reply.status == 200, (path, reply.status, await reply.text())

    async def approve(self, address: str, login: str) -> dict[str, str]:
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
            async with session.get(address, allow_redirects=False) as reply:
                assert "login.html" in reply.headers["Location"]  # it asks who this is
            await self._ask(session, "POST", "/auth/", username=login, password=f"password of {login}")
            await self._ask(session, "PUT", f"/auth/grant/{CLIENT}", scope="openid")
            async with session.get(f"{address}&g_continue", allow_redirects=False) as reply:
                location = reply.headers["Location"]
        assert location.startswith(PUBLIC_URL), location
        return query_of(location)

    async def set_groups(self, login: str, groups: list[str]) -> None:
        await self._ask(self.admin, "PUT", f"/user/{login}", **_user(login, groups))

    async def change_key(self) -> None:
        await self._ask(self.admin, "PUT", "/mod/plugin/oidc", **self._plugin())

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()


def _text(path: Path) -> str:
    with gzip.open(path, "rt") as file:
        return str(file.read())


def _user(login: str, groups: list[str]) -> dict[str, Any]:
    return {
        "name": login,
        "password": f"password of {login}",
        "email": f"{login}@example.org",
        "groups": groups,
        "scope": ["openid"],
        "enabled": True,
    }


@asynccontextmanager
async def glewlwyd(folder: Path) -> AsyncIterator[Peer]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as admin:
        provider = Glewlwyd(folder, a_free_port(), admin)
        try:
            await provider.start()
            yield provider
        finally:
            await provider.stop()


PROVIDERS = {"oidc-provider": node_provider, "glewlwyd": glewlwyd}


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
    if site.peer.says_when:
        assert screen.path == "/manage/sign-out", screen.said
    else:
        assert screen.status == 401
        assert "did not ask who you are again" in screen.said


async def test_without_the_provider_a_password_still_works(site: Site):
    await site.peer.stop()
    screen = await site.browser.open("/manage/sign-in/oidc", 503)
    assert "cannot be reached now" in screen.said
    assert is_in(await sign_in(site.browser, "root"))
