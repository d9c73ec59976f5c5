"""The screens of devices and tokens: shown once, revoked at once, for people who proved who they are."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from kener_async import keys
from kener_async.config.model import Config
from kener_async.domain.people import FRESH_SECONDS, Role
from kener_async.store import tokens
from tests.rigs.html_client import HtmlClient, Screen
from tests.rigs.service import NOON, FakeClock, Service, running
from tests.test_manage_monitors import browser, config, session

__all__ = ["config", "session"]  # fixtures

HOSTILE = "<i>gate</i>&7"


@pytest.fixture
async def service(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with running(config, clock) as running_service:
        yield running_service


async def made(client: HtmlClient, **values: Any) -> Screen:
    screen = await client.open("/manage/tokens/new")
    form = screen.form("Make it")
    form.fill(**{"name": "site-7", "tags": "earth"} | values)
    return await form.submit("Make it", status=None)


def shown(screen: Screen) -> str:
    """The token of the page that shows it."""
    return next(
        each for each in screen.document.all("pre") if each.attributes.get("id") == "secret"
    ).text.strip()


async def test_a_token_is_shown_once_and_works(service: Service, session: ClientSession):
    client = await browser(service, session)
    screen = await made(client, scopes=["status:write"], lifetime="90d")
    token = shown(screen)
    beat = {"tag": "earth", "status": "UP", "latency": 1}
    assert (await service.ask("POST", "/api/status", token, json=beat | {"tag": "mars"}))[0] == 403
    assert (await service.ask("GET", "/api/monitors", token))[0] == 403
    listed = await client.open("/manage/tokens")
    assert "site-7" in listed.said
    assert token not in listed.body
    (record,) = [each for each in (await records(service)).values() if each.name == "site-7"]
    assert (record.scopes, record.tags, record.expires_at) == (
        ("status:write",),
        ("earth",),
        NOON + 90 * 86_400,
    )


async def records(service: Service) -> dict[str, tokens.Token]:
    found: dict[str, tokens.Token] = await service.app[keys.DATABASE].read(tokens.all_tokens)
    return found


async def test_a_form_sent_twice_makes_one_token(service: Service, session: ClientSession):
    client = await browser(service, session)
    before = len(await records(service))
    form = (await client.open("/manage/tokens/new")).form("Make it").fill(name="twice")
    first, second = await form.submit("Make it"), await form.submit("Make it")
    assert shown(first) not in second.body
    assert "made before" in second.said
    assert len(await records(service)) == before + 1


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"name": " "}, "is missing"),
        ({"name": "x" * 201}, "201 characters"),
        ({"scopes": []}, "choose at least one"),
        ({"kind": "push-key", "tags": "", "scopes": []}, "a push key reports one monitor"),
        ({"kind": "push-key", "tags": "site-*"}, "a push key reports one monitor"),
    ],
)
async def test_a_mistake_is_named_beside_its_field_and_what_was_typed_stays(
    service: Service, session: ClientSession, values: dict[str, Any], error: str
):
    client = await browser(service, session)
    before = await records(service)
    screen = await made(client, **values)
    assert screen.status == 400
    assert error in screen.said
    assert screen.form("Make it").value("tags") == values.get("tags", "earth")
    assert await records(service) == before


async def test_a_push_key_reports_until_it_is_revoked(service: Service, session: ClientSession):
    client = await browser(service, session)
    screen = await client.open("/manage/tokens/new?tag=luna")
    address = shown(await screen.press("Make it"))
    async with service.client.get(address) as reply:
        assert reply.status == 200
    (record,) = [each for each in (await records(service)).values() if each.digest is not None]
    asked = await client.open(f"/manage/tokens/{record.id}/revoke")
    assert "cannot be taken back" in asked.said
    done = await asked.press("Revoke it")
    assert "Revoked." in done.said
    async with service.client.get(address) as reply:
        assert reply.status == 404


async def test_revoking_holds_for_the_next_request(service: Service, session: ClientSession):
    client = await browser(service, session)
    token = shown(await made(client, scopes=["status:read"], tags=""))
    assert (await service.ask("GET", "/api/monitors", token))[0] == 200
    (record,) = [each for each in (await records(service)).values() if each.name == "site-7"]
    await (await client.open(f"/manage/tokens/{record.id}/revoke")).press("Revoke it")
    assert (await service.ask("GET", "/api/monitors", token))[0] == 401
    assert "site-7" in (await client.open("/manage/tokens?state=revoked")).said
    assert "site-7" not in (await client.open("/manage/tokens?state=valid")).said


async def test_names_with_markup_are_text(service: Service, session: ClientSession):
    client = await browser(service, session)
    screen = await made(client, name=HOSTILE)
    assert HOSTILE in screen.said
    for path in ("", "?q=gate"):
        listed = await client.open(f"/manage/tokens{path}")
        assert HOSTILE in listed.said
        assert "<i>gate" not in listed.body


@pytest.mark.parametrize("path", ["/tokens", "/tokens/new", "/tokens/token-0/revoke", "/devices/1/forget"])
async def test_only_admins_who_have_just_signed_in_get_there(
    service: Service, session: ClientSession, clock: FakeClock, path: str
):
    for role in (Role.VIEWER, Role.RESPONDER, Role.EDITOR):
        await (await browser(service, session, role)).open(f"/manage{path}", 403)
    client = await browser(service, session)
    clock.now += FRESH_SECONDS
    screen = await client.request("GET", f"/manage{path}", is_followed=False)
    assert screen.status == 303
    assert "/manage/sign-in" in screen.headers["Location"]


# Devices


async def report(service: Service, name: str, tag: str) -> None:
    sample = {"tag": tag, "status": "UP", "latency": 1, "timestampInSeconds": NOON - 660}
    batch = {"device": name, "sentAt": NOON - 600, "samples": [sample | {"seq": 5}, sample | {"seq": 9}]}
    assert (await service.ask("POST", "/api/status/batch", json=batch))[0] == 200


async def test_devices_show_clock_missing_numbers_and_monitors(service: Service, session: ClientSession):
    await report(service, HOSTILE, "mars")
    screen = await (await browser(service, session, Role.VIEWER)).open("/manage/devices")
    assert HOSTILE in screen.said
    assert "<i>gate" not in screen.body
    assert "10 min behind" in screen.said
    assert "mars" in screen.said
    assert not [link for link in screen.links if "/forget" in link or "/revoke" in link]


async def test_a_device_is_forgotten_after_it_was_asked(service: Service, session: ClientSession):
    await report(service, "gate-7", "mars")
    client = await browser(service, session)
    asked = await (await client.open("/manage/devices")).follow("Forget")
    assert "gate-7" in asked.said
    done = await asked.press("Forget it")
    assert "Forgotten." in done.said
    assert "gate-7" not in done.said
    await client.open("/manage/devices/1/forget", 404)


async def test_devices_of_other_categories_are_not_there(service: Service, session: ClientSession):
    await report(service, "gate-7", "mars")
    await report(service, "gate-8", "luna")
    screen = await (await browser(service, session, Role.EDITOR, ("Planets",))).open("/manage/devices")
    assert "gate-7" in screen.said
    assert "gate-8" not in screen.body


async def test_the_list_of_screens_has_those_that_a_role_may_see(service: Service, session: ClientSession):
    viewer = await (await browser(service, session, Role.VIEWER)).open("/manage/more")
    assert "/manage/alerts" in viewer.links
    main = [link.attributes["href"] for part in viewer.document.all("main") for link in part.all("a")]
    assert "/manage/tokens" not in main
    admin = await (await browser(service, session, Role.ADMIN)).open("/manage/more")
    assert "/manage/tokens" in admin.links
    assert "/manage/rules" in admin.links
