"""Passkeys in Chromium with its virtual authenticator: made, used, and refused where they are no good."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from playwright.async_api import Browser, CDPSession, Page, Route

from kener_async import keys
from kener_async.identity import links
from kener_async.identity.passkey_sign_in import PasskeySignIn
from kener_async.identity.passkeys import CHALLENGE_SECONDS
from kener_async.identity.sessions import LOOPBACK_COOKIE
from kener_async.store import passkeys, people, sessions
from kener_async.store.interface import Database, Session
from kener_async.store.passkeys import Passkey
from kener_async.web.manage.frame import SESSIONS
from tests.e2e.browser import REPORT, beyond
from tests.e2e.test_accessibility import violations
from tests.rigs.people import COMMAND, PASSWORD, a_browser, a_person
from tests.rigs.service import FakeClock, Service, a_config, running

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
# Asks for a challenge as the page's script does, lets the authenticator answer it with changed options, and
# gives back the answer instead of sending it.
ANSWER = """async ({options, changes}) => {
    const plain = (text) => atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    const bytes = (text) => Uint8Array.from(plain(text), (each) => each.charCodeAt(0));
    const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
        .replace(/\\+/g, "-").replace(/\\//g, "_").replace(/=+$/, "");
    const found = await navigator.credentials.get({publicKey: {
        ...options, challenge: bytes(options.challenge), ...changes,
        allowCredentials: (options.allowCredentials || []).map((each) => ({...each, id: bytes(each.id)})),
    }});
    return JSON.stringify({id: found.id, rawId: text(found.rawId), type: found.type, response: {
        clientDataJSON: text(found.response.clientDataJSON),
        authenticatorData: text(found.response.authenticatorData),
        signature: text(found.response.signature),
        userHandle: text(found.response.userHandle),
    }});
}"""


@dataclass
class Desk:
    """A browser with an authenticator at the site, whose public_url is `origin`."""

    service: Service
    page: Page
    cdp: CDPSession
    authenticator: str
    origin: str
    faults: list[str]

    async def goto(self, path: str) -> None:
        await self.page.goto(self.origin + path)

    async def sign_in(self, name: str = "ada") -> None:
        await self.goto("/manage/sign-in")
        await self.page.get_by_label("Name").fill(name)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign in", exact=True).click()
        await self.page.wait_for_url(lambda url: not url.endswith("/sign-in"))

    async def sign_out(self) -> None:
        await self.page.context.clear_cookies()

    async def make(self, name: str = "Laptop") -> Passkey:
        """Make a passkey in the account of the signed-in person."""
        await self.goto("/manage/account/passkeys")
        await self.page.get_by_label("Name of the passkey").fill(name)
        await self.page.get_by_role("button", name="Add a passkey").click()
        await self.page.wait_for_url("**/manage/account/passkeys?done=made")
        return (await self.stored())[-1]

    async def stored(self) -> list[Passkey]:
        def read(session: Session) -> list[Passkey]:
            return [one for person in (1, 2) for one in passkeys.of_person(session, person)]

        database: Database = self.service.app[keys.DATABASE]
        return await database.read(read)

    async def use(self, text: str = "Sign in with a passkey") -> None:
        await self.page.get_by_role("button", name=text).click()

    async def is_signed_in(self) -> bool:
        return any(each.get("name") == LOOPBACK_COOKIE for each in await self.page.context.cookies())

    async def cookie(self) -> str:
        """What the cookie of the session holds."""
        cookies = {each["name"]: each["value"] for each in await self.page.context.cookies()}
        return cookies[LOOPBACK_COOKIE]

    async def challenge(self) -> dict[str, Any]:
        """The options that the page's script would get."""
        status, body = await self.post("/manage/sign-in/passkey/options", {})
        assert status == 200, body
        return cast(dict[str, Any], json.loads(body)["publicKey"])

    async def answer(self, page: Page, options: dict[str, Any], **changes: Any) -> str:
        """The answer of the authenticator of a page, perhaps of another site."""
        return str(await page.evaluate(ANSWER, {"options": options, "changes": changes}))

    async def send(self, answer: str) -> tuple[int, str]:
        """Send an answer as the form of the page does."""
        return await self.post("/manage/sign-in/passkey", {"answer": answer})

    async def post(self, path: str, fields: dict[str, str]) -> tuple[int, str]:
        async with a_browser(self.service) as client:
            screen = await client.request(
                "POST",
                path,
                {
                    "Host": self.origin.removeprefix("http://"),
                    "Origin": self.origin,
                    "Sec-Fetch-Site": "same-origin",
                    "Content-Type": "application/x-www-form-urlencoded",
                },
                urlencode({"form_key": "k" * 22, **fields}).encode(),
                is_followed=False,
            )
            return screen.status, screen.body


async def an_authenticator(page: Page) -> tuple[CDPSession, str]:
    cdp = await page.context.new_cdp_session(page)
    await cdp.send("WebAuthn.enable")
    added = await cdp.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return cdp, added["authenticatorId"]


@asynccontextmanager
async def a_desk(browser: Browser, service: Service) -> AsyncIterator[Desk]:
    origin = str(service.client.make_url("")).rstrip("/").replace("127.0.0.1", "localhost")
    service.change("server", public_url=origin)
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    try:
        context.set_default_timeout(10_000)
        await context.add_init_script(REPORT)
        page = await context.new_page()
        faults: list[str] = []
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        cdp, authenticator = await an_authenticator(page)
        yield Desk(service, page, cdp, authenticator, origin, faults)
    finally:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def desk(browser: Browser, tmp_path: Path) -> AsyncIterator[Desk]:
    clock = FakeClock()
    async with running(a_config(tmp_path), clock) as service, a_desk(browser, service) as made:
        await a_person(service, "ada")
        yield made


async def test_a_passkey_is_made_and_signs_in_without_a_name(desk: Desk):
    await desk.sign_in()
    made = await desk.make("Laptop")
    assert (made.name, made.last_used) == ("Laptop", None)
    await desk.sign_out()
    await desk.goto("/manage/sign-in?next=%2Fsign-out")
    await desk.use()
    await desk.page.wait_for_url("**/manage/sign-out")
    assert await desk.page.get_by_role("link", name="ada").count() == 1
    assert (await desk.stored())[0].last_used == desk.service.clock()
    assert desk.faults == []


async def test_making_a_passkey_ends_the_other_sessions(desk: Desk):
    await desk.sign_in()
    before = await desk.page.context.cookies()
    await desk.make()
    after = await desk.page.context.cookies()
    assert [each.get("value") for each in after] != [each.get("value") for each in before]
    async with a_browser(desk.service) as old:
        old.cookies[LOOPBACK_COOKIE] = str(before[0].get("value"))
        assert (await old.open("/manage")).path.startswith("/manage/sign-in")


async def test_an_authenticator_makes_one_passkey_for_a_person(desk: Desk):
    await desk.sign_in()
    await desk.make()
    await desk.page.get_by_role("button", name="Add a passkey").click()
    await desk.page.locator("form[data-passkey] [data-failed]").wait_for(state="visible")
    assert len(await desk.stored()) == 1


async def test_a_password_is_followed_by_the_passkey(desk: Desk):
    await desk.sign_in()
    await desk.make()
    await desk.sign_out()
    await desk.sign_in()
    assert desk.page.url.startswith(f"{desk.origin}/manage/second-step")
    assert not await desk.is_signed_in()
    assert await desk.page.get_by_label("Code").count() == 0  # ada has none
    await desk.use("Use a passkey")
    await desk.page.wait_for_url("**/manage")
    assert await desk.is_signed_in()
    assert desk.faults == []


async def test_a_passkey_of_another_person_is_no_second_step(desk: Desk):
    await a_person(desk.service, "grace")
    for name in ("ada", "grace"):
        await desk.sign_in(name)
        await desk.make()
        await desk.sign_out()
    await desk.sign_in("ada")
    options = json.loads(await desk.page.evaluate(OPTIONS, "/manage/second-step/passkey/options"))
    first, second = await desk.stored()
    assert len(options["publicKey"]["allowCredentials"]) == 1
    # The other passkey signs the challenge that was for the first.
    changed = options["publicKey"] | {"allowCredentials": []}
    await desk.cdp.send(
        "WebAuthn.removeCredential",
        {"authenticatorId": desk.authenticator, "credentialId": b64(first.id)},
    )
    answer = await desk.answer(desk.page, changed)
    assert json.loads(answer)["id"] == b64url(second.id)
    await desk.page.evaluate(SUBMIT, ["/manage/second-step/passkey", answer])
    await desk.page.wait_for_load_state()
    assert not await desk.is_signed_in()


OPTIONS = """async (path) => (await fetch(path, {method: "POST", body: new URLSearchParams()})).text()"""
SUBMIT = """([path, answer]) => {
    const form = document.querySelector(`form[action="${path}"]`);
    form.elements.answer.value = answer;
    form.submit();
}"""


def b64(value: bytes) -> str:
    from base64 import b64encode

    return b64encode(value).decode()


def b64url(value: bytes) -> str:
    return b64(value).replace("+", "-").replace("/", "_").rstrip("=")


async def made_and_signed_out(desk: Desk) -> Passkey:
    await desk.sign_in()
    made = await desk.make()
    await desk.sign_out()
    await desk.goto("/manage/sign-in")
    return made


async def test_a_good_answer_is_accepted_once(desk: Desk):
    await made_and_signed_out(desk)
    answer = await desk.answer(desk.page, await desk.challenge())
    assert (await desk.send(answer))[0] == 303
    status, body = await desk.send(answer)
    assert status == 401
    assert "was not accepted" in body


async def test_an_answer_is_good_for_some_minutes(desk: Desk):
    await made_and_signed_out(desk)
    answer = await desk.answer(desk.page, await desk.challenge())
    desk.service.clock.now += CHALLENGE_SECONDS
    assert (await desk.send(answer))[0] == 401


async def test_a_challenge_for_another_use_is_refused(desk: Desk):
    await desk.sign_in()
    await desk.make()
    options = json.loads(
        await desk.page.evaluate(
            """async () => (await fetch("/manage/account/passkeys/options", {
                method: "POST",
                body: new URLSearchParams(new FormData(document.querySelector("form[data-passkey]"))),
            })).text()"""
        )
    )["publicKey"]
    options = {key: options[key] for key in ("challenge", "timeout")} | {"rpId": "localhost"}
    answer = await desk.answer(desk.page, options)
    assert (await desk.send(answer))[0] == 401


async def test_an_answer_for_another_origin_is_refused(desk: Desk, browser: Browser, tmp_path: Path):
    made = await made_and_signed_out(desk)
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    async with running(a_config(other_folder), FakeClock()) as other:
        # Another port is another origin, though of the same relying party.
        await desk.page.goto(str(other.client.make_url("")).replace("127.0.0.1", "localhost"))
        answer = await desk.answer(desk.page, await desk.challenge())
    assert json.loads(answer)["id"] == b64url(made.id)
    assert (await desk.send(answer))[0] == 401


async def test_an_answer_for_another_relying_party_is_refused(desk: Desk):
    made = await made_and_signed_out(desk)
    (credential,) = (await desk.cdp.send("WebAuthn.getCredentials", {"authenticatorId": desk.authenticator}))[
        "credentials"
    ]
    # The same key, as if it were one for another site.
    await desk.cdp.send(
        "WebAuthn.removeCredential",
        {"authenticatorId": desk.authenticator, "credentialId": credential["credentialId"]},
    )
    await desk.page.goto(desk.origin.replace("localhost", "other.localhost"))
    await desk.cdp.send(
        "WebAuthn.addCredential",
        {
            "authenticatorId": desk.authenticator,
            "credential": {**credential, "rpId": "other.localhost"},
        },
    )
    answer = await desk.answer(desk.page, await desk.challenge(), rpId="other.localhost")
    assert json.loads(answer)["id"] == b64url(made.id)
    assert (await desk.send(answer))[0] == 401


async def test_an_answer_without_verification_is_refused(desk: Desk):
    await made_and_signed_out(desk)
    await desk.cdp.send(
        "WebAuthn.setUserVerified", {"authenticatorId": desk.authenticator, "isUserVerified": False}
    )
    answer = await desk.answer(desk.page, await desk.challenge(), userVerification="discouraged")
    assert (await desk.send(answer))[0] == 401
    # And as the page asks for it, the authenticator does not even answer.
    await desk.use()
    await desk.page.locator("form[data-passkey] [data-failed]").wait_for(state="visible")
    assert not await desk.is_signed_in()


async def test_a_passkey_without_verification_is_not_made(desk: Desk):
    await desk.sign_in()
    await desk.cdp.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": desk.authenticator})
    unable = {**AUTHENTICATOR, "hasUserVerification": False, "isUserVerified": False}
    await desk.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": unable})

    async def relax(route: Route) -> None:
        reply = await route.fetch()
        options = await reply.json()
        options["publicKey"]["authenticatorSelection"]["userVerification"] = "discouraged"
        await route.fulfill(response=reply, json=options)

    await desk.page.route("**/account/passkeys/options", relax)
    await desk.goto("/manage/account/passkeys")
    await desk.page.get_by_role("button", name="Add a passkey").click()
    await desk.page.get_by_text("The passkey could not be made").wait_for()
    assert await desk.stored() == []


async def test_a_counter_that_went_back_is_refused(desk: Desk):
    made = await made_and_signed_out(desk)
    await desk.use()
    await desk.page.wait_for_url("**/manage")
    (used,) = await desk.stored()
    assert used.counter > made.counter
    await desk.sign_out()
    for counter, status in ((0, 401), (used.counter - 1, 401), (used.counter + 5, 303)):
        (credential,) = (
            await desk.cdp.send("WebAuthn.getCredentials", {"authenticatorId": desk.authenticator})
        )["credentials"]
        await desk.cdp.send(
            "WebAuthn.removeCredential",
            {"authenticatorId": desk.authenticator, "credentialId": credential["credentialId"]},
        )
        await desk.cdp.send(
            "WebAuthn.addCredential",
            {
                "authenticatorId": desk.authenticator,
                "credential": {**credential, "signCount": counter},
            },
        )
        await desk.goto("/manage/sign-in")
        answer = await desk.answer(desk.page, await desk.challenge())
        assert (await desk.send(answer))[0] == status, counter


async def test_a_deleted_passkey_signs_nobody_in(desk: Desk):
    await desk.sign_in()
    await desk.make()
    await desk.page.get_by_role("link", name="Delete").click()
    await desk.page.get_by_role("button", name="Delete").click()
    await desk.page.wait_for_url("**/manage/account/passkeys?done=deleted")
    await desk.sign_out()
    await desk.goto("/manage/sign-in")
    await desk.use()
    await desk.page.get_by_text("This passkey was not accepted").wait_for()
    assert not await desk.is_signed_in()


async def test_a_passkey_is_renamed(desk: Desk):
    await desk.sign_in()
    await desk.make()
    await desk.page.get_by_label("Name", exact=True).fill("Phone")
    await desk.page.get_by_role("button", name="Rename").click()
    await desk.page.get_by_role("heading", name="Phone").wait_for()
    assert [each.name for each in await desk.stored()] == ["Phone"]
    assert "<time" not in await desk.page.locator("main").inner_text()
    assert await desk.page.locator("main time").count() == 1  # when it was made


async def test_the_pages_of_passkeys_have_no_fault_of_accessibility(desk: Desk, tmp_path: Path):
    await desk.sign_in()
    await desk.make()
    for path in ("/manage/account/passkeys", "/manage/sign-in/again"):
        await desk.goto(path)
        assert await violations(desk.page, "main") == {}, path
        for width in (320, 390, 1440):
            await desk.page.set_viewport_size({"width": width, "height": 844})
            assert await beyond(desk.page) == [], (path, width)
    await desk.sign_out()
    await desk.goto("/manage/sign-in")
    assert await violations(desk.page, "main") == {}


async def test_a_passkey_proves_once_more_who_one_is(desk: Desk):
    await desk.sign_in()
    await desk.make()
    desk.service.clock.now += 700
    await desk.goto("/manage/account/passkeys")
    assert "/manage/sign-in/again" in desk.page.url
    await desk.use("Use a passkey")
    await desk.page.wait_for_url("**/manage/account/passkeys")
    assert desk.faults == []


async def test_an_invited_person_makes_a_passkey_instead_of_a_password(desk: Desk):
    grace = await a_person(desk.service, "grace", password=None)
    database: Database = desk.service.app[keys.DATABASE]
    secret = await database.write(links.invite, grace, COMMAND, desk.service.clock())
    await desk.goto(f"/manage/invitation/{secret}")
    await desk.page.get_by_role("button", name="Make a passkey and sign in").click()
    await desk.page.wait_for_url("**/manage")
    assert await desk.page.get_by_role("link", name="grace").count() == 1
    await desk.sign_out()
    await desk.goto("/manage/sign-in")
    await desk.use()
    await desk.page.wait_for_url("**/manage")
    assert desk.faults == []
    async with a_browser(desk.service) as other:
        assert (await other.open(f"/manage/invitation/{secret}", None)).status == 404  # it was used


async def test_a_link_does_not_replace_a_second_factor_by_a_passkey(desk: Desk):
    grace = await a_person(desk.service, "grace")
    database: Database = desk.service.app[keys.DATABASE]
    secret = await database.write(links.invite, grace, COMMAND, desk.service.clock())
    await desk.goto(f"/manage/invitation/{secret}")  # before the codes are there, so that it has the button
    await database.write(people.set_codes, grace.id, b"k" * 20, 0, [], COMMAND, desk.service.clock())
    await desk.page.get_by_role("button", name="Make a passkey and sign in").click()
    await desk.page.get_by_text("Your second factor is asked for afterwards").wait_for()
    assert await desk.page.get_by_role("button", name="Make a passkey and sign in").count() == 0
    assert not await desk.is_signed_in()
    assert await desk.stored() == []


async def test_a_session_that_ended_meanwhile_is_not_renewed(desk: Desk):
    await desk.sign_in()
    await desk.make()
    desk.service.clock.now += 700
    await desk.goto("/manage/account/passkeys")
    cookie = await desk.cookie()
    signed_in = await desk.service.app[SESSIONS].find(cookie)
    used = PasskeySignIn._pass_again

    def late(*args: Any) -> str | None:
        sessions.end(args[1], signed_in.digest)  # between the look at the cookie and the write
        return used(*args)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PasskeySignIn, "_pass_again", late)
        await desk.use("Use a passkey")
        await desk.page.wait_for_load_state()
        await desk.page.get_by_text("this session has ended").wait_for()
    assert await desk.cookie() == cookie


async def test_a_passkey_does_not_outlive_the_access_that_a_provider_gives(desk: Desk):
    await desk.sign_in()
    made = await desk.make()

    def known_elsewhere_only(session: Session) -> None:
        session.execute("UPDATE people SET password = NULL WHERE id = ?", (made.person,))
        session.execute(
            "INSERT INTO identities VALUES ('https://login.example.org', 'a-1', ?)", (made.person,)
        )

    database: Database = desk.service.app[keys.DATABASE]
    await database.write(known_elsewhere_only)
    await desk.goto("/manage/account/passkeys")
    await desk.page.get_by_text("a passkey here only confirms who you are").wait_for()
    await desk.sign_out()
    await desk.goto("/manage/sign-in")
    await desk.use()
    await desk.page.get_by_text("This passkey was not accepted").wait_for()
    assert not await desk.is_signed_in()


async def test_without_a_public_address_no_passkey_is_offered(desk: Desk):
    desk.service.change("server", public_url="")
    await desk.goto("/manage/sign-in")
    assert await desk.page.locator("form[data-passkey]").count() == 0
    assert (await desk.post("/manage/sign-in/passkey/options", {}))[0] == 404
