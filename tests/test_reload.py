"""A reload: each key of config.toml takes effect, or is named in the log as needing a restart.

One step leads from one configuration to the next, and one that cannot be stored changes nothing.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from marshmallow import fields
from structlog.testing import capture_logs

from kener_async import keys
from kener_async.app import apply
from kener_async.config.fields import (
    BasePath,
    Boolean,
    Choice,
    Color,
    Duration,
    FontFamily,
    FontFile,
    Href,
    Integer,
    List,
    PingUrl,
    Secret,
    StringMap,
    TimeZone,
    Url,
)
from kener_async.config.load import load
from kener_async.config.model import Config, MonitorConfig, PlainTables
from kener_async.config.schema import Key, keys_of, needs_restart
from kener_async.domain.calendar import DAY
from kener_async.domain.errors import Unavailable
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.process.reloader import Reloader
from kener_async.process.systemd import SystemdNotifier
from kener_async.store import states
from tests.rigs.certificates import Authority
from tests.rigs.service import FakeClock, Service, a_monitor, running

BASE = '[database]\npath = "kener.db"\n'
OTHER = {  # keys that need another one beside them, and those whose value says where something is
    "auth.algorithm": 'algorithm = "EdDSA"\npublic_key_file = "public.pem"',
    "auth.public_key_file": 'algorithm = "EdDSA"\npublic_key_file = "public.pem"',
    "server.trusted_proxies": 'trusted_proxies = ["127.0.0.1"]',
    "auth.allowed_ips": 'allowed_ips = ["127.0.0.1"]',
    "site.assets": 'assets = "files"',
    "site.custom_css": 'custom_css = "own.css"',
    "site.font_file": 'assets = "files"\nfont_file = "own.woff2"',
    "site.locales": 'locales = ["en"]',
    "notifications.last_resort": (
        'last_resort = "a"\n[[channels]]\nname = "a"\nkind = "command"\ncommand = ["a"]'
    ),
    "checks.name_servers": 'name_servers = ["192.0.2.53"]',
    "checks.witnesses": 'witnesses = ["192.0.2.53:53"]',
    "checks.source_ipv4": 'source_ipv4 = "192.0.2.1"',
    "checks.source_ipv6": 'source_ipv6 = "2001:db8::1"',
    "checks.ca_file": 'ca_file = "ca.pem"',
    "manage.oidc.roles": 'roles = { ops = "viewer" }',
    "manage.oidc.scopes": 'scopes = ["openid"]',
    "manage.proxy.roles": 'roles = { ops = "viewer" }',
    "manage.proxy.header": 'header = "Remote-User"',
    "manage.allowed_ips": 'allowed_ips = ["127.0.0.1"]',
    "manage.password_login": 'password_login = false\n[server]\npublic_url = "https://status.example.org"',
    "mail.host": 'host = "smtp.example.org"\nfrom = "a@example.org"',
    "mail.user": 'user = "a"\npassword = "b"',
    "mail.password": 'user = "a"\npassword = "b"',
    "mail.sender": 'from = "a@example.org"',
    "mail.reply_to": 'reply_to = "a@example.org"',
}


# What the ways to sign in need beside a key: of their own tables, and of [server].
REQUIRED = {
    "manage.oidc": {
        "issuer": 'issuer = "https://a.example"',
        "client": 'client = "a"',
        "roles": 'roles = { ops = "viewer" }',
    },
    "manage.proxy": {
        "header": 'header = "Remote-User"',
        "groups_header": 'groups_header = "Remote-Groups"',
        "roles": 'roles = { ops = "viewer" }',
    },
}
SERVER = '[server]\npublic_url = "https://status.example.org"\ntrusted_proxies = ["127.0.0.1"]\n'


def declared(table: type = PlainTables, at: str = "") -> Iterator[tuple[str, Key]]:
    """The keys of the sections, and of the tables within them; arrays of tables are left out."""
    for name, key in keys_of(table).items():
        if key.table is None:
            yield at + name, key
        elif isinstance(key.field, fields.Nested) and not key.field.many:
            yield from declared(key.table, f"{at}{name}.")


def other_value(field: fields.Field[Any]) -> str:
    """A value, as written, that is not the default of the field."""
    match field:
        case Boolean():
            return "false" if field.load_default else "true"
        case Integer() | Duration():
            return str(int(field.load_default) + 1)
        case Choice():
            return next(f'"{choice}"' for choice in field.choices if choice != field.load_default)
        case StringMap():
            return '{ author = "x" }'
        case List() | FontFile():
            raise AssertionError("give it a value in OTHER")
    examples: dict[type, str] = {
        Url: "https://a.example",
        PingUrl: "https://a.example/ping",
        BasePath: "/below",
        Secret: "cAW0tS6kYQhW1mZr9n2uXb5eJ8vLd3gP",
        TimeZone: "Asia/Tokyo",
        Href: "/x.png",
        Color: "#fff",
        FontFamily: "serif",
    }
    return f'"{examples.get(type(field), "x")}"'


def changed(name: str, key: Key) -> str:
    """The base with another value of the key."""
    table, _, attribute = name.rpartition(".")
    line = OTHER.get(name) or f"{attribute} = {other_value(key.field)}"
    beside = [text for other, text in REQUIRED.get(table, {}).items() if other != attribute]
    needed = SERVER if table in REQUIRED else ""
    lines = "\n".join([f"[{table}]", line, *beside, ""])
    return lines + needed + (BASE if table != "database" else "")


def value_of(config: Config, name: str) -> Any:
    value: Any = config
    for attribute in name.split("."):
        value = getattr(value, attribute, None)
    return value


async def test_each_key_takes_effect_or_is_named_in_the_log(tmp_path: Path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files/own.woff2").touch()
    (tmp_path / "own.css").touch()
    (tmp_path / "ca.pem").write_bytes(Authority(tmp_path).file.read_bytes())
    file = tmp_path / "config.toml"

    def loaded(text: str) -> Config:
        file.write_text(text)
        return load(file, {})

    base = loaded(BASE)
    async with running(base, FakeClock()) as service:
        for name, key in declared():
            config = loaded(changed(name, key))
            assert value_of(config, name) != value_of(base, name)
            with capture_logs() as logs:
                await apply(service.app, config)
            named = [line["setting"] for line in logs if line["event"] == "takes effect after a restart"]
            assert (name in named) == key.restart, name
            assert value_of(service.app[keys.RUNNING].config, name) == value_of(config, name)
            await apply(service.app, base)


async def test_a_key_that_needs_a_restart_is_named_until_there_was_one(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text(BASE)
    base = load(file, {})
    file.write_text("[log]\nlevel = 'debug'\n" + BASE)
    config = load(file, {})
    async with running(base, FakeClock()) as service:
        for applied, expected in ((config, ["log.level"]), (config, ["log.level"]), (base, [])):
            with capture_logs() as logs:
                await apply(service.app, applied)
            assert [line["setting"] for line in logs if "setting" in line] == expected


def test_what_every_start_fixes_needs_a_restart():
    assert [name for name, key in declared() if key.restart] == [
        "server.host",
        "server.port",
        "server.shutdown_seconds",
        "server.max_connections",
        "server.manage_path",
        "database.path",
        "database.synchronous",
        "auth.secret_key",
        "auth.secret_key_file",
        "auth.algorithm",
        "auth.public_key_file",
        "auth.audience",
        "ingest.max_body_bytes",
        "ingest.max_queue",
        "rollups.interval_seconds",
        "log.format",
        "log.level",
        "watch.ping_every",
        "checks.resolver_threads",
        "checks.name_servers",
        "checks.source_ipv4",
        "checks.source_ipv6",
        "checks.user_agent",
        "checks.ca_file",
    ]


def test_a_table_that_is_removed_needs_no_restart(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text(BASE + '[site.hero]\ntitle = "a"\n[site.colors]\nup = "#fff"\n')
    before = load(file, {})
    file.write_text(BASE)
    assert needs_restart(before, load(file, {})) == []


def test_a_change_of_monitors_needs_no_restart(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text(BASE)
    before = load(file, {})
    file.write_text(BASE + '[[monitors]]\ntag = "earth"\n[[categories]]\nname = "a"\n')
    assert needs_restart(before, load(file, {})) == []


# One step

MANY = tuple(a_monitor(f"m{number}") for number in range(60))
EARTH, MARS = a_monitor("earth"), a_monitor("mars")
PATHS = ("/api/monitors", "/metrics", "/", "/api/monitors/earth/uptime", "/api/status?tag=earth")


def with_monitors(service: Service, *monitors: MonitorConfig) -> Config:
    config: Config = service.app[keys.RUNNING].config
    return replace(config, monitors=monitors)


async def status_of(service: Service, path: str) -> int:
    headers = {"Authorization": f"Bearer {service.token}"}
    async with service.client.get(path, headers=headers) as reply:
        await reply.read()
        return reply.status


async def tags_listed(service: Service) -> tuple[str, ...]:
    return tuple(monitor["tag"] for monitor in await service.get("/api/monitors"))


@asynccontextmanager
async def writes_held(service: Service) -> AsyncIterator[None]:
    """While entered, the writer's thread is busy: what is to be written waits."""
    free = threading.Event()
    busy = asyncio.create_task(service.app[keys.DATABASE].write(lambda connection: free.wait(10)))
    await asyncio.sleep(0.01)
    try:
        yield
    finally:
        free.set()
        await busy


async def test_requests_during_a_reload_are_answered_by_the_one_configuration_or_the_other(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    write = service.app[keys.DATABASE].write

    async def slowly(work: Any, *args: Any) -> Any:
        await asyncio.sleep(0.02)
        return await write(work, *args)

    monkeypatch.setattr(service.app[keys.DATABASE], "write", slowly)
    before, after = ("earth", "mars"), ("earth", *(monitor.tag for monitor in MANY))
    reload = asyncio.create_task(apply(service.app, with_monitors(service, EARTH, *MANY)))
    while not reload.done():
        tags, *statuses = await asyncio.gather(
            tags_listed(service), *(status_of(service, path) for path in PATHS)
        )
        assert tags in (before, after)
        assert statuses == [200] * len(PATHS)
    await reload
    assert await tags_listed(service) == after


async def test_a_monitor_takes_heartbeats_as_soon_as_it_is_listed(service: Service):
    reload = asyncio.create_task(apply(service.app, with_monitors(service, EARTH, *MANY)))
    while service.app[keys.RUNNING].config.monitors[-1].tag != "m59":
        await asyncio.sleep(0)
    await service.beat("m59", "DOWN")
    assert (await service.get("/api/status", tag="m59"))["status"] == "DOWN"
    await reload
    assert (await service.get("/api/status", tag="m59"))["status"] == "DOWN"


@pytest.mark.parametrize("path", ["/api/monitors/mars/uptime", "/api/monitors/mars/history?resolution=day"])
async def test_a_monitor_that_is_being_removed_is_there_until_it_is_unknown(service: Service, path: str):
    async with writes_held(service):
        reload = asyncio.create_task(apply(service.app, with_monitors(service, EARTH)))
        await asyncio.sleep(0.05)
        assert await status_of(service, path) == 200
    await reload
    assert await status_of(service, path) == 400


async def refuse(*_: Any) -> Any:
    await asyncio.sleep(0.01)
    raise Unavailable("the disk is full; nothing was stored")


def results(outcomes: Sequence[object]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


async def test_two_reloads_that_cannot_be_stored_leave_the_old_configuration(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    old = service.app[keys.RUNNING].config
    with monkeypatch.context() as patch:
        patch.setattr(service.app[keys.DATABASE], "write", refuse)
        reloads = [apply(service.app, with_monitors(service, one)) for one in (MARS, a_monitor("venus"))]
        outcomes = await asyncio.gather(*reloads, return_exceptions=True)
    assert results(outcomes) == [Unavailable, Unavailable]
    assert service.app[keys.RUNNING].config is old
    assert await tags_listed(service) == ("earth", "mars")
    assert await status_of(service, "/") == 200


async def test_a_reload_that_cannot_be_stored_changes_no_setting(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    expected = a_monitor("earth", MonitorSettings(expectation=EveryInterval(60, 0, 60)))
    with monkeypatch.context() as patch:
        patch.setattr(service.app[keys.DATABASE], "write", refuse)
        with pytest.raises(Unavailable):
            await apply(service.app, with_monitors(service, expected))
    await service.beat("earth")
    service.pass_time(600)
    assert (await service.get("/api/status", tag="earth"))["status"] == "UP"
    assert await tags_listed(service) == ("earth", "mars")


async def test_settings_that_a_clock_set_back_deleted_are_stored_again_when_that_is_possible(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    database, loader = service.app[keys.DATABASE], service.app[keys.LOADER]
    write = database.write

    async def without_registration(work: Any, *args: Any, **kwargs: Any) -> Any:
        return await (refuse() if work is states.register else write(work, *args, **kwargs))

    service.jump(-2 * DAY)
    with monkeypatch.context() as patch:
        patch.setattr(database, "write", without_registration)
        with pytest.raises(Unavailable):
            await loader.observe()
    await loader.observe()
    assert await database.read(lambda session: session.execute("SELECT since FROM settings").fetchall()) == [
        (service.clock(),),
        (service.clock(),),
    ]


async def test_of_two_reloads_at_once_the_last_one_is_in_force(service: Service):
    last = with_monitors(service, a_monitor("venus"), EARTH)
    await asyncio.gather(apply(service.app, with_monitors(service, MARS, *MANY)), apply(service.app, last))
    assert service.app[keys.RUNNING].config is last
    assert await tags_listed(service) == ("venus", "earth")
    await service.beat("venus")


async def test_monitors_that_stay_as_they_are_are_not_loaded_again(service: Service):
    await service.beat("earth")
    earth = service.app[keys.STATES].find("earth")
    expected = a_monitor("mars", MonitorSettings(expectation=EveryInterval(60, 0, 60)))
    mars = service.app[keys.STATES].find("mars")
    await service.configure(EARTH, expected)
    assert service.app[keys.STATES].find("earth") is earth
    assert service.app[keys.STATES].find("mars") is not mars


# One reload at a time


class Reloads:
    """Counts reloads, each of which takes until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.under_way = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> None:
        self.begun += 1
        self.under_way += 1
        assert self.under_way == 1
        try:
            await self.go.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.under_way -= 1


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_requests_during_a_reload_cause_exactly_one_more():
    reloads = Reloads()
    reloader = Reloader(reloads, SystemdNotifier({}), ())
    async with reloader.running():
        reloader.request()
        await turns()
        for _ in range(3):
            reloader.request()
            await turns()
        assert reloads.begun == 1
        reloads.go.set()
        await turns()
        assert reloads.begun == 2


async def test_a_reload_that_fails_unexpectedly_does_not_end_reloading():
    reloads = Reloads()
    reloads.go.set()
    reloads.error = RuntimeError("a bug")
    reloader = Reloader(reloads, SystemdNotifier({}), ())
    async with reloader.running():
        for _ in range(2):
            with capture_logs() as logs:
                reloader.request()
                await turns()
            assert [line["event"] for line in logs] == ["the reload failed"]
    assert reloads.begun == 2


async def test_a_stop_abandons_the_reload_under_way():
    reloads = Reloads()
    reloader = Reloader(reloads, SystemdNotifier({}), ())
    async with reloader.running():
        reloader.request()
        await turns()
    assert reloads.under_way == 0
