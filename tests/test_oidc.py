"""Sign-in with OpenID Connect against a provider that lies: what is refused, and whom it lets in."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from kener_async import keys
from kener_async.config.load import load
from kener_async.domain.people import Person, Role
from kener_async.identity import oidc
from kener_async.store import identities, people
from kener_async.store.interface import Database, Session
from kener_async.web.manage.federation import FEDERATION
from tests.rigs.html_client import HtmlClient, Screen
from tests.rigs.oidc_provider import (
    CLIENT,
    RSA_KEYS,
    SECRET,
    Claims,
    LyingProvider,
    a_provider,
    forged,
    jwk_of,
    public_pem,
    signed,
)
from tests.rigs.people import COMMAND, a_browser, a_person, sign_in
from tests.rigs.service import SECRET as SIGNING_KEY
from tests.rigs.service import FakeClock, Service, running

CALLBACK = "/manage/sign-in/oidc/callback"
STEP = oidc.SignInStep("browser", "state")
SETTINGS = """
[auth]
secret_key = "{key}"
[database]
path = "kener.db"
[server]
public_url = "http://localhost:3000"
[manage.oidc]
issuer = "{issuer}"
client = "{client}"
secret = "{secret}"
roles = {{ "status-admins" = "admin", "ops" = "editor", "support" = "viewer" }}
button = "Sign in with Example"
{more}
"""


@dataclass
class Site:
    """The service, and the provider that its people sign in with."""

    service: Service
    provider: LyingProvider
    browser: HtmlClient

    async def begin(self, query: str = "") -> str:
        """Press the button; the address of the provider's page."""
        screen = await self.browser.request("GET", f"/manage/sign-in/oidc{query}", is_followed=False)
        assert screen.status == 303, screen.said
        return screen.headers["Location"]

    async def come_back(self, callback: dict[str, str], browser: HtmlClient | None = None) -> Screen:
        return await (browser or self.browser).request(
            "GET",
            f"{CALLBACK}?{urlencode(callback, errors='surrogateescape')}",
            {"Sec-Fetch-Site": "cross-site"},
        )

    async def sign_in(self, **claims: Any) -> Screen:
        """All of it, as an honest person does."""
        return await self.come_back(self.provider.approve(await self.begin(), **claims))

    async def person(self) -> Person | None:
        database: Database = self.service.app[keys.DATABASE]
        return await database.read(identities.find, self.provider.issuer, "ada-1")

    async def acts(self) -> list[str]:
        """The acts of the audit log, oldest first."""

        def read(session: Session) -> list[str]:
            return [row[0] for row in session.execute("SELECT act FROM audit ORDER BY id")]

        database: Database = self.service.app[keys.DATABASE]
        return await database.read(read)


@asynccontextmanager
async def a_site(tmp_path: Path, clock: FakeClock, more: str = "") -> AsyncIterator[Site]:
    async with a_provider(clock) as provider:
        file = tmp_path / "config.toml"
        file.write_text(
            SETTINGS.format(key=SIGNING_KEY, issuer=provider.issuer, client=CLIENT, secret=SECRET, more=more)
        )
        async with running(load(file, {}), clock) as service, a_browser(service) as browser:
            await a_person(service, "root")
            yield Site(service, provider, browser)


@pytest.fixture
async def site(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Site]:
    async with a_site(tmp_path, clock) as made:
        yield made


def is_in(screen: Screen) -> bool:
    """Whether the way ended at a page that only signed-in people see."""
    return (screen.status == 200 and "/manage/sign-out" in screen.body) or screen.path == "/manage"


async def test_a_person_signs_in_and_comes_to_the_page_they_wanted(site: Site):
    page = await site.browser.open("/manage/account/passkeys")
    assert 'href="/manage/sign-in/oidc?next=' in page.body
    assert "Sign in with Example" in page.said
    address = await site.begin("?next=%2Fsign-out")
    screen = await site.come_back(site.provider.approve(address, preferred_username="ada"))
    assert (screen.status, screen.path) == (200, "/manage/sign-out")
    person = await site.person()
    assert person is not None
    assert (person.name, person.role, person.password) == ("ada", Role.EDITOR, None)
    assert (await site.acts())[-3:] == ["person.add", "person.link", "session.begin"]
    assert "kener-oidc" not in site.browser.cookies


# What a provider, or somebody between, may get wrong: each is refused with the same page.
TOKENS: dict[str, Callable[[Claims], str]] = {
    "algorithm none": lambda claims: forged(claims, {"alg": "none"}, lambda head: b""),
    "HS256 with the public key": lambda claims: forged(
        claims,
        {"alg": "HS256", "kid": "first"},
        lambda head: hmac.digest(public_pem(RSA_KEYS["first"]), head, "sha256"),
    ),
    "HS256 with the client's secret": lambda claims: forged(
        claims, {"alg": "HS256"}, lambda head: hmac.digest(SECRET.encode(), head, "sha256")
    ),
    "signed by another key": lambda claims: signed(claims, "second", kid="first"),
    "signed by an unknown key": lambda claims: signed(claims, "second"),
    "no token": lambda claims: "",
}
LIES: dict[str, Claims] = {
    "nonce of another sign-in": {"nonce": "another"},
    "without a nonce": {"nonce": None},
    "another issuer": {"iss": "https://login.example.com"},
    "for another client": {"aud": "another"},
    "for several, without azp": {"aud": [CLIENT, "another"]},
    "azp of another": {"azp": "another"},
    "expired": {"exp": 1},
    "from the future": {"iat": 4_000_000_000},
    "without a subject": {"sub": None},
}


@pytest.mark.parametrize("fault", [*TOKENS, *LIES])
async def test_a_token_that_lies_is_refused(site: Site, fault: str):
    site.provider.sign = TOKENS.get(fault, site.provider.sign)
    site.provider.lies = LIES.get(fault, {})
    screen = await site.sign_in()
    assert screen.status == 401, (fault, screen.said)
    assert "This sign-in was not accepted" in screen.said
    assert "kener" not in site.browser.cookies
    assert await site.person() is None
    site.provider.sign, site.provider.lies = signed, {}
    assert is_in(await site.sign_in())  # so that it was this that was refused


@pytest.mark.parametrize(
    "lies",
    [
        {"state": "another"},
        {"state": None},
        {"iss": "https://login.example.com"},
        {"iss": None},
        {"code": None},
        {"code": "another"},
        {"code": "\udcff"},
        {"state": "\udcff"},
        {"code": None, "error": "access_denied"},
    ],
    ids=str,
)
async def test_a_callback_that_lies_is_refused(site: Site, lies: Claims):
    site.provider.callback = lies
    screen = await site.sign_in()
    assert screen.status == 401, screen.said
    assert "kener" not in site.browser.cookies


async def test_a_parameter_of_the_callback_that_is_there_twice_is_refused(site: Site):
    callback = site.provider.approve(await site.begin())
    screen = await site.browser.request(
        "GET", f"{CALLBACK}?{urlencode(callback, errors='surrogateescape')}&code=x"
    )
    assert screen.status == 403
    assert "token" not in site.provider.asked


async def test_a_code_signs_in_once(site: Site):
    callback = site.provider.approve(await site.begin())
    visitor = site.browser.cookies["kener-oidc"]
    assert is_in(await site.come_back(callback))
    site.browser.cookies.clear()
    site.browser.cookies["kener-oidc"] = visitor
    assert (await site.come_back(callback)).status == 401
    # Also where only the provider could tell: with a state of its own.
    again = site.provider.approve(await site.begin())
    assert (await site.come_back(again | {"code": callback["code"]})).status == 401


async def test_a_callback_in_another_browser_is_refused(site: Site):
    callback = site.provider.approve(await site.begin())
    async with a_browser(site.service) as other:
        assert (await site.come_back(callback, other)).status == 401
        theirs = await other.request("GET", "/manage/sign-in/oidc", is_followed=False)
        assert theirs.status == 303
        assert (await site.come_back(callback, other)).status == 401
    assert "token" not in site.provider.asked  # it was not even asked


async def test_two_tabs_of_a_browser_may_sign_in_at_once(site: Site):
    first, second = await site.begin(), await site.begin()
    assert is_in(await site.come_back(site.provider.approve(first)))
    visitor = site.browser.cookies.get("kener-oidc")
    assert visitor is None
    assert (await site.come_back(site.provider.approve(second))).status == 401  # it is signed in already


async def test_a_sign_in_that_takes_too_long_is_refused(site: Site):
    callback = site.provider.approve(await site.begin())
    site.service.clock.now += oidc.STEP_SECONDS
    assert (await site.come_back(callback)).status == 401


async def test_keys_that_the_provider_changes_are_fetched_once_a_minute(site: Site):
    assert is_in(await site.sign_in())
    site.provider.keys = [jwk_of(RSA_KEYS["second"], "second")]
    site.provider.sign = lambda claims: signed(claims, "second")
    assert (await site.sign_in()).status == 401  # fetched a moment ago
    assert site.provider.asked.count("jwks") == 1
    site.service.clock.now += oidc.PAUSE_SECONDS
    assert is_in(await site.sign_in())
    assert site.provider.asked.count("jwks") == 2
    site.provider.sign = signed  # the old key is not good any more
    assert (await site.sign_in()).status == 401
    assert site.provider.asked.count("jwks") == 2


async def test_a_key_that_was_withdrawn_is_good_for_an_hour_at_most(site: Site):
    assert is_in(await site.sign_in())
    site.provider.keys = [jwk_of(RSA_KEYS["second"], "second")]
    site.service.clock.now += oidc.KEPT_SECONDS
    assert (await site.sign_in()).status == 401


# Who gets in


async def test_the_highest_role_of_the_groups_holds_at_every_sign_in(site: Site):
    await site.sign_in(groups=["support"])
    for groups, role in (
        (["support", "status-admins", "ops"], Role.ADMIN),
        (["ops"], Role.EDITOR),
        ("support", Role.VIEWER),
    ):
        assert is_in(await site.sign_in(groups=groups))
        person = await site.person()
        assert person is not None
        assert person.role == role


@pytest.mark.parametrize("groups", [[], ["others"], None, "OPS", {"ops": True}, [["ops"]], 7], ids=str)
async def test_without_a_group_of_ours_nobody_gets_in(site: Site, groups: Any):
    screen = await site.sign_in(groups=groups)
    assert screen.status == 403
    assert "You have no access here" in screen.said
    assert await site.person() is None


async def test_a_group_that_is_taken_away_ends_the_access(site: Site):
    async with a_browser(site.service) as phone:
        site.browser, desk = phone, site.browser
        assert is_in(await site.sign_in())
        site.browser = desk
        assert is_in(await site.sign_in())
        assert (await site.sign_in(groups=["others"])).status == 403
        for browser in (desk, phone):
            screen = await browser.open("/manage/sign-out")
            assert screen.path.startswith("/manage/sign-in?")
    assert (await site.acts())[-1] == "session.end-all"


async def test_the_last_admin_loses_the_role_too(site: Site):
    database = site.service.app[keys.DATABASE]
    assert is_in(await site.sign_in(groups=["status-admins"]))
    root = await database.read(people.named, "root")
    await database.write(people.deactivate, root.id, COMMAND, site.service.clock())
    assert is_in(await site.sign_in(groups=["support"]))
    person = await site.person()
    assert person is not None
    assert person.role == Role.VIEWER


async def test_a_deactivated_person_does_not_get_in(site: Site):
    await site.sign_in()
    person = await site.person()
    assert person is not None
    await site.service.app[keys.DATABASE].write(people.deactivate, person.id, COMMAND, site.service.clock())
    assert (await site.sign_in()).status == 403


async def test_a_name_or_an_address_joins_nobody_by_itself(site: Site):
    grace = await a_person(site.service, "grace", email="grace@example.org")
    assert is_in(
        await site.sign_in(preferred_username="Grace", email="grace@example.org", email_verified=True)
    )
    person = await site.person()
    assert person is not None
    assert person.id != grace.id
    assert person.name == "Grace 2"


@pytest.mark.parametrize(
    ("claims", "joins"),
    [
        ({"email": "Grace@example.org", "email_verified": True}, True),
        ({"email": "grace@example.org", "email_verified": False}, False),
        ({"email": "grace@example.org", "email_verified": "true"}, False),
        ({"email": "grace@example.org"}, False),
        ({"email": "", "email_verified": True}, False),
        ({"preferred_username": "grace", "email_verified": True}, False),
    ],
    ids=str,
)
async def test_an_address_joins_where_it_is_allowed_and_verified(
    tmp_path: Path, clock: FakeClock, claims: Claims, joins: bool
):
    async with a_site(tmp_path, clock, "link_by_email = true") as site:
        grace = await a_person(site.service, "grace", email="grace@example.org")
        assert is_in(await site.sign_in(**claims))
        person = await site.person()
        assert person is not None
        assert (person.id == grace.id) is joins


async def test_an_address_that_userinfo_verifies_is_not_that_of_the_token(tmp_path: Path, clock: FakeClock):
    async with a_site(tmp_path, clock, "link_by_email = true") as site:
        grace = await a_person(site.service, "grace", email="grace@example.org")
        site.provider.userinfo = {"email": "linus@example.org", "email_verified": True}
        assert is_in(await site.sign_in(email="grace@example.org"))
        person = await site.person()
        assert person is not None
        assert person.id != grace.id


async def test_what_the_token_lacks_is_asked_of_userinfo_about_the_same_subject(site: Site):
    site.provider.userinfo = {"groups": ["support"], "preferred_username": "ada"}
    assert is_in(await site.sign_in(groups=None))
    person = await site.person()
    assert person is not None
    assert (person.name, person.role) == ("ada", Role.VIEWER)
    site.provider.userinfo |= {"sub": "grace-1"}
    assert (await site.sign_in(groups=None)).status == 401


async def test_a_subject_is_another_person_at_another_issuer(site: Site):
    database, now = site.service.app[keys.DATABASE], site.service.clock()
    other = identities.ExternalIdentity("https://login.example.com", "ada-1", "ada", "", Role.ADMIN)
    admission = await database.write(identities.admit, other, "", now)
    assert is_in(await site.sign_in(preferred_username="ada"))
    person = await site.person()
    assert person is not None
    assert admission.person is not None
    assert person.id != admission.person.id


# Providers that are away or wrong


def _redirect() -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/elsewhere"})


def _huge() -> web.StreamResponse:
    return web.Response(body=b'{"keys": [' + b" " * oidc.LARGEST_ANSWER + b"]}")


ANSWERS: dict[str, Callable[[], web.StreamResponse]] = {
    "500": lambda: web.Response(status=500),
    "redirect": _redirect,
    "too large": _huge,
    "no JSON": lambda: web.Response(text="<html>"),
    "an array": lambda: web.json_response([]),
    "nested": lambda: web.Response(text="[" * 100_000),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("endpoint", ["discovery", "jwks", "token", "userinfo"])
async def test_an_answer_that_is_no_good_signs_nobody_in(site: Site, endpoint: str, answer: str):
    site.provider.answers = {endpoint: ANSWERS[answer]}
    screen = await site.browser.request("GET", "/manage/sign-in/oidc", is_followed=False)
    if endpoint != "discovery":
        screen = await site.come_back(site.provider.approve(screen.headers["Location"]))
    assert screen.status in (401, 503), screen.said
    assert "kener" not in site.browser.cookies
    assert "127.0.0.1" not in screen.said  # the log says what the provider did


async def test_a_provider_that_is_away_is_said_and_local_sign_in_works(site: Site):
    site.provider.answers = {"discovery": ANSWERS["500"]}
    screen = await site.browser.open("/manage/sign-in/oidc", 503)
    assert "cannot be reached now" in screen.said
    assert "sign in another way" in screen.said
    asked = len(site.provider.asked)
    await site.browser.open("/manage/sign-in/oidc", 503)
    assert len(site.provider.asked) == asked  # not asked again at once
    assert is_in(await sign_in(site.browser, "root"))


async def test_a_provider_that_says_nothing_is_waited_for_so_long_only(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(oidc, "FETCH_SECONDS", 0.05)

    is_left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        is_left.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    client = oidc.OidcClient(clock, clock)
    try:
        issuer = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        await client.configure(
            oidc.OidcSettings(issuer, CLIENT, "", ("openid",), "groups", (), False, "http://localhost/")
        )
        with pytest.raises(oidc.ProviderUnavailable, match="no answer from"):
            await client.address(STEP)
    finally:
        await client.close()
        await is_left.wait()
        silent.close()
        await silent.wait_closed()


@pytest.mark.parametrize(
    "endpoint",
    ["https://127.0.0.1:1/", "https://10.0.0.1/", "https://[::ffff:169.254.169.254]/"],
)
async def test_a_public_issuer_leads_to_no_address_inside(endpoint: str):
    fetcher = oidc.Fetcher()
    fetcher.issuer = "https://login.example.org"
    try:
        with pytest.raises(oidc.ProviderUnavailable, match="not a public address"):
            await fetcher.json(endpoint)
    finally:
        await fetcher.close()


@pytest.mark.parametrize(
    ("announced", "reason"),
    [
        ({"issuer": "https://login.example.com"}, "names another issuer"),
        ({"token_endpoint": None}, "announces no token_endpoint"),
        ({"authorization_endpoint": "http://login.example.org/"}, "is not an https address"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "is not an https address"),
        ({"token_endpoint": "http://login.example.org/"}, "is not an https address"),
        ({"jwks_uri": "file:///etc/passwd"}, "is not an https address"),
        ({"id_token_signing_alg_values_supported": ["none", "HS256"]}, "no algorithm with a public key"),
    ],
    ids=str,
)
async def test_a_provider_that_announces_what_is_no_good_is_not_used(
    site: Site, announced: Claims, reason: str
):
    site.provider.announced = announced
    client = oidc.OidcClient(site.service.clock, site.service.clock)
    await client.configure(site.service.app[FEDERATION].client.settings)
    try:
        with pytest.raises(oidc.ProviderUnavailable, match=reason):
            await client.address(STEP)
    finally:
        await client.close()


# Proving once more


async def test_a_person_proves_once_more_at_the_provider(site: Site):
    now = site.service.clock()
    assert is_in(await site.sign_in(auth_time=now - 3600))
    screen = await site.browser.open("/manage/account/passkeys")
    assert screen.path.startswith("/manage/sign-in/again")
    assert "Sign in with Example" in screen.said
    again = await site.browser.request(
        "GET", "/manage/sign-in/again/oidc?next=%2Faccount%2Fpasskeys", is_followed=False
    )
    address = again.headers["Location"]
    assert "prompt=login" in address
    assert "max_age=60" in address
    for claims in ({"auth_time": now - 3600}, {}, {"auth_time": "now"}):
        assert (await site.come_back(site.provider.approve(address, **claims))).status == 401
        again = await site.browser.request(
            "GET", "/manage/sign-in/again/oidc?next=%2Faccount%2Fpasskeys", is_followed=False
        )
        address = again.headers["Location"]
    other = await site.come_back(site.provider.approve(address, sub="grace-1", auth_time=now))
    assert other.status == 403


async def test_a_fresh_proof_at_the_provider_is_one_here(site: Site):
    now = site.service.clock()
    assert is_in(await site.sign_in(auth_time=now - 3600))
    again = await site.browser.request(
        "GET", "/manage/sign-in/again/oidc?next=%2Faccount%2Fpasskeys", is_followed=False
    )
    screen = await site.come_back(site.provider.approve(again.headers["Location"], auth_time=now))
    assert (screen.status, screen.path) == (200, "/manage/account/passkeys")


async def test_many_answers_of_one_network_are_slowed_and_reach_no_provider(site: Site):
    callback = site.provider.approve(await site.begin())
    for _ in range(30):
        assert (await site.come_back(callback | {"state": "another"})).status == 401
    screen = await site.come_back(callback)
    assert screen.status == 429
    assert "token" not in site.provider.asked
    site.service.clock.now += 10
    assert is_in(await site.come_back(callback))


async def test_however_many_begin_a_sign_in_another_one_completes(site: Site):
    callback = site.provider.approve(await site.begin())
    for _ in range(100):
        assert (await site.browser.request("GET", "/manage/sign-in/oidc", is_followed=False)).status == 303
    assert is_in(await site.come_back(callback))


async def test_a_long_path_is_not_part_of_the_state(site: Site):
    callback = site.provider.approve(await site.begin(f"?next=%2Fincidents%2F{'7' * 600}"))
    assert len(callback["state"]) < 600
    assert (await site.come_back(callback)).path == "/manage"
