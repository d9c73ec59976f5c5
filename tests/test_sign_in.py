"""Signing in by forms, as a browser without scripts does it."""

import asyncio
from base64 import b32encode
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pyotp
import pytest
from structlog.testing import capture_logs

from kener_async import keys
from kener_async.domain.people import Role
from kener_async.identity import codes, sign_in
from kener_async.identity.passwords import argon2id
from kener_async.identity.sessions import LOOPBACK_COOKIE
from kener_async.store import people
from kener_async.store.interface import Session
from tests.rigs.html_client import HtmlClient, Screen
from tests.rigs.people import COMMAND, a_browser
from tests.rigs.service import Service

PASSWORD = "seven blue herons"
WRONG = "The name or the password is wrong."
KEY = b"k" * codes.KEY_BYTES
RECOVERY = "0123-4567-89ab-cdef"


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[HtmlClient]:
    async with a_browser(service) as browser:
        yield browser


async def add(
    service: Service, name: str = "ada", role: Role = Role.ADMIN, *, with_codes: bool = False
) -> int:
    """A person with PASSWORD, perhaps with codes of KEY and one recovery code; their id."""
    now = service.clock()

    def work(session: Session) -> int:
        person = people.add(session, name, role, None, f"{name}@example.org", COMMAND, now)
        people.set_password(session, person.id, argon2id().hash(PASSWORD), COMMAND, now)
        if with_codes:
            digest = codes.recovery_digest(person.id, RECOVERY)
            assert digest is not None
            people.set_codes(session, person.id, KEY, 0, [digest], COMMAND, now)
        return person.id

    number: int = await service.app[keys.DATABASE].write(work)
    return number


async def enter(
    browser: HtmlClient,
    name: str = "ada",
    password: str = PASSWORD,
    path: str = "/manage/sign-in",
    status: int | None = 200,
) -> Screen:
    screen = await browser.open(path)
    return await screen.press("Sign in", status, name=name, password=password)


def code(service: Service, steps: int = 0) -> str:
    """What the authenticator shows now, or some steps of 30 s later."""
    return pyotp.TOTP(b32encode(KEY).decode()).at(service.clock() + 30 * steps)


async def test_a_password_signs_in_and_leads_where_one_wanted_to_go(service: Service, browser: HtmlClient):
    await add(service)
    screen = await browser.open("/manage?open=1")
    assert screen.path == "/manage/sign-in?next=%3Fopen%3D1"
    screen = await screen.press("Sign in", name="Ada", password=PASSWORD)
    assert (screen.path, len(browser.cookies[LOOPBACK_COOKIE])) == ("/manage?open=1", 43)


async def test_the_cookie_is_for_this_host_and_no_script(service: Service, browser: HtmlClient):
    await add(service)
    screen = await enter(browser)
    line, browser_line = screen.passed[0].headers.getall("Set-Cookie")
    assert browser_line.endswith("; HttpOnly; Max-Age=15552000; Path=/; SameSite=Lax")
    assert line.startswith(f"{LOOPBACK_COOKIE}=")
    assert set(line.split("; ")[1:]) == {"HttpOnly", "Max-Age=1209600", "Path=/", "SameSite=Lax"}


async def test_over_https_the_cookie_is_secure_and_bound_to_the_host(service: Service, browser: HtmlClient):
    await add(service)
    service.change("server", public_url="https://status.example.org")
    screen = await enter(browser)
    lines = screen.passed[0].headers.getall("Set-Cookie")
    assert [line.split("=")[0] for line in lines] == ["__Host-kener", "__Host-kener-browser"]
    assert all("Secure" in line.split("; ") for line in lines)


async def test_without_https_nobody_signs_in_from_elsewhere(service: Service, browser: HtmlClient):
    await add(service)
    elsewhere = {"Host": "status.example.org", "Origin": "http://status.example.org"}
    screen = await browser.request("GET", "/manage/sign-in", elsewhere, status=200)
    assert "Signing in needs https" in screen.said
    assert screen.forms == []
    body = {"name": "ada", "password": PASSWORD}
    screen = await browser.request("POST", "/manage/sign-in", elsewhere, body, status=403)
    assert browser.cookies == {}


@pytest.mark.parametrize(
    ("name", "password"), [("ada", "wrong words here"), ("nobody", PASSWORD), ("ada", "")]
)
async def test_every_failure_says_the_same(service: Service, browser: HtmlClient, name: str, password: str):
    await add(service)
    screen = await enter(browser, name, password, status=401)
    assert WRONG in screen.said
    assert screen.form("Sign in").value("name") == name
    assert "wrong words here" not in screen.body
    assert browser.cookies == {}


async def test_a_name_is_found_however_its_letters_are_composed(service: Service, browser: HtmlClient):
    await add(service, "zo\u00eb")
    assert (await enter(browser, "zoe\u0308")).path == "/manage"


async def test_a_browser_may_call_itself_anything(service: Service):
    await add(service)
    body = urlencode({"name": "ada", "password": PASSWORD}).encode()
    url = service.client.make_url("")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /manage/sign-in HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nConnection: close\r\n"
    head += f"Origin: http://{url.host}:{url.port}\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\n"
    writer.write(head.encode() + b"User-Agent: x\xff\x80\r\n\r\n" + body)
    assert (await reader.readline()).startswith(b"HTTP/1.1 303 ")
    writer.close()
    await writer.wait_closed()


async def test_a_failure_is_logged_with_the_address_and_without_what_was_typed(
    service: Service, browser: HtmlClient
):
    await add(service)
    with capture_logs() as logs:
        await enter(browser, "typed by mistake", "wrong words here", status=401)
    [line] = [line for line in logs if line["event"] == "a sign-in was refused"]
    assert (line["address"], line["reason"]) == ("127.0.0.1", "Unauthenticated")
    assert "typed by mistake" not in str(logs)
    assert "wrong words here" not in str(logs)


async def test_an_inactive_person_does_not_get_in(service: Service, browser: HtmlClient):
    await add(service)
    grace = await add(service, "grace")
    await service.app[keys.DATABASE].write(people.deactivate, grace, COMMAND, service.clock())
    assert WRONG in (await enter(browser, "grace", status=401)).said


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "@evil.example",
        ".evil.example",
        "/a b",
        "x" * 9,
    ],
)
async def test_next_never_leads_to_another_site(service: Service, browser: HtmlClient, target: str):
    await add(service)
    screen = await browser.open("/manage/sign-in")
    form = screen.form("Sign in").fill(name="ada", password=PASSWORD, next=target)
    screen = await form.submit("Sign in", status=303, is_followed=False)
    assert screen.headers["Location"] == (
        "/manage//evil.example" if target == "//evil.example" else "/manage"
    )


async def test_a_sign_in_ends_the_session_that_the_browser_had(service: Service, browser: HtmlClient):
    await add(service)
    await add(service, "grace")
    await enter(browser)
    first = browser.cookies[LOOPBACK_COOKIE]
    form = (await HtmlClient(browser.session, browser.origin).open("/manage/sign-in")).form("Sign in")
    form.screen.client = browser
    await form.fill(name="grace", password=PASSWORD).submit("Sign in")
    assert browser.cookies[LOOPBACK_COOKIE] != first
    browser.cookies[LOOPBACK_COOKIE] = first
    assert (await browser.open("/manage")).path.startswith("/manage/sign-in")


async def test_of_the_browsers_of_a_person_the_newest_are_known(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sign_in, "MOST_KNOWN_BROWSERS", 2)
    await add(service)
    await add(service, "grace")
    for name in ("grace", "ada", "ada", "ada"):
        service.pass_time(60)
        async with a_browser(service) as browser:  # keeps nothing of the one before
            assert (await enter(browser, name)).path == "/manage"
    count = "SELECT count(*) FROM challenges WHERE kind = ?"
    kept = await service.app[keys.DATABASE].read(
        lambda session: session.execute(count, (sign_in.KNOWN_BROWSER,)).fetchone()
    )
    assert kept == (3,)  # one is grace's


async def test_a_cookie_that_an_attacker_has_set_is_not_continued(service: Service, browser: HtmlClient):
    await add(service)
    browser.cookies[LOOPBACK_COOKIE] = fixed = "f" * 43
    await enter(browser)
    assert browser.cookies[LOOPBACK_COOKIE] != fixed


class TestSecondStep:
    async def test_a_code_completes_the_sign_in(self, service: Service, browser: HtmlClient):
        await add(service, with_codes=True)
        screen = await enter(browser, path="/manage/sign-in?next=%3Fopen%3D1")
        assert screen.path == "/manage/second-step?next=%3Fopen%3D1"
        assert LOOPBACK_COOKIE not in browser.cookies
        screen = await screen.press("Sign in", code=code(service))
        assert screen.path == "/manage?open=1"
        assert set(browser.cookies) == {LOOPBACK_COOKIE, f"{LOOPBACK_COOKIE}-browser"}

    @pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)])
    async def test_one_step_either_way_is_good(
        self, service: Service, browser: HtmlClient, steps: int, status: int
    ):
        await add(service, with_codes=True)
        screen = await enter(browser)
        await screen.press("Sign in", status, code=code(service, steps))

    async def test_each_code_is_good_once(self, service: Service, browser: HtmlClient):
        await add(service, with_codes=True)
        await (await enter(browser)).press("Sign in", code=code(service))
        browser.cookies.clear()
        screen = await (await enter(browser)).press("Sign in", 401, code=code(service))
        assert "This code is wrong, or was used before." in screen.said
        await screen.press("Sign in", 401, code=code(service, -1))
        service.pass_time(30)
        await screen.press("Sign in", 200, code=code(service))

    async def test_each_recovery_code_is_good_once(self, service: Service, browser: HtmlClient):
        await add(service, with_codes=True)
        await (await enter(browser)).press("Sign in", code=RECOVERY.upper().replace("-", " "))
        browser.cookies.clear()
        await (await enter(browser)).press("Sign in", 401, code=RECOVERY)

    async def test_five_wrong_codes_slow_the_next(self, service: Service, browser: HtmlClient):
        await add(service, with_codes=True)
        screen = await enter(browser)
        for _ in range(5):
            screen = await screen.press("Sign in", 401, code="000000")
        screen = await screen.press("Sign in", 429, code=code(service))
        assert ("wait 2 s" in screen.said, screen.headers["Retry-After"]) == (True, "2")
        service.pass_time(2)
        await screen.press("Sign in", 200, code=code(service))

    async def test_the_step_is_no_session(self, service: Service, browser: HtmlClient):
        await add(service, with_codes=True)
        await enter(browser)
        browser.cookies[LOOPBACK_COOKIE] = browser.cookies[f"{LOOPBACK_COOKIE}-step"]
        assert (await browser.open("/manage")).path.startswith("/manage/sign-in")

    async def test_the_step_ends_after_ten_minutes(self, service: Service, browser: HtmlClient):
        await add(service, with_codes=True)
        screen = await enter(browser)
        service.pass_time(600)
        assert (await screen.press("Sign in", code=code(service))).path == "/manage/sign-in"

    async def test_the_step_ends_with_the_password(self, service: Service, browser: HtmlClient):
        ada = await add(service, with_codes=True)
        screen = await enter(browser)
        new = argon2id().hash("another blue heron")
        await service.app[keys.DATABASE].write(people.set_password, ada, new, COMMAND, service.clock())
        assert (await screen.press("Sign in", code=code(service))).path == "/manage/sign-in"


class TestAgain:
    async def test_an_act_that_wants_it_fresh_leads_to_signing_in_again(
        self, service: Service, browser: HtmlClient
    ):
        await add(service)
        await enter(browser)
        before = browser.cookies[LOOPBACK_COOKIE]
        screen = await browser.open("/manage/sign-in?again=1&next=%2Fsign-out")
        assert screen.path == "/manage/sign-in/again?next=%2Fsign-out"
        screen = await screen.press("Go on", password=PASSWORD)
        assert screen.path == "/manage/sign-out"
        assert browser.cookies[LOOPBACK_COOKIE] != before

    async def test_a_wrong_password_keeps_the_session(self, service: Service, browser: HtmlClient):
        await add(service)
        await enter(browser)
        screen = await browser.open("/manage/sign-in/again")
        await screen.press("Go on", 401, password="wrong words here")
        assert (await browser.open("/manage")).path == "/manage"

    async def test_a_code_does(self, service: Service, browser: HtmlClient):
        await add(service, with_codes=True)
        await (await enter(browser)).press("Sign in", code=code(service))
        screen = await browser.open("/manage/sign-in/again")
        await screen.press("Go on", 401, password=code(service))  # used
        await screen.press("Go on", 200, password=code(service, 1))


async def test_sign_out_ends_the_session(service: Service, browser: HtmlClient):
    await add(service)
    await enter(browser)
    cookie = browser.cookies[LOOPBACK_COOKIE]
    screen = await (await browser.open("/manage/sign-out")).press("Sign out")
    assert "You are signed out." in screen.said
    assert LOOPBACK_COOKIE not in browser.cookies
    browser.cookies[LOOPBACK_COOKIE] = cookie
    assert (await browser.open("/manage")).path.startswith("/manage/sign-in")


async def test_without_password_login_there_is_no_form_and_no_way(service: Service, browser: HtmlClient):
    await add(service)
    service.change("manage", password_login=False)
    assert (await browser.open("/manage/sign-in")).forms == []
    body = {"name": "ada", "password": PASSWORD}
    await browser.request("POST", "/manage/sign-in", {"Origin": browser.origin}, body, status=403)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_another_site_cannot_sign_a_browser_in(
    service: Service, browser: HtmlClient, headers: dict[str, str]
):
    await add(service)
    await browser.request(
        "POST", "/manage/sign-in", headers, {"name": "ada", "password": PASSWORD}, status=403
    )
    assert browser.cookies == {}


async def test_the_audit_log_says_how_a_session_began(service: Service, browser: HtmlClient):
    await add(service, with_codes=True)
    await (await enter(browser)).press("Sign in", code=code(service))
    rows = await service.app[keys.DATABASE].read(
        lambda session: session.execute("SELECT actor, network, act, after FROM audit ORDER BY id").fetchall()
    )
    assert tuple(rows[-1]) == ("person:ada", "127.0.0.1", "session.begin", '{"by": "password and code"}')
