"""Invitations, one's own account, and the screens of people, as a browser without scripts uses them."""

import re
from base64 import b32decode
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pyotp
import pytest
from structlog.testing import capture_logs

from kener_async import keys
from kener_async.config.model import Category
from kener_async.domain.people import Person, Role
from kener_async.identity import links
from kener_async.identity import sign_in as sign_in_steps
from kener_async.identity.sessions import LOOPBACK_COOKIE
from kener_async.locales.locale import Locale
from kener_async.store import people
from kener_async.web.manage.sentences import SENTENCES
from tests.rigs.html_client import HtmlClient, Screen
from tests.rigs.mail_server import mail_server
from tests.rigs.people import COMMAND, PASSWORD, a_browser, a_person, a_session, sign_in, signed_in
from tests.rigs.service import Service

NEW = "several new words here"


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[HtmlClient]:
    """Of a visitor."""
    async with a_browser(service) as browser:
        yield browser


@pytest.fixture
async def ada(service: Service) -> AsyncIterator[HtmlClient]:
    """Of ada, an admin who signed in just now."""
    async with signed_in(service, await a_person(service)) as browser:
        yield browser


async def written(service: Service, work: Any, *args: Any) -> Any:
    return await service.app[keys.DATABASE].write(work, *args)


async def audited(service: Service) -> list[str]:
    """The acts in the audit log, oldest first."""
    rows = await service.app[keys.DATABASE].read(
        lambda session: session.execute("SELECT act FROM audit ORDER BY id").fetchall()
    )
    return [act for (act,) in rows]


async def is_in(browser: HtmlClient, cookie: str | None = None) -> bool:
    """Whether a browser, or another one with this cookie, is signed in."""
    other = HtmlClient(browser.session, browser.origin)
    other.cookies = {LOOPBACK_COOKIE: cookie or browser.cookies.get(LOOPBACK_COOKIE, "")}
    return (await other.open("/manage/account", None)).path == "/manage/account"


class TestInvitation:
    async def invite(self, service: Service, person: Person) -> str:
        secret = await written(service, links.invite, person, COMMAND, service.clock())
        return f"/manage/invitation/{secret}"

    async def test_a_person_sets_a_password_and_is_signed_in(self, service: Service, browser: HtmlClient):
        path = await self.invite(service, await a_person(service, password=None))
        screen = await browser.open(path)
        assert "Welcome, \u2068ada\u2069" in screen.said or "Welcome, ada" in screen.said
        screen = await screen.press("Set password and sign in", password=NEW, repeated=NEW)
        assert screen.path == "/manage"
        browser.cookies.clear()
        assert (await sign_in(browser, "ada", NEW)).path == "/manage"

    async def test_a_link_is_good_once(self, service: Service, browser: HtmlClient):
        path = await self.invite(service, await a_person(service, password=None))
        screen = await browser.open(path)
        await screen.press("Set password and sign in", password=NEW, repeated=NEW)
        browser.cookies.clear()
        assert "was used before" in (await browser.open(path, 404)).said
        form = screen.form("Set password and sign in").fill(password=PASSWORD, repeated=PASSWORD)
        form.fields = [(name, "x" * 20 if name == "form_key" else value) for name, value in form.fields]
        await form.submit(status=404)
        assert (await sign_in(browser, "ada", NEW)).path == "/manage"

    @pytest.mark.parametrize(("seconds", "status"), [(86_399, 200), (86_400, 404)])
    async def test_a_link_is_good_for_a_day(
        self, service: Service, browser: HtmlClient, seconds: int, status: int
    ):
        path = await self.invite(service, await a_person(service, password=None))
        service.pass_time(seconds)
        await browser.open(path, status)

    async def test_a_form_without_its_key_is_shown_again(self, service: Service, browser: HtmlClient):
        path = await self.invite(service, await a_person(service, password=None))
        form = (await browser.open(path)).form("Set password and sign in").fill(password=NEW, repeated=NEW)
        sent, form.fields = form.fields, [pair for pair in form.fields if pair[0] != "form_key"]
        assert "incomplete" in (await form.submit(status=403)).said
        form.fields = sent
        assert (await form.submit()).path == "/manage"

    async def test_a_new_password_voids_a_link(self, service: Service, browser: HtmlClient):
        person = await a_person(service)
        path = await self.invite(service, person)
        await written(service, people.set_password, person.id, person.password, COMMAND, service.clock())
        await browser.open(path, 404)

    async def test_a_new_link_voids_the_one_before(self, service: Service, browser: HtmlClient):
        person = await a_person(service, password=None)
        first, second = await self.invite(service, person), await self.invite(service, person)
        await browser.open(first, 404)
        await browser.open(second, 200)

    async def test_a_link_is_not_logged(self, service: Service, browser: HtmlClient):
        service.change("log", requests="all")
        path = await self.invite(service, await a_person(service, password=None))
        with capture_logs() as logs:
            await browser.open(path)
        assert "/manage/invitation/***" in str(logs)
        assert path.rpartition("/")[2] not in str(logs)

    @pytest.mark.parametrize(
        ("password", "repeated", "error"),
        [
            ("short", "short", "must have at least 12 characters"),
            ("x" * 129, "x" * 129, "must have at most 128 characters"),
            ("qwertyqwerty", "qwertyqwerty", "is one of those that are used most and tried first"),
            (NEW, NEW + "!", "is not the same as above"),
        ],
    )
    async def test_a_password_that_is_not_good_is_refused_beside_its_field(
        self, service: Service, browser: HtmlClient, password: str, repeated: str, error: str
    ):
        path = await self.invite(service, await a_person(service, password=None))
        screen = await browser.open(path)
        screen = await screen.press("Set password and sign in", 400, password=password, repeated=repeated)
        assert error in screen.said
        assert password not in screen.body or len(password) < 6
        await screen.press("Set password and sign in", password=NEW, repeated=NEW)

    async def test_a_second_factor_stays_and_is_asked_for(self, service: Service, browser: HtmlClient):
        person = await a_person(service)
        await written(service, people.set_codes, person.id, b"k" * 20, 0, [], COMMAND, service.clock())
        screen = await browser.open(await self.invite(service, person))
        screen = await screen.press("Set password and sign in", password=NEW, repeated=NEW)
        assert screen.path == "/manage/second-step"
        assert LOOPBACK_COOKIE not in browser.cookies


class TestPassword:
    async def change(self, ada: HtmlClient, status: int = 200, **values: str) -> Screen:
        typed = {"current": PASSWORD, "password": NEW, "repeated": NEW} | values
        return await (await ada.open("/manage/account")).press("Change password", status, **typed)

    async def test_it_ends_all_sessions_and_begins_a_new_one(self, service: Service, ada: HtmlClient):
        async with a_browser(service) as other:
            await sign_in(other)
            before = ada.cookies[LOOPBACK_COOKIE]
            screen = await self.change(ada)
            assert screen.path == "/manage/account?done=password"
            assert not await is_in(ada, before)
            assert not await is_in(other)
            assert await is_in(ada)
        assert (await audited(service))[-2:] == ["person.password", "session.begin"]

    async def test_the_password_until_now_must_be_right(self, service: Service, ada: HtmlClient):
        assert "is wrong" in (await self.change(ada, 400, current="wrong words here")).said
        async with a_browser(service) as other:
            assert (await sign_in(other)).path == "/manage"

    async def test_guesses_at_it_are_slowed(self, service: Service, ada: HtmlClient):
        for _ in range(5):
            await self.change(ada, 400, current="wrong words here")
        assert "Too many tries" in (await self.change(ada, 429)).said

    async def test_without_one_a_fresh_person_sets_one(self, service: Service):
        person = await a_person(service, password=None)
        values = {"password": NEW, "repeated": NEW}
        async with signed_in(service, person, fresh_ago=600) as browser:
            await (await browser.open("/manage/account")).press("Set password", 403, **values)
        async with signed_in(service, person) as browser:
            await (await browser.open("/manage/account")).press("Set password", 200, **values)


class TestCodes:
    async def set_up(self, service: Service, browser: HtmlClient) -> tuple[Screen, pyotp.TOTP]:
        screen = await browser.open("/manage/account/codes")
        key = re.findall(r"\b(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}\b", screen.said)[0].replace(" ", "")
        assert len(b32decode(key)) == 20
        assert "<svg" in screen.body
        totp = pyotp.TOTP(key)
        return await screen.press("Use these codes", code=totp.at(service.clock())), totp

    async def test_they_are_set_up_with_the_first_code(self, service: Service, ada: HtmlClient):
        before = ada.cookies[LOOPBACK_COOKIE]
        screen, totp = await self.set_up(service, ada)
        shown = re.findall(r"\b[0-9a-z]{4}(?:-[0-9a-z]{4}){3}\b", screen.said)
        assert len(set(shown)) == 10
        assert not await is_in(ada, before)
        assert "10 recovery codes are left." in (await screen.follow("I have stored them")).said
        async with a_browser(service) as other:
            screen = await sign_in(other)
            await screen.press("Sign in", 401, code=totp.at(service.clock()))  # set up with it
            assert (await screen.press("Sign in", code=shown[3])).path == "/manage"
        assert "9 recovery codes are left." in (await ada.open("/manage/account")).said

    async def test_a_wrong_code_keeps_the_secret(self, service: Service, ada: HtmlClient):
        screen = await ada.open("/manage/account/codes")
        [image] = re.findall("<svg.*</svg>", screen.body, re.DOTALL)[-1:]
        screen = await screen.press("Use these codes", 400, code="000000")
        assert image in screen.body
        assert "is wrong" in screen.said

    async def test_a_resend_shows_no_codes_again(self, service: Service, ada: HtmlClient):
        screen = await ada.open("/manage/account/codes")
        form = screen.form("Use these codes")
        key = re.findall(r"\b(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}\b", screen.said)[0].replace(" ", "")
        form.fill(code=pyotp.TOTP(key).at(service.clock()))
        await form.submit()
        again = await form.submit(status=403)  # the session is another one
        assert "I have stored them" not in again.said

    async def test_setting_them_up_wants_it_fresh(self, service: Service):
        async with signed_in(service, await a_person(service), fresh_ago=600) as browser:
            screen = await browser.open("/manage/account/codes")
            assert screen.path == "/manage/sign-in/again?next=%2Faccount%2Fcodes"
            assert (await screen.press("Go on", password=PASSWORD)).path == "/manage/account/codes"

    async def test_they_are_removed(self, service: Service, ada: HtmlClient):
        await self.set_up(service, ada)
        screen = await ada.open("/manage/account/codes/remove")
        screen = await screen.press("Remove codes")
        assert "Codes are removed" in screen.said
        async with a_browser(service) as other:
            assert (await sign_in(other)).path == "/manage"

    async def test_new_recovery_codes_void_those_before(self, service: Service, ada: HtmlClient):
        first, _ = await self.set_up(service, ada)
        second = await (await ada.open("/manage/account")).press("New recovery codes")
        pattern = r"\b[0-9a-z]{4}(?:-[0-9a-z]{4}){3}\b"
        old, new = re.findall(pattern, first.said), re.findall(pattern, second.said)
        assert not set(old) & set(new)
        async with a_browser(service) as other:
            screen = await sign_in(other)
            await screen.press("Sign in", 401, code=old[0])
            await screen.press("Sign in", 200, code=new[0])

    async def test_where_one_is_required_nothing_goes_before_it(self, service: Service, browser: HtmlClient):
        await a_person(service)
        service.change("manage", second_factor="required")
        screen = await sign_in(browser)
        assert screen.path == "/manage/account/codes"
        assert (await browser.open("/manage/people")).path == "/manage/account/codes"
        await self.set_up(service, browser)
        assert (await browser.open("/manage")).path == "/manage"
        await (await browser.open("/manage/account/codes/remove")).press("Remove codes", 400)


class TestSessions:
    async def test_one_is_ended(self, service: Service, ada: HtmlClient):
        async with a_browser(
            service, {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0"}
        ) as other:
            await sign_in(other)
            screen = await ada.open("/manage/account")
            assert "Firefox, Linux" in screen.said
            assert (await screen.press("End")).path == "/manage/account?done=ended"
            assert not await is_in(other)
        assert await is_in(ada)
        assert (await audited(service))[-1] == "session.end"

    async def test_that_of_another_person_is_not(self, service: Service, ada: HtmlClient):
        async with signed_in(service, await a_person(service, "grace")) as other:
            await sign_in(await self.twice(other), "grace")
            form = (await other.open("/manage/account")).form("End")
            form.screen.client = ada
            mine = (await ada.open("/manage/account")).form("Sign out everywhere").fields
            form.fields = [*mine, ("session", form.value("session"))]
            await form.submit(status=404)
            assert await is_in(other)

    async def twice(self, browser: HtmlClient) -> HtmlClient:
        return HtmlClient(browser.session, browser.origin)

    async def test_all_are_ended(self, service: Service, ada: HtmlClient):
        async with a_browser(service) as other:
            await sign_in(other)
            screen = await (await ada.open("/manage/account")).press("Sign out everywhere")
            assert screen.path == "/manage/sign-in?done=signed-out"
            assert not await is_in(other)
        assert ada.cookies == {}
        assert (await audited(service))[-1] == "session.end-all"


class TestDisplay:
    async def test_language_and_zone_hold_from_the_next_page_on(self, service: Service, ada: HtmlClient):
        screen = await ada.open("/manage/account")
        screen = await screen.form(action="/display").fill(locale="de", zone="Asia/Tokyo").submit()
        assert 'lang="de"' in screen.body
        assert "Asia/Tokyo" in screen.body

    async def test_an_unknown_zone_is_refused(self, service: Service, ada: HtmlClient):
        form = (await ada.open("/manage/account")).form(action="/display")
        screen = await form.fill(zone="Mars/Olympus").submit(status=400)
        assert "is not the name of a zone" in screen.said
        assert screen.form(action="/display").value("zone") == "Mars/Olympus"


class TestPeople:
    @pytest.fixture(autouse=True)
    def categories(self, service: Service) -> None:
        running = service.app[keys.RUNNING]
        running.config = replace(
            running.config, categories=(Category("Planets", "", False), Category("Moons", "", False))
        )

    async def grace(self, ada: HtmlClient, **values: Any) -> Screen:
        screen = await ada.open("/manage/people/new")
        return await screen.press("Invite", **({"name": "grace", "role": "editor"} | values))

    async def test_an_admin_invites_a_person(self, service: Service, ada: HtmlClient, browser: HtmlClient):
        screen = await self.grace(ada, is_limited="some", categories=["Moons"], email="grace@example.org")
        [link] = re.findall(r"http://\S+/manage/invitation/\S+", screen.said)
        screen = await browser.open(link.removeprefix(browser.origin))
        await screen.press("Set password and sign in", password=NEW, repeated=NEW)
        grace = await service.app[keys.DATABASE].read(people.named, "grace")
        assert (grace.role, grace.categories, grace.email) == (Role.EDITOR, ("Moons",), "grace@example.org")
        assert "grace" in (await ada.open("/manage/people")).said

    async def test_a_link_is_mailed_where_there_is_a_mail_server(
        self, service: Service, ada: HtmlClient, browser: HtmlClient
    ):
        async with mail_server() as rig:
            running = service.app[keys.RUNNING]
            mail = replace(
                running.config.mail,
                **{"host": "127.0.0.1", "port": rig.port, "security": "none"},
                sender="Status <status@example.org>",
            )
            running.config = replace(running.config, mail=mail)
            screen = await self.grace(ada, email="grace@example.org")
            assert "Sent to grace@example.org." in screen.said
            [sent] = rig.mails
        assert (sent["To"], sent["Subject"]) == ("grace@example.org", "Invitation to Status")
        [link] = re.findall(r"http://\S+/manage/invitation/\S+", sent.get_content())
        assert link in screen.said
        await browser.open(link.removeprefix(browser.origin), 200)

    async def test_a_mail_server_that_is_away_is_named_and_the_link_is_there(
        self, service: Service, ada: HtmlClient
    ):
        service.change("mail", host="127.0.0.1", port=1, security="none", sender="status@example.org")
        screen = await self.grace(ada, email="grace@example.org")
        assert "It could not be sent to grace@example.org" in screen.said
        assert "/manage/invitation/" in screen.said

    @pytest.mark.parametrize(
        ("values", "error"),
        [
            ({"name": "ADA"}, "there is a person ADA already"),
            ({"name": ""}, "is missing"),
            ({"email": "grace"}, "must be an address such as ada@example.org"),
            ({"is_limited": "some"}, "choose at least one, or all monitors"),
        ],
    )
    async def test_a_form_that_is_not_good_is_refused(
        self, service: Service, ada: HtmlClient, values: dict[str, Any], error: str
    ):
        screen = await ada.open("/manage/people/new")
        screen = await screen.press("Invite", 400, **({"name": "grace", "role": "editor"} | values))
        assert error in screen.said
        assert len(await service.app[keys.DATABASE].read(people.all_people)) == 1

    async def test_another_role_holds_from_the_next_request_on(self, service: Service, ada: HtmlClient):
        grace = await a_person(service, "grace")
        async with signed_in(service, grace) as other:
            screen = await ada.open(f"/manage/people/{grace.id}")
            await screen.press("Save", role="viewer")
            assert not await is_in(other)
            await sign_in(other, "grace")
            await other.open("/manage/people", 403)

    async def test_an_address_alone_ends_no_session(self, service: Service, ada: HtmlClient):
        grace = await a_person(service, "grace")
        async with signed_in(service, grace) as other:
            await (await ada.open(f"/manage/people/{grace.id}")).press("Save", email="grace@example.org")
            assert await is_in(other)

    async def test_a_person_is_deactivated_and_activated(self, service: Service, ada: HtmlClient):
        grace = await a_person(service, "grace")
        async with signed_in(service, grace) as other:
            screen = await (await ada.open(f"/manage/people/{grace.id}")).follow("Deactivate")
            screen = await screen.press("Deactivate")
            assert not await is_in(other)
            assert (await sign_in(other, "grace")).status == 401
            await screen.press("Activate")
            assert (await sign_in(other, "grace")).path == "/manage"

    async def test_the_last_admin_stays(self, service: Service, ada: HtmlClient):
        [number] = [one.id for one in await service.app[keys.DATABASE].read(people.all_people)]
        screen = await ada.open(f"/manage/people/{number}")
        assert "this is the last admin" in (await screen.press("Save", 400, role="editor")).said
        screen = await ada.open(f"/manage/people/{number}/deactivate")
        assert "this is the last admin" in (await screen.press("Deactivate", 400)).said

    async def test_a_second_factor_is_reset(self, service: Service, ada: HtmlClient):
        grace = await a_person(service, "grace")
        await written(service, people.set_codes, grace.id, b"k" * 20, 0, [], COMMAND, service.clock())
        screen = await (await ada.open(f"/manage/people/{grace.id}")).follow("Reset second factor")
        await screen.press("Reset second factor")
        async with a_browser(service) as other:
            assert (await sign_in(other, "grace")).path == "/manage"

    async def test_sessions_of_another_person_are_ended(self, service: Service, ada: HtmlClient):
        grace = await a_person(service, "grace")
        async with signed_in(service, grace) as other:
            await (await ada.open(f"/manage/people/{grace.id}")).press("End their sessions")
            assert not await is_in(other)

    async def test_of_one_who_is_not_there_nothing_is_recorded(self, service: Service, ada: HtmlClient):
        grace = await a_person(service, "grace")
        form = (await ada.open(f"/manage/people/{grace.id}")).form("End their sessions")
        form.action = form.action.replace(f"/people/{grace.id}/", f"/people/{grace.id + 1}/")
        await form.submit(status=404)
        assert "session.end-all" not in await audited(service)

    async def test_it_wants_an_admin_of_all_who_signed_in_just_now(self, service: Service):
        admin = await a_person(service)
        async with signed_in(service, admin, fresh_ago=600) as browser:
            screen = await browser.open("/manage/people")
            assert screen.path == "/manage/sign-in/again?next=%2Fpeople"
        limited = await a_person(service, "grace", categories=["Moons"])
        async with signed_in(service, limited) as browser:
            await browser.open("/manage/people", 403)

    async def test_every_change_leaves_one_row(self, service: Service, ada: HtmlClient):
        await self.grace(ada)
        grace = await service.app[keys.DATABASE].read(people.named, "grace")
        page = f"/manage/people/{grace.id}"
        await (await ada.open(page)).press("Save", role="viewer", email="grace@example.org")
        await (await ada.open(page)).press("New link")
        await a_session(service, grace)
        await (await ada.open(page)).press("End their sessions")
        await (await ada.open(f"{page}/reset-factor")).press("Reset second factor")
        await (await ada.open(f"{page}/deactivate")).press("Deactivate")
        await (await ada.open(page)).press("Activate")
        assert (await audited(service))[-10:] == [
            "person.add",
            "person.invite",
            "person.change",
            "person.change",
            "person.invite",
            "session.begin",
            "session.end-all",
            "person.reset-factor",
            "person.deactivate",
            "person.activate",
        ]


class TestLanguage:
    """Errors are translated, though they are raised in English."""

    def test_the_sentences_of_signing_in_are_among_those_that_are_translated(self):
        raised = {sign_in_steps.WRONG, sign_in_steps.WRONG_CODE, sign_in_steps.WRONG_PROOF, links.GONE}
        assert raised <= SENTENCES

    async def test_they_are_shown_in_the_language_of_the_page(
        self, service: Service, browser: HtmlClient, monkeypatch: pytest.MonkeyPatch
    ):
        await a_person(service)
        monkeypatch.setattr(Locale, "gettext", lambda self, text: f"<{text}>")
        browser.headers["Accept-Language"] = "de"
        screen = await browser.open("/manage/sign-in")
        typed = {"name": "ada", "password": "wrong words here"}
        screen = await screen.form(action="/sign-in").fill(**typed).submit(status=401)
        assert "<The name or the password is wrong.>" in screen.said
        for _ in range(5):
            screen = await screen.form(action="/sign-in").fill(**typed).submit(status=None)
        assert "<Too many tries: wait 2 s and try again.>" in screen.said
