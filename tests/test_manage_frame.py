"""The frame of the signed-in screens: who gets in, what is refused, and that nothing typed is lost."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from kener_async import keys
from kener_async.identity.sessions import LOOPBACK_COOKIE
from kener_async.web.manage.form_bodies import ANONYMOUS_BUDGET, AnonymousBudget
from tests.rigs.people import a_person, a_session, signed_in
from tests.rigs.service import FakeClock, Service, a_config, running


async def test_without_a_person_there_is_one_sentence(service: Service):
    async with service.client.get("/manage") as reply:
        assert reply.status == 404
        assert await reply.text() == "no person yet: kener-async person add --role admin NAME"


async def test_without_a_session_one_is_led_to_sign_in_and_back(service: Service):
    await a_person(service)
    async with service.client.get("/manage?open=1", allow_redirects=False) as reply:
        assert reply.status == 303
        assert reply.headers["Location"] == "/manage/sign-in?next=%3Fopen%3D1"
        assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_signed_in_person_sees_the_overview(service: Service, method: str):
    cookie = await a_session(service, await a_person(service))
    async with service.client.request(method, "/manage", cookies={LOOPBACK_COOKIE: cookie}) as reply:
        assert reply.status == 200
        assert reply.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
        assert ("ada" in await reply.text()) == (method == "GET")


async def test_a_slash_at_the_end_leads_to_the_address_without_it(service: Service):
    cookie = await a_session(service, await a_person(service))
    async with service.client.get(
        "/manage/incidents/", cookies={LOOPBACK_COOKIE: cookie}, allow_redirects=False
    ) as reply:
        assert (reply.status, reply.headers["Location"]) == (308, "/manage/incidents")


async def test_only_the_allowed_networks_reach_the_screens(service: Service):
    await a_person(service)
    service.change("manage", allowed_ips=(ip_network("192.0.2.0/24"),))
    for path in ("/manage", "/manage/sign-in"):
        async with service.client.get(path, allow_redirects=False) as reply:
            assert reply.status == 404
            assert "person" not in await reply.text()


async def test_all_screens_are_below_both_paths(tmp_path: Path):
    config = a_config(tmp_path)
    server = replace(config.server, base_path="/status", manage_path="/team/desk")
    async with running(replace(config, server=server), FakeClock()) as service:
        cookie = await a_session(service, await a_person(service))
        async with service.client.get("/manage") as reply:
            assert reply.status == 404
        for path in ("/team/desk/incidents", "/status/team/desk/incidents"):  # stripped by a proxy, or not
            async with service.client.get(path, cookies={LOOPBACK_COOKIE: cookie}) as reply:
                assert reply.status == 200
                assert 'href="/status/team/desk/incidents/new"' in await reply.text()


async def test_without_a_manage_path_there_is_no_screen(tmp_path: Path):
    config = a_config(tmp_path)
    server = replace(config.server, manage_path="")
    async with running(replace(config, server=server), FakeClock()) as service:
        await a_person(service)
        async with service.client.get("/manage") as reply:
            assert reply.status == 404
            assert "not found" in await reply.text()


async def test_a_refresh_by_the_script_keeps_no_idle_session_alive(service: Service):
    cookie = await a_session(service, await a_person(service))
    idle = service.app[keys.RUNNING].config.manage.session_idle
    cookies, refresh = {LOOPBACK_COOKIE: cookie}, {"X-Kener-Refresh": "1"}
    for _ in range(4):
        service.pass_time(idle // 4 - 1)
        async with service.client.get("/manage", cookies=cookies, headers=refresh) as reply:
            assert reply.status == 200
    service.pass_time(10)
    async with service.client.get("/manage", cookies=cookies, allow_redirects=False) as reply:
        assert reply.status == 303


async def test_forms_without_a_session_take_no_room_of_heartbeats(service: Service):
    await a_person(service)
    service.app[ANONYMOUS_BUDGET].held = AnonymousBudget.limit  # as by many slow senders
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with service.client.post("/manage/sign-in", data={"name": "ada"}, headers=headers) as reply:
        assert reply.status == 503
    assert await service.beat()


async def test_what_is_made_elsewhere_only_has_no_button_and_no_way(service: Service):
    await service.beat("earth", "DOWN")
    service.change("manage", own="none")
    person = await a_person(service)
    async with signed_in(service, person) as browser:
        assert "Tell visitors" not in (await browser.open("/manage")).said
        page = await browser.open("/manage/incidents/new", 403)
        assert "nothing may be made here" in page.said.lower()
