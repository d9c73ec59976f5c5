"""Sign-in by the header of a proxy: from the trusted one alone, once, spelled as it is, and for whom."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, encode_basic_auth
from multidict import CIMultiDict
from structlog.testing import capture_logs

from kener_async import keys
from kener_async.config.manage import ProxyConfig
from kener_async.config.model import Config
from kener_async.domain.people import Role
from kener_async.identity.proxy import HeaderRefused, ProxySettings, identity_of
from kener_async.identity.sessions import LOOPBACK_COOKIE
from kener_async.store import people
from kener_async.store.interface import Database, Session
from tests.rigs.html_client import HtmlClient
from tests.rigs.people import COMMAND, a_browser, a_person, signed_in
from tests.rigs.process import ROOT, a_free_port
from tests.rigs.service import FakeClock, Service, running
from tests.test_proxy import AROUND, NGINX, USER

SETTINGS = ProxySettings(
    "Remote-User", "Remote-Groups", (("ops", Role.EDITOR), ("all staff", Role.VIEWER)), create=True
)
Pairs = list[tuple[str, str]]


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ([("Remote-User", "ada"), ("Remote-Groups", "ops")], ("ada", Role.EDITOR)),
        ([("remote-user", " ada "), ("REMOTE-GROUPS", "all staff , ops")], ("ada", Role.EDITOR)),
        ([("Remote-User", "ada"), ("Remote-Groups", "ops2")], ("ada", None)),
        ([("Remote-User", "ada")], ("ada", None)),
        ([("Remote-User", "bücher")], ("bücher", None)),
        ([("Remote-User", "")], None),
        ([("Remote_User", "ada")], None),
        ([("Remote-User ", "ada")], None),
        ([("X-Remote-User", "ada")], None),
        ([], None),
    ],
    ids=str,
)
def test_the_trusted_proxy_names_the_person(headers: Pairs, named: tuple[str, Role | None] | None):
    identity = identity_of(SETTINGS, CIMultiDict(headers), is_trusted=True)
    assert (None if identity is None else (identity.name, identity.role)) == named


@pytest.mark.parametrize(
    ("headers", "is_trusted"),
    [
        ([("Remote-User", "ada")], False),
        ([("Remote-User", "")], False),
        ([("Remote-Groups", "ops")], False),
        ([("Remote-User", "ada"), ("Remote-User", "ada")], True),
        ([("Remote-User", ""), ("remote-user", "ada")], True),
        ([("Remote-User", "ada"), ("Remote-Groups", "a"), ("Remote-Groups", "ops")], True),
        ([("Remote-User", "a" * 101)], True),
        ([("Remote-User", "ada\x00")], True),
        ([("Remote-User", "ada\udcff")], True),
        ([("Remote-User", "ada"), ("Remote-Groups", "ops," * 3000)], True),
    ],
    ids=lambda value: str(value)[:60].encode("ascii", "replace").decode(),
)
def test_other_requests_with_the_header_are_refused(headers: Pairs, is_trusted: bool):
    with pytest.raises(HeaderRefused):
        identity_of(SETTINGS, CIMultiDict(headers), is_trusted=is_trusted)


# The service behind a proxy on this machine


PROXY = ProxyConfig(header="Remote-User", groups_header="", roles=(), create=False)
WITH_GROUPS = replace(
    PROXY, groups_header="Remote-Groups", roles=(("ops", "editor"), ("support", "viewer")), create=True
)


@asynccontextmanager
async def behind(
    config: Config, clock: FakeClock, proxy: ProxyConfig, *trusted: str
) -> AsyncIterator[Service]:
    server = replace(config.server, trusted_proxies=tuple(map(ip_network, trusted)))
    manage = replace(config.manage, proxy=proxy)
    async with running(replace(config, server=server, manage=manage), clock) as service:
        await a_person(service, "ada", Role.RESPONDER)
        yield service


@asynccontextmanager
async def through(service: Service, name: str, groups: str = "", **more: str) -> AsyncIterator[HtmlClient]:
    """A browser whose requests come through the proxy."""
    headers = {"X-Forwarded-For": "203.0.113.7", "Remote-User": name, **more}
    async with a_browser(service, headers | ({"Remote-Groups": groups} if groups else {})) as browser:
        yield browser


async def acts(service: Service) -> list[str]:
    def read(session: Session) -> list[str]:
        return [row[0] for row in session.execute("SELECT act FROM audit ORDER BY id")]

    database: Database = service.app[keys.DATABASE]
    return await database.read(read)


async def count_sessions(service: Service) -> int:
    def read(session: Session) -> int:
        return int(session.execute("SELECT count(*) FROM sessions").fetchone()[0])

    database: Database = service.app[keys.DATABASE]
    return await database.read(read)


async def test_a_known_person_is_signed_in_with_a_session_of_their_own(config: Config, clock: FakeClock):
    async with behind(config, clock, PROXY, "127.0.0.1") as service, through(service, "Ada") as browser:
        screen = await browser.open("/manage")
        assert "ada" in screen.body
        cookie = browser.cookies[LOOPBACK_COOKIE]
        for _ in range(3):
            await browser.open("/manage")
        assert browser.cookies[LOOPBACK_COOKIE] == cookie
        assert await count_sessions(service) == 1
        assert (await acts(service))[-1] == "session.begin"


async def test_a_name_that_is_not_known_gets_nothing(config: Config, clock: FakeClock):
    async with behind(config, clock, PROXY, "127.0.0.1") as service, through(service, "grace") as browser:
        screen = await browser.open("/manage", 403)
        assert "You have no access here" in screen.said
        assert browser.cookies == {}
        assert await count_sessions(service) == 0


async def test_a_deactivated_person_gets_nothing(config: Config, clock: FakeClock):
    async with behind(config, clock, PROXY, "127.0.0.1") as service:
        ada = await service.app[keys.DATABASE].read(people.named, "ada")
        await a_person(service, "root")
        async with through(service, "ada") as browser:
            await browser.open("/manage")
            await service.app[keys.DATABASE].write(people.deactivate, ada.id, COMMAND, clock())
            await browser.open("/manage", 403)


@pytest.mark.parametrize("path", ["/manage", "/manage/sign-in", "/manage/sign-in/oidc"])
@pytest.mark.parametrize("trusted", [(), ("192.0.2.1",)], ids=["none", "another"])
async def test_the_header_from_elsewhere_is_refused_on_every_page(
    config: Config, clock: FakeClock, path: str, trusted: tuple[str, ...]
):
    async with behind(config, clock, PROXY, *trusted) as service, through(service, "ada") as browser:
        with capture_logs() as logs:
            screen = await browser.open(path, 403)
        assert "not allowed" in screen.said
        assert await count_sessions(service) == 0
    assert "a request with the header of a proxy was refused" in {line["event"] for line in logs}


async def test_public_pages_do_not_look_at_the_header(config: Config, clock: FakeClock):
    async with behind(config, clock, PROXY) as service, through(service, "ada") as browser:
        await browser.open("/")


async def test_without_the_setting_the_header_means_nothing(config: Config, clock: FakeClock):
    async with behind(config, clock, PROXY, "127.0.0.1") as service:
        service.change("manage", proxy=None)
        async with through(service, "ada") as browser:
            screen = await browser.open("/manage")
            assert screen.path.startswith("/manage/sign-in")


async def test_another_name_in_the_same_browser_ends_the_session_before(config: Config, clock: FakeClock):
    async with behind(config, clock, PROXY, "127.0.0.1") as service:
        await a_person(service, "grace")
        async with through(service, "ada") as browser:
            await browser.open("/manage")
            browser.headers["Remote-User"] = "grace"
            screen = await browser.open("/manage")
            assert "grace" in screen.body
            assert await count_sessions(service) == 1


async def test_a_form_for_another_person_or_none_does_nothing(config: Config, clock: FakeClock):
    async with behind(config, clock, PROXY, "127.0.0.1") as service:
        await a_person(service, "grace")
        async with through(service, "ada") as browser:
            form = (await browser.open("/manage/sign-out")).form("Sign out")
            browser.headers["Remote-User"] = "grace"
            assert (await form.submit(status=None)).status == 401
            assert await count_sessions(service) == 1  # of ada, still


async def test_a_form_still_needs_its_token(config: Config, clock: FakeClock):
    async with behind(config, clock, PROXY, "127.0.0.1") as service, through(service, "ada") as browser:
        form = (await browser.open("/manage/sign-out")).form("Sign out")
        for headers, change in (
            ({"Origin": "https://other.example", "Sec-Fetch-Site": "cross-site"}, list),
            ({}, lambda fields: [pair for pair in fields if pair[0] != "form_token"]),
        ):
            screen = await form.submit(status=None, headers=headers, change=change)
            assert screen.status == 403, screen.said
        assert await count_sessions(service) == 1


@pytest.mark.parametrize(
    ("groups", "role"), [("ops", Role.EDITOR), ("support", Role.VIEWER), ("support, ops", Role.EDITOR)]
)
async def test_a_new_person_is_made_with_the_role_of_their_groups(
    config: Config, clock: FakeClock, groups: str, role: Role
):
    async with behind(config, clock, WITH_GROUPS, "127.0.0.1") as service:
        async with through(service, "grace", groups) as browser:
            await browser.open("/manage")
        grace = await service.app[keys.DATABASE].read(people.named, "grace")
        assert (grace.role, grace.password) == (role, None)
        assert (await acts(service))[-3:] == ["person.add", "person.link", "session.begin"]


@pytest.mark.parametrize("groups", ["", "others", "OPS"])
async def test_without_a_group_of_ours_nobody_is_made(config: Config, clock: FakeClock, groups: str):
    async with behind(config, clock, WITH_GROUPS, "127.0.0.1") as service:
        for name in ("ada", "grace"):
            async with through(service, name, groups) as browser:
                await browser.open("/manage", 403)
        assert await service.app[keys.DATABASE].read(people.by_name, "grace") is None


async def test_groups_hold_from_the_next_request_on(config: Config, clock: FakeClock):
    async with (
        behind(config, clock, WITH_GROUPS, "127.0.0.1") as service,
        through(service, "ada", "ops") as browser,
        through(service, "ada", "ops") as phone,
    ):
        await browser.open("/manage")
        await phone.open("/manage")
        browser.headers["Remote-Groups"] = "support"
        await browser.open("/manage")
        ada = await service.app[keys.DATABASE].read(people.named, "ada")
        assert ada.role == Role.VIEWER
        browser.headers["Remote-Groups"] = "others"
        await browser.open("/manage", 403)
        assert await count_sessions(service) == 0


async def test_a_person_without_access_fills_no_audit_log(config: Config, clock: FakeClock):
    async with (
        behind(config, clock, WITH_GROUPS, "127.0.0.1") as service,
        through(service, "ada", "others") as browser,
    ):
        before = await acts(service)
        for _ in range(3):
            await browser.open("/manage", 403)
        assert await acts(service) == before


async def test_a_browser_behind_a_proxy_may_call_itself_anything(config: Config, clock: FakeClock):
    async with behind(config, clock, PROXY, "127.0.0.1") as service:
        url = service.client.make_url("")
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = f"GET /manage HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nConnection: close\r\n"
        head += "X-Forwarded-For: 203.0.113.7\r\nRemote-User: ada\r\n"
        writer.write(head.encode() + b"User-Agent: x\xff\x80\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()


async def test_a_person_without_the_header_signs_in_as_before(config: Config, clock: FakeClock):
    async with behind(config, clock, PROXY, "127.0.0.1") as service:
        ada: Any = await service.app[keys.DATABASE].read(people.named, "ada")
        async with signed_in(service, ada) as browser:
            assert "ada" in (await browser.open("/manage")).body


# Behind Debian's nginx, as docs/sign-in.md configures it; another address of this machine comes around it


@asynccontextmanager
async def nginx(folder: Path, server: int) -> AsyncIterator[str]:
    """nginx with ada and her password before the server; its origin."""
    found = re.search(r"```nginx\n(.*?)```", (ROOT / "docs/sign-in.md").read_text(), re.DOTALL)
    assert found is not None
    documented = found[1].replace("127.0.0.1:3000", f"127.0.0.1:{server}")
    documented = documented.replace("/etc/nginx/people", str(folder / "people"))
    (folder / "people").write_text("ada:{PLAIN}secret\n")
    port = a_free_port()
    (folder / "nginx.conf").write_text(
        AROUND.format(
            folder=folder, user=USER, documented=f"server {{ listen 127.0.0.1:{port}; {documented} }}"
        )
    )
    process = await asyncio.create_subprocess_exec(
        *(str(NGINX), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"))
    )
    try:
        for _ in range(500):
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def named_at(
    origin: str, headers: Pairs, source: str = "127.0.0.1", path: str = "/manage"
) -> tuple[int, str]:
    """Status and name of the signed-in person of one request, in a browser without cookies."""
    connector = TCPConnector(local_addr=(source, 0))
    async with (
        ClientSession(connector=connector, cookie_jar=DummyCookieJar()) as session,
        session.get(f"{origin}{path}", headers=CIMultiDict(headers), allow_redirects=False) as reply,
    ):
        name = re.search(r'href="/manage/account"><bdi>(\w+)</bdi>', await reply.text())
        return reply.status, "" if name is None else name[1]


BASIC = ("Authorization", encode_basic_auth("ada", "secret"))


@pytest.mark.process
@pytest.mark.skipif(NGINX is None and "CI" not in os.environ, reason="nginx is missing")
async def test_behind_a_real_proxy_only_the_name_that_it_checked_counts(
    config: Config, clock: FakeClock, tmp_path: Path
):
    async with behind(config, clock, PROXY, "127.0.0.1") as service:
        await a_person(service, "root", Role.ADMIN)
        direct = str(service.client.make_url("")).rstrip("/")
        async with nginx(tmp_path, int(direct.rpartition(":")[2])) as origin:
            assert await named_at(origin, [BASIC]) == (200, "ada")
            for forged in (
                [("Remote-User", "root")],
                [("remote-user", "root"), ("REMOTE-USER", "root")],
                [("Remote_User", "root")],
                [("Remote-User", "root"), ("Remote_User", "root"), ("Remote-Groups", "ops")],
            ):
                assert await named_at(origin, [BASIC, *forged]) == (200, "ada"), forged
                assert await named_at(origin, forged) == (401, ""), forged  # by nginx itself
        # Around it: from another address, and as the proxy itself would never send it.
        assert await named_at(direct, [("Remote-User", "root")], "127.0.0.7") == (403, "")
        assert await named_at(direct, [("Remote-User", "root")] * 2) == (403, "")
        assert await named_at(direct, [("Remote_User", "root")]) == (303, "")
        assert await named_at(direct, [("Remote-User", "root")]) == (200, "root")  # it is the address
