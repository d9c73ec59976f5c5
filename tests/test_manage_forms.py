"""Each form of the signed-in side: what our own page of this session did not send changes nothing.

The forms are those that a browser without JavaScript finds on the pages, filled in so that they would act.
"""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pyotp
import pytest
from aiohttp import FormData

from kener_async import keys
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.people import Person
from kener_async.identity import forms
from kener_async.identity.sessions import COOKIE, LOOPBACK_COOKIE, Sessions
from kener_async.store import channel_states, notices, passkeys, people
from kener_async.store.passkeys import Passkey
from kener_async.web.manage.form_views import KEY_FIELD, TOKEN_FIELD
from kener_async.web.manage.frame import SESSIONS
from tests.rigs import manage_site
from tests.rigs.html_client import Fields, Form, HtmlClient, Screen
from tests.rigs.people import ACT, COMMAND, PASSWORD, a_session, facts, signed_in
from tests.rigs.service import Service
from tests.test_manage_access import Route, in_table

ROUTES = sorted(
    (route for route in in_table() if route.method == "POST" and route.act is not None),
    key=lambda route: route.path,
)
# Forms that a script fills in, of which other tests show how they act, and one that only a process has.
BY_SCRIPT = [route for route in ROUTES if "passkey" in route.path or route.path == "/manage/settings/reload"]
BY_HAND = [route for route in ROUTES if route not in BY_SCRIPT]
# What is typed into the fields of a form that are empty or would change nothing, by the path of its route.
TYPED: dict[str, dict[str, Any]] = {
    "/manage/sign-in/again": {"password": PASSWORD},
    "/manage/account/display": {"locale": "de"},
    "/manage/account/password": {"current": PASSWORD, "password": f"{PASSWORD}!", "repeated": f"{PASSWORD}!"},
    "/manage/incidents/new": {"title": "Slow", "text": "We look.", "monitors": ["web"]},
    "/manage/incidents/{number}/edit": {"title": "Another title"},
    "/manage/incidents/{number}/postmortem": {"text": "We learned."},
    "/manage/incidents/{number}/updates": {"text": "Still looking."},
    "/manage/incidents/{number}/updates/{update}": {"text": "Another text."},
    "/manage/maintenance/new": {"title": "Updates", "monitors": ["web"]},
    "/manage/maintenance/{number}/move": {"start": "2026-01-03T12:00"},
    "/manage/maintenance/series/{name}/edit": {"title": "Other updates"},
    "/manage/templates/new": {"name": "down", "title": "{monitors} not working", "text": "We look."},
    "/manage/templates/{name}/edit": {"title": "Another title"},
    "/manage/announcements/new": {"name": "disks", "title": "Short of disks"},
    "/manage/announcements/{name}/edit": {"title": "Another title"},
    "/manage/tokens/new": {"name": "site 7"},
    "/manage/people/new": {"name": "alan"},
    "/manage/people/{number}": {"email": "someone@example.org"},
}
BUTTON = {"/manage/incidents/new": "Save as a draft"}  # where it is not the first
# What changes nothing but sessions, so that there is no row in the log of what was changed.
OF_SESSIONS = ("/manage/sign-in/again", "/manage/sign-out")
OF_SEVERAL = (
    "/manage/acknowledge-all",
    "/manage/incidents/{number}/merge",
    "/manage/people/new",
)  # one form, several acts
OF_ONESELF = "/manage/people/1"  # of whom most acts end the session
SHOWN_ONCE = ("/account/codes", "/recovery-codes", "/link", "/people/new", "/tokens/new")  # secrets
OF_THE_WORLD = ("/manage/channels/{name}/test", "/manage/monitors/{tag}/run")  # what changes nothing here
MANY_PAGES = 120


CODE_KEY = bytes(20)


async def with_codes(service: Service) -> None:
    """Let the admin have a second step."""
    person, database = await admin(service), service.app[keys.DATABASE]
    await database.write(people.set_codes, person.id, CODE_KEY, 0, [bytes(32)], COMMAND, service.clock())


async def with_another_session(service: Service) -> None:
    await a_session(service, await admin(service))


async def with_somebody_inactive(service: Service) -> None:
    database = service.app[keys.DATABASE]
    person = await database.read(people.named, manage_site.LIMITED)
    await database.write(people.deactivate, person.id, COMMAND, service.clock())


async def nothing(_: Service) -> None: ...


async def with_a_paused_channel(service: Service) -> None:
    database = service.app[keys.DATABASE]
    await database.write(channel_states.pause, "ops", service.clock())


async def with_a_delivery_that_waits(service: Service) -> None:
    due, database = service.clock() + 3600, service.app[keys.DATABASE]
    await database.write(notices.add, NoticeKind.TEST, service.clock(), None, None, Facts(), ["ops"], due)


PREPARED: dict[str, Callable[[Service], Awaitable[None]]] = {
    "/manage/account/codes/remove": with_codes,
    "/manage/account/recovery-codes": with_codes,
    "/manage/account/sessions/end": with_another_session,
    "/manage/people/{number}/activate": with_somebody_inactive,
    "/manage/channels/{name}/resume": with_a_paused_channel,
    "/manage/deliveries/{number}/drop": with_a_delivery_that_waits,
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Service]:
    async with manage_site.managed(manage_site.config(tmp_path)) as service:
        yield service


async def admin(service: Service) -> Person:
    person = await service.app[keys.DATABASE].read(people.by_name, manage_site.ADMIN)
    assert isinstance(person, Person)
    return person


# Where the forms are


def pattern_of(path: str) -> re.Pattern[str]:
    """What the addresses of a route look like."""
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))


async def form_of(browser: HtmlClient, route: Route) -> Form:
    """The first form of a route that links lead to from the overview, those alike the route's path first."""
    todo, seen = ["/manage", "/manage/sign-in/again", "/manage/sign-out"], set[str]()
    pattern = pattern_of(route.path)
    while todo and len(seen) < MANY_PAGES:
        todo.sort(key=lambda path: (-alike(path, route.path), len(path)))
        path = todo.pop(0)
        seen.add(path)
        screen = await browser.open(path, status=None)
        if "html" not in screen.headers.get("Content-Type", ""):
            continue
        for form in screen.forms:
            if form.method == "POST" and pattern.fullmatch(urlsplit(form.action).path):
                return form
        todo += [link for link in screen.links if is_followed(link) and link not in {*seen, *todo}]
    raise AssertionError(f"no page has a form for {route.path}: {sorted(seen)}")


def is_followed(link: str) -> bool:
    is_list = "?" in link and "?from=" not in link  # the same list, filtered otherwise
    return link.startswith("/manage") and not link.startswith(OF_ONESELF) and not is_list


def alike(one: str, other: str) -> int:
    """How many segments two paths have in common, from the first one on."""
    pairs = zip(one.split("?", maxsplit=1)[0].split("/"), other.split("/"), strict=False)
    return len([*takewhile(lambda pair: pair[0] == pair[1] or "{" in pair[1], pairs)])


# How forms are sent that nobody meant to send


@dataclass(frozen=True)
class Forgery:
    """A way to send a form, and the statuses of which one must answer it."""

    statuses: tuple[int, ...]
    change: Callable[[Fields, dict[str, str]], Fields] = lambda fields, _: fields
    headers: dict[str, str | None] = field(default_factory=dict)
    body: Callable[[Fields], Any] = lambda fields: urlencode(fields).encode()
    method: str = "POST"
    in_query: bool = False


def with_token(name: str) -> Callable[[Fields, dict[str, str]], Fields]:
    return lambda fields, tokens: [
        (each, tokens[name] if each == TOKEN_FIELD else value) for each, value in fields
    ]


def without(*names: str) -> Callable[[Fields, dict[str, str]], Fields]:
    return lambda fields, _: [pair for pair in fields if pair[0] not in names]


def _multipart(fields: Fields) -> FormData:
    return FormData(fields, default_to_multipart=True)


NO_PAGE = (403,)
FORGERIES: dict[str, Forgery] = {
    "without a token": Forgery(NO_PAGE, without(TOKEN_FIELD)),
    "with an empty token": Forgery(NO_PAGE, with_token("empty")),
    "with a malformed token": Forgery(NO_PAGE, with_token("malformed")),
    "with a token of nobody": Forgery(NO_PAGE, with_token("made up")),
    "with the token of another session of the same person": Forgery(NO_PAGE, with_token("other browser")),
    "with the token of another person": Forgery(NO_PAGE, with_token("other person")),
    "with two tokens": Forgery(NO_PAGE, lambda fields, tokens: [(TOKEN_FIELD, tokens["made up"]), *fields]),
    "without a one-time key": Forgery(NO_PAGE, without(KEY_FIELD)),
    "from another origin": Forgery(NO_PAGE, headers={"Origin": "https://evil.example"}),
    "from another origin as an old browser": Forgery(
        NO_PAGE, headers={"Origin": "https://evil.example", "Sec-Fetch-Site": None}
    ),
    "from an origin that begins alike": Forgery(
        NO_PAGE, headers={"Origin": "http://127.0.0.1.evil.example", "Sec-Fetch-Site": None}
    ),
    "from another port": Forgery(NO_PAGE, headers={"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": None}),
    "from nowhere": Forgery(NO_PAGE, headers={"Origin": "null", "Sec-Fetch-Site": None}),
    "from a sandbox": Forgery(NO_PAGE, headers={"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
    "cross-site": Forgery(NO_PAGE, headers={"Sec-Fetch-Site": "cross-site"}),
    "from a sister site": Forgery(NO_PAGE, headers={"Sec-Fetch-Site": "same-site"}),
    "without saying where from": Forgery(NO_PAGE, headers={"Origin": None, "Sec-Fetch-Site": None}),
    "as JSON": Forgery(
        (415,),
        body=lambda fields: json.dumps(dict(fields)).encode(),
        headers={"Content-Type": "application/json"},
    ),
    "as text": Forgery((415,), headers={"Content-Type": "text/plain"}),
    "in parts": Forgery((415,), body=_multipart, headers={"Content-Type": None}),
    "without a type": Forgery((415,), headers={"Content-Type": None}),
    "compressed": Forgery((415,), headers={"Content-Encoding": "gzip"}),
    "too large": Forgery((413,), lambda fields, _: [*fields, ("more", "x" * 600_000)]),
    "with too many fields": Forgery((400,), lambda fields, _: [*fields, *[("more", "")] * 6000]),
    "as a GET": Forgery((200, 303, 400, 404, 405), method="GET", in_query=True),
    "as a HEAD": Forgery((200, 303, 400, 404, 405), method="HEAD", in_query=True),
    "as a PUT": Forgery((405,), method="PUT"),
    "as a DELETE": Forgery((405,), method="DELETE"),
    "as a PATCH": Forgery((405,), method="PATCH"),
}


async def forged(browser: HtmlClient, action: str, fields: Fields, forgery: Forgery) -> Screen:
    headers: dict[str, str | None] = {
        "Origin": browser.origin,
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    headers |= forgery.headers
    sent = {name: value for name, value in headers.items() if value is not None}
    if forgery.in_query:
        url = f"{action}{'&' if '?' in action else '?'}{urlencode(fields)}"
        return await browser.request(forgery.method, url, {}, is_followed=False)
    return await browser.request(forgery.method, action, sent, forgery.body(fields), is_followed=False)


async def tokens_of_others(service: Service) -> dict[str, str]:
    """Tokens of forms that are not those of the session at hand."""
    sessions: Sessions = service.app[SESSIONS]
    grace = await service.app[keys.DATABASE].read(people.by_name, manage_site.EDITOR)
    found = {"empty": "", "malformed": "x" * 64, "made up": forms.token(bytes(32))}
    for name, person in (("other browser", await admin(service)), ("other person", grace)):
        other = await sessions.find(await a_session(service, person))
        assert other is not None
        found[name] = forms.token(other.form_key)
    return found


async def filled(service: Service, browser: HtmlClient, route: Route) -> tuple[str, Fields]:
    """The address and the fields of the form of a route, as it would act."""
    form = await form_of(browser, route)
    form.fill(**TYPED.get(route.path, {}))
    if "setup" in form.names:
        secret = form.screen.document.one("code").text.replace(" ", "")
        form.fill(code=pyotp.TOTP(secret).at(service.clock()))
    labels = [button.label for button in form.buttons]
    if "Show the dates" in labels and "Plan it" not in labels:  # a series is saved after its dates were shown
        form = (await form.submit("Show the dates")).form("Save the series")
    return form.sent(BUTTON.get(route.path))


@pytest.mark.parametrize("route", BY_HAND, ids=lambda route: route.path)
async def test_a_form_acts_once_and_only_as_our_own_page_sends_it(site: Service, route: Route):
    await PREPARED.get(route.path, nothing)(site)
    async with signed_in(site, await admin(site)) as browser:
        action, fields = await filled(site, browser, route)
        before, cookies = facts(site), dict(browser.cookies)
        await refuse_forgeries(site, browser, action, fields)
        for cookie in (None, await a_session(site, await admin(site))):
            browser.cookies = {} if cookie is None else {LOOPBACK_COOKIE: cookie}
            screen = await forged(browser, action, fields, Forgery(()))
            assert screen.status == (401 if cookie is None else 403), screen.said
        assert facts(site) == before
        browser.cookies = dict(cookies)
        # As our page sends it, the same form acts: so it was refused for no other reason.
        first = await forged(browser, action, fields, Forgery(()))
        assert first.status == acted(route), first.said
        after = facts(site)
        check_audit(route, before, after)
        if browser.cookies != cookies:  # a new session has begun, or none
            return
        again = await forged(browser, action, fields, Forgery(()))
        assert again.status == 303, again.said
        assert acted(route) == 200 or path_of(again) == path_of(first)
        assert facts(site) == after


async def refuse_forgeries(service: Service, browser: HtmlClient, action: str, fields: Fields) -> None:
    """Send a form in all the ways in which our page does not: nothing may change, and no cookie."""
    tokens, before, cookies = await tokens_of_others(service), facts(service), dict(browser.cookies)
    for name, forgery in FORGERIES.items():
        screen = await forged(browser, action, forgery.change(fields, tokens), forgery)
        assert screen.status in forgery.statuses, (name, screen.status, screen.said)
        assert browser.cookies == cookies, name
    assert facts(service) == before


def check_audit(route: Route, before: dict[str, list[Any]], after: dict[str, list[Any]]) -> None:
    """What changed is in the audit log, in one row with what was there before or after."""
    if route.path in OF_SESSIONS:
        return
    assert after["audit"][: len(before["audit"])] == before["audit"]
    added = after["audit"][len(before["audit"]) :]
    assert len(added) == 1 or (route.path in OF_SEVERAL and len(added) > 1), added
    assert all(row[2] == f"person:{manage_site.ADMIN}" for row in added)
    says_what = all(row[ACT + 2] is not None or row[ACT + 3] is not None for row in added)
    assert says_what or route.path in OF_THE_WORLD, added


@pytest.mark.parametrize("route", BY_SCRIPT, ids=lambda route: route.path)
async def test_a_form_of_a_script_is_refused_but_from_our_own_page(site: Service, route: Route):
    async with signed_in(site, await admin(site)) as browser:
        site.change("server", public_url="https://status.example.org")  # else there are no passkeys
        browser.cookies = {COOKIE: browser.cookies[LOOPBACK_COOKIE]}
        passkey, now = Passkey(b"key", (await admin(site)).id, b"", 0, "phone", site.clock()), site.clock()
        await site.app[keys.DATABASE].write(passkeys.add, passkey, COMMAND, now)
        fields = [(TOKEN_FIELD, await own_token(site, browser)), (KEY_FIELD, forms.one_time_key())]
        await refuse_forgeries(site, browser, re.sub(r"\{\w+\}", "a2V5", route.path), fields)


async def own_token(service: Service, browser: HtmlClient) -> str:
    """A token for forms of the session of a browser."""
    sessions: Sessions = service.app[SESSIONS]
    found = await sessions.find(browser.cookies[COOKIE])
    assert found is not None
    return forms.token(found.form_key)


def acted(route: Route) -> int:
    """The status of a form that acted."""
    return 200 if route.path.endswith(SHOWN_ONCE) else 303


def path_of(screen: Screen) -> str:
    return urlsplit(screen.headers["Location"]).path
