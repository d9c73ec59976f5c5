"""Formats of other services: their senders need only another host name."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import apykuma
import playwright
import pytest
from healthchecks_decorator import healthcheck

from kener_async import keys
from kener_async.api.http.rate_limit import RATE_LIMITER
from kener_async.config.load import ConfigError, load
from kener_async.config.model import Config, Senders
from kener_async.domain.calendar import DAY
from kener_async.domain.durations import go_milliseconds, latency, pushed_milliseconds
from kener_async.domain.errors import Invalid
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.domain.pings import Ping, Signal, ping_at
from kener_async.store import observer, runs
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.upgrade import prepare
from tests.rigs.process import SECRET, Server
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running
from tests.rigs.stored_samples import samples_in

CHECK = "07c2f548-9850-4b27-af5d-6c9dc157ec02"
OTHER = "5b1cb2a0-4d0e-4f4f-9a55-6ce4a1e0d7c1"
RUN = "123e4567-e89b-12d3-a456-426614174000"
PING_KEY = "fqOOd6-F4MMNuCEnzTU01w"
PUSH = "Yz4kT9dRw1"
TOKEN = "u7Wd0PzQ4sXe"
EARTH = Senders((CHECK, f"{PING_KEY}/database-backup"), PUSH, "core_front-end", TOKEN)
MARS = Senders((OTHER,), "another-token", "_mars", "the-token-of-mars")
NODE = Path(playwright.__file__).parent / "driver/node"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Earth counts in seconds, mars in milliseconds."""
    return a_config(
        tmp_path,
        a_monitor("earth", senders=EARTH),
        a_monitor("mars", senders=MARS, latency_unit="ms"),
        a_monitor("phobos"),
    )


Answer = tuple[int, str]


async def ask(service: Service, method: str, address: str, **options: Any) -> Answer:
    async with service.client.request(method, address, **options) as reply:
        return reply.status, await reply.text()


async def ping(service: Service, address: str, method: str = "GET", **options: Any) -> Answer:
    return await ask(service, method, f"/ping/{address}", **options)


async def push(service: Service, query: str = "", token: str = PUSH, method: str = "GET") -> Answer:
    return await ask(service, method, f"/api/push/{token}?{query}")


async def external(
    service: Service, query: str, key: str = "core_front-end", header: str | None = f"Bearer {TOKEN}"
) -> Answer:
    headers = {} if header is None else {"Authorization": header}
    return await ask(service, "POST", f"/api/v1/endpoints/{key}/external?{query}", headers=headers)


def stored(database: Path) -> list[tuple[Any, ...]]:
    """Tag, minute, status and latency of all that is on disk now."""
    return [(one.tag, one.minute, one.status, one.latency) for one in samples_in(database)]


def begun(database: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(
            "SELECT tag, run FROM runs JOIN monitors ON id = monitor_id ORDER BY 1, 2"
        ).fetchall()


OK: Answer = (200, "OK")
UP, DOWN = ("earth", NOON, "UP", 0.0), ("earth", NOON, "DOWN", 0.0)


# Healthchecks


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (CHECK, [UP]),
        (f"{CHECK}/", [UP]),
        (CHECK.upper(), [UP]),
        (f"{CHECK}/0", [UP]),
        (f"{CHECK}/fail", [DOWN]),
        (f"{CHECK}/1", [DOWN]),
        (f"{CHECK}/255", [DOWN]),
        (f"{CHECK}/start", []),
        (f"{CHECK}/log", []),
        (f"{CHECK}?rid={RUN}", [UP]),
        (f"{PING_KEY}/database-backup", [UP]),
        (f"{PING_KEY}/database-backup/fail", [DOWN]),
        (f"{PING_KEY}/database-backup/3?rid={RUN}", [DOWN]),
        (f"{PING_KEY}/database-backup/start", []),
    ],
)
async def test_a_ping_is_taken_as_its_address_says(
    service: Service, config: Config, method: str, address: str, expected: list[Any]
):
    body = "what the job said" if method == "POST" else None
    assert await ping(service, address, method, data=body) == (200, "" if method == "HEAD" else "OK")
    assert stored(config.database.path) == expected


@pytest.mark.parametrize(
    ("address", "status", "text"),
    [
        ("6837d6ec-fc08-4da5-a67f-08a9ed1ccf62", 404, "not found"),
        (f"{PING_KEY}/other", 404, "not found"),
        ("another-ping-key/database-backup", 404, "not found"),
        (f"{PING_KEY}/database-backup?create=1&rid=x", 400, "invalid uuid format"),
        ("not-a-uuid", 400, "invalid url format"),
        (CHECK.replace("-", ""), 400, "invalid url format"),
        (f"{CHECK}/256", 400, "invalid url format"),
        (f"{CHECK}/-1", 404, "not found"),
        (f"{CHECK}/start/now", 400, "invalid url format"),
        (f"{CHECK}?rid=", 400, "invalid uuid format"),
        (f"{CHECK}?rid={RUN.replace('-', '')}", 400, "invalid uuid format"),
        (f"{CHECK}/%0A", 404, "not found"),
    ],
)
async def test_what_is_no_ping_is_refused_in_the_words_of_healthchecks(
    service: Service, config: Config, address: str, status: int, text: str
):
    assert await ping(service, address) == (status, text)
    assert stored(config.database.path) == []


async def test_answers_to_pings_are_plain_text_for_any_origin_and_no_cache(service: Service):
    async with service.client.get(f"/ping/{CHECK}") as reply:
        assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert reply.headers["Cache-Control"] == "no-store"
    async with service.client.get("/ping/x", headers={"Accept": "text/html"}) as reply:
        assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_the_time_from_start_to_end_is_the_latency_in_the_unit_of_the_monitor(
    service: Service, config: Config
):
    for check, ending in ((CHECK, ""), (OTHER, "/1")):
        assert await ping(service, f"{check}/start") == OK
        service.pass_time(90)
        assert await ping(service, f"{check}{ending}") == OK
    assert stored(config.database.path) == [
        ("earth", NOON + 60, "UP", 90.0), ("mars", NOON + 180, "DOWN", 90_000.0)
    ]  # fmt: skip
    assert begun(config.database.path) == []


async def test_runs_that_overlap_are_distinguished_by_their_rid(service: Service, config: Config):
    await ping(service, f"{CHECK}/start?rid={RUN}")
    service.pass_time(60)
    await ping(service, f"{CHECK}/start?rid={OTHER}")
    service.pass_time(60)
    await ping(service, f"{CHECK}?rid={RUN.upper()}")
    service.pass_time(60)
    await ping(service, f"{CHECK}/0?rid={OTHER}")
    service.pass_time(60)
    await ping(service, CHECK)
    assert [row[3] for row in stored(config.database.path)] == [120.0, 120.0, 0.0]


async def test_a_log_and_another_start_do_what_they_say(service: Service, config: Config):
    await ping(service, f"{CHECK}/start")
    service.pass_time(30)
    await ping(service, f"{CHECK}/start")
    service.pass_time(30)
    await ping(service, f"{CHECK}/log", "POST", data="half way")
    assert stored(config.database.path) == []
    await ping(service, CHECK)
    assert stored(config.database.path) == [("earth", NOON + 60, "UP", 30.0)]


async def test_a_job_that_began_and_did_not_end_is_late_after_its_grace(tmp_path: Path, clock: FakeClock):
    hourly = MonitorSettings(expectation=EveryInterval(3600, 120, 4000))
    config = a_config(tmp_path, a_monitor("earth", hourly, senders=EARTH))
    async with running(config, clock) as service:
        await ping(service, CHECK)
        service.pass_time(600)
        await ping(service, f"{CHECK}/start")
        assert await current(service) == "UP"
        service.pass_time(120)
        assert await current(service) == "DEGRADED"
        service.pass_time(300)
        assert await current(service) == "DOWN"
        await ping(service, CHECK)
        assert await current(service) == "UP"
        history = await service.get("/api/monitors/earth/history", resolution="minute")
        late = [item["reason"] for item in history["items"] if item["reason"] == "deadline"]
        assert len(late) == 5


async def current(service: Service) -> str:
    (monitor,) = await service.get("/api/monitors")
    return str(monitor["status"])


async def test_a_start_is_known_after_a_restart(config: Config, clock: FakeClock):
    async with running(config, clock) as service:
        await ping(service, f"{CHECK}/start")
    clock.now += 600
    async with running(config, clock) as service:
        await ping(service, CHECK)
    assert stored(config.database.path) == [("earth", NOON + 600, "UP", 600.0)]


async def test_a_clock_that_was_set_back_makes_no_latency_below_nothing(service: Service, config: Config):
    await ping(service, f"{CHECK}/start")
    service.jump(-30)
    await ping(service, CHECK)
    assert [row[3] for row in stored(config.database.path)] == [0.0]


async def test_a_run_is_forgotten_only_when_its_end_is_on_disk(service: Service, config: Config):
    await ping(service, f"{CHECK}/start")
    inbox = service.app[keys.WRITER]
    inbox._limit = 0
    async with service.client.get(f"/ping/{CHECK}") as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
        assert await reply.text() == "too many heartbeats are waiting to be stored"
    assert begun(config.database.path) == [("earth", "")]
    inbox._limit = 100
    service.pass_time(5)
    await ping(service, CHECK)
    assert stored(config.database.path) == [("earth", NOON, "UP", 5.0)]


def test_runs_that_never_end_do_not_pile_up(tmp_path: Path):
    prepare(tmp_path / "kener.db")
    with closing(connect(tmp_path / "kener.db")) as connection:
        observer.begin(connection, NOON, retention=DAY)
        connection.execute("INSERT INTO monitors (id, tag) VALUES (1, 'earth'), (2, 'mars')")
        runs.begin(connection, 2, "mars", NOON)
        runs.begin(connection, 1, "old", NOON - runs.LONGEST - 1)
        for number in range(runs.MOST + 20):
            runs.begin(connection, 1, str(number), NOON + number)
        known = [run for (run,) in connection.execute("SELECT run FROM runs WHERE monitor_id = 1")]
        assert sorted(known, key=int) == [str(number) for number in range(20, runs.MOST + 20)]
        assert runs.started_at(connection, 2, "mars", NOON + 1) == NOON
        assert runs.started_at(connection, 2, "mars", NOON + runs.LONGEST + 1) is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (CHECK, Ping(CHECK, Signal.SUCCESS)),
        (f"{CHECK}/000", Ping(CHECK, Signal.SUCCESS)),
        (f"{CHECK}/007", Ping(CHECK, Signal.FAIL)),
        (f"{CHECK}/banana", Ping(f"{CHECK}/banana", Signal.SUCCESS)),
        (f"{PING_KEY}/start", Ping(f"{PING_KEY}/start", Signal.SUCCESS)),
        (f"{PING_KEY}/a/start/", Ping(f"{PING_KEY}/a", Signal.START)),
    ],
)
def test_an_address_says_which_check_and_what_became_of_its_job(address: str, expected: Ping):
    assert ping_at(address) == expected


# Uptime Kuma


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
async def test_a_push_is_taken_by_any_method(service: Service, config: Config, method: str):
    status, text = await push(service, "status=up&msg=OK&ping=", method=method)
    assert (status, text) == (200, "" if method == "HEAD" else '{"ok":true}')
    assert stored(config.database.path) == [UP]


@pytest.mark.parametrize(
    ("query", "status", "seconds"),
    [
        ("", "UP", 0.0),
        ("status=&ping=&msg=", "UP", 0.0),
        ("status=down&msg=broken", "DOWN", 0.0),
        ("status=UP", "DOWN", 0.0),
        ("status=degraded", "DOWN", 0.0),
        ("ping=250", "UP", 0.25),
        ("ping=12.5ms", "UP", 0.0125),
        ("ping=1e3", "UP", 1.0),
        ("ping=fast", "UP", 0.0),
        ("ping=0", "UP", 0.0),
    ],
)
async def test_a_push_says_its_status_and_its_ping_in_milliseconds(
    service: Service, config: Config, query: str, status: str, seconds: float
):
    assert await push(service, query) == (200, '{"ok":true}')
    assert await push(service, query, "another-token") == (200, '{"ok":true}')
    assert stored(config.database.path) == [
        ("earth", NOON, status, seconds), ("mars", NOON, status, seconds * 1000)
    ]  # fmt: skip


TOO_MUCH = "Invalid ping value. Must be between 0 and 100000000000 ms."


@pytest.mark.parametrize(
    ("query", "token", "message"),
    [
        ("", "unknown-token", "Monitor not found or not active."),
        ("", PUSH[:-1], "Monitor not found or not active."),
        ("", CHECK, "Monitor not found or not active."),
        ("ping=-1", PUSH, TOO_MUCH),
        ("ping=1e12", PUSH, TOO_MUCH),
        ("ping=Infinity", PUSH, TOO_MUCH),
        ("ping=1e999", PUSH, TOO_MUCH),
    ],
)
async def test_a_push_that_cannot_be_is_refused_in_the_words_of_uptime_kuma(
    service: Service, config: Config, query: str, token: str, message: str
):
    async with service.client.get(f"/api/push/{token}?{query}") as reply:
        assert reply.status == 404
        assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
        assert await reply.json() == {"ok": False, "msg": message}
    assert stored(config.database.path) == []


# Gatus


@pytest.mark.parametrize(
    ("query", "status", "seconds"),
    [
        ("success=true", "UP", 0.0),
        ("success=true&error=&duration=", "UP", 0.0),
        ("success=true&duration=1.5s", "UP", 1.5),
        ("success=false&error=connection%20refused&duration=250ms", "DOWN", 0.25),
        ("success=false&duration=1h2m", "DOWN", 3720.0),
    ],
)
async def test_a_result_says_its_success_and_its_duration(
    service: Service, config: Config, query: str, status: str, seconds: float
):
    assert await external(service, query) == (200, "")
    assert await external(service, query, "_mars", "Bearer  the-token-of-mars ") == (200, "")
    assert stored(config.database.path) == [
        ("earth", NOON, status, seconds), ("mars", NOON, status, seconds * 1000)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "key", "header", "expected"),
    [
        ("", "core_front-end", None, (400, "missing or invalid success query parameter")),
        ("success=1", "core_front-end", None, (400, "missing or invalid success query parameter")),
        ("success=true", "core_front-end", None, (401, "invalid Authorization header")),
        ("success=true", "core_front-end", TOKEN, (401, "invalid Authorization header")),
        ("success=true", "core_front-end", "Bearer  ", (401, "invalid Authorization header")),
        ("success=true", "core_other", f"Bearer {TOKEN}", (404, "not found")),
        ("success=true", "core_front-end", "Bearer the-token-of-mars", (401, "invalid token")),
        ("success=true", "_mars", f"Bearer {TOKEN}", (401, "invalid token")),
        (
            "success=true&duration=5",
            "core_front-end",
            f"Bearer {TOKEN}",
            (400, 'invalid duration: time: missing unit in duration "5"'),
        ),
    ],
)  # fmt: skip
async def test_a_result_that_cannot_be_is_refused_in_the_words_of_gatus(
    service: Service, config: Config, query: str, key: str, header: str | None, expected: Answer
):
    assert await external(service, query, key, header) == expected
    assert stored(config.database.path) == []


async def test_a_result_must_be_posted(service: Service):
    answer = await ask(service, "GET", "/api/v1/endpoints/core_front-end/external?success=true")
    assert answer == (405, "method not allowed")


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0", 0), ("0s", 0), ("5s", 5000), ("1.5s", 1500), (".5s", 500), ("1.s", 1000), ("250ms", 250),
        ("1h2m", 3_720_000), ("1h2m3.5s", 3_723_500), ("100us", 0.1), ("100µs", 0.1), ("100μs", 0.1),
        ("1ns", 1e-6), ("-1m", -60_000), ("+2s", 2000), ("0.000001s", 0.001), ("3m3m", 360_000),
    ],
)  # fmt: skip
def test_a_duration_is_read_as_go_reads_it(text: str, milliseconds: float):
    assert go_milliseconds(text) == pytest.approx(milliseconds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("abc", 'time: invalid duration "abc"'),
        (".s", 'time: invalid duration ".s"'),
        ("1s.", 'time: invalid duration "1s."'),
        ("5", 'time: missing unit in duration "5"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("1..5s", 'time: missing unit in duration "1..5s"'),
        ("5d", 'time: unknown unit "d" in duration "5d"'),
        ("1 s", 'time: unknown unit " s" in duration "1 s"'),
        ('5"é\\', 'time: unknown unit "\\"\\xc3\\xa9\\\\" in duration "5\\"\\xc3\\xa9\\\\"'),
        ("9999999h", 'time: invalid duration "9999999h"'),
        ("²s", 'time: invalid duration "\\xc2\\xb2s"'),
    ],
)
def test_what_is_no_duration_is_refused_in_the_words_of_go(text: str, words: str):
    with pytest.raises(Invalid) as refusal:
        go_milliseconds(text)
    assert refusal.value.message == words


def test_a_latency_is_never_below_nothing():
    assert [latency(-5, "ms"), latency(-5, "s"), latency(5, "ms"), latency(5, "s")] == [0, 0, 5, 0.005]


@pytest.mark.parametrize("text", ["", "x", "-", ".", "e3", "NaN", "undefined"])
def test_a_text_that_begins_with_no_number_is_no_ping(text: str):
    assert pushed_milliseconds(text) == 0


# All of them

Ask = Callable[[Service], Any]
SENDS: dict[str, Ask] = {
    "healthchecks": lambda service: ping(service, CHECK),
    "uptime_kuma": push,
    "gatus": lambda service: external(service, "success=true"),
}
every_face = pytest.mark.parametrize("face", SENDS)


def bare(text: str) -> str:
    """What a refusal says, whatever its form."""
    return str(json.loads(text)["msg"]) if text.startswith("{") else text


@pytest.mark.parametrize(
    "send",
    [
        lambda service: push(service, "ping=-1"),
        lambda service: push(service, "ping=1e308"),
        lambda service: external(service, "success=true&duration=x"),
    ],
    ids=["push", "push beyond", "gatus"],
)
async def test_a_refused_report_costs_its_senders_share(service: Service, send: Callable[[Service], Any]):
    service.change("ingest", token_rate=1, token_burst=1)
    service.app[RATE_LIMITER]._clock = lambda: 1000.0
    statuses = [(await send(service))[0] for _ in range(2)]
    assert statuses[0] in (400, 404)
    assert statuses[1] == 429


@every_face
async def test_each_has_a_share_of_its_own(service: Service, face: str):
    service.change("ingest", token_rate=1, token_burst=1)
    service.app[RATE_LIMITER]._clock = lambda: 1000.0
    assert (await SENDS[face](service))[0] == 200
    status, text = await SENDS[face](service)
    assert status == 429
    assert bare(text).startswith("too many samples from this sender")
    for other in SENDS.keys() - {face}:
        assert (await SENDS[other](service))[0] == 200


@every_face
async def test_only_allowed_addresses_may_send(service: Service, config: Config, face: str):
    service.change("auth", allowed_ips=(ip_network("203.0.113.0/24"),))
    status, text = await SENDS[face](service)
    assert (status, bare(text)) == (401, "invalid ip: 127.0.0.1")
    assert stored(config.database.path) == []


@every_face
async def test_what_was_taken_out_of_the_configuration_is_known_no_more(service: Service, face: str):
    assert (await SENDS[face](service))[0] == 200
    await service.configure(a_monitor("earth"), a_monitor("mars", senders=EARTH))
    assert (await SENDS[face](service))[0] == 200
    await service.configure(a_monitor("earth"), a_monitor("mars"))
    assert (await SENDS[face](service))[0] == 404
    tags = {row[0] for row in stored(service.app[keys.RUNNING].config.database.path)}
    assert tags == {"earth", "mars"}


@every_face
async def test_a_heartbeat_that_cannot_be_stored_is_to_be_sent_again(service: Service, face: str):
    service.app[keys.WRITER]._limit = 0
    status, text = await SENDS[face](service)
    assert (status, bare(text)) == (503, "too many heartbeats are waiting to be stored")


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", f"/ping/{CHECK}"),
        ("GET", f"/api/push/{PUSH}"),
        ("POST", "/api/v1/endpoints/core_front-end/external?success=true"),
    ],
)
async def test_they_are_answered_below_the_base_path_too(
    config: Config, clock: FakeClock, method: str, address: str
):
    below = replace(config, server=replace(config.server, base_path="/status"))
    async with running(below, clock) as service:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert (await ask(service, method, f"/status{address}", headers=headers))[0] == 200
        assert (await ask(service, method, address, headers=headers))[0] == 200
    assert stored(config.database.path) == [UP]


# Configuration


def faults(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refusal:
        load(file, {})
    return [fault.removeprefix(str(file)).partition(": ")[2] for fault in refusal.value.problems]


def test_a_monitor_is_called_by_senders_as_the_configuration_says(tmp_path: Path):
    (tmp_path / "config.toml").write_text(
        f"""
        [[monitors]]
        tag = "earth"
        healthchecks = {{ uuid = "{CHECK.upper()}", ping_key = "{PING_KEY}", slug = "database-backup" }}
        uptime_kuma = {{ token = "{PUSH}" }}
        gatus = {{ key = "core_front-end", token = "{TOKEN}" }}
        [[monitors]]
        tag = "mars"
        """
    )
    earth, mars = load(tmp_path / "config.toml", {}).monitors
    assert (earth.senders, mars.senders) == (EARTH, Senders())
    assert not any(secret in repr(earth) for secret in (CHECK, PING_KEY, PUSH, TOKEN))


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("healthchecks = {}", "healthchecks: is empty, set uuid, or ping_key and slug"),
        ('healthchecks = { uuid = "x" }', "healthchecks.uuid: must be a UUID, 8-4-4-4-12 hexadecimal digits"),
        (f'healthchecks = {{ uuid = "{CHECK}", slug = "a" }}', "healthchecks.slug: needs ping_key"),
        (f'healthchecks = {{ ping_key = "{PING_KEY}" }}', "healthchecks.ping_key: needs slug"),
        (
            f'healthchecks = {{ ping_key = "{PING_KEY}", slug = "A b" }}',
            'healthchecks.slug: must be 1 to 100 of a-z 0-9 _ -, not "A b"',
        ),
        ("uptime_kuma = {}", "uptime_kuma.token: is missing"),
        (
            'uptime_kuma = { token = "abc/def/ghi" }',
            "uptime_kuma.token: must be 8 to 200 of A-Z a-z 0-9 . _ ~ -",
        ),
        ('uptime_kuma = { token = "changeme1" }', "uptime_kuma.token: is a placeholder, not a secret"),
        (
            'gatus = { key = "core_api", token = "short" }',
            "gatus.token: must be 8 to 200 of ASCII without spaces",
        ),
        (
            f'gatus = {{ key = "Core_App 1", token = "{TOKEN}" }}',
            'gatus.key: must be group_name as Gatus writes it, not "Core_App 1", did you mean "core_app-1"?',
        ),
        (
            f'gatus = {{ key = "core", token = "{TOKEN}" }}',
            'gatus.key: must be group_name as Gatus writes it, not "core", did you mean "_core"?',
        ),
    ],
)  # fmt: skip
def test_what_senders_cannot_call_a_monitor_is_named(tmp_path: Path, table: str, fault: str):
    assert faults(tmp_path, f'[[monitors]]\ntag = "earth"\n{table}') == [f'monitors["earth"].{fault}']


@pytest.mark.parametrize(
    ("one", "other", "place"),
    [
        (f'healthchecks = {{ uuid = "{CHECK}" }}', f'healthchecks = {{ uuid = "{CHECK.upper()}" }}', "uuid"),
        *[(f'healthchecks = {{ ping_key = "{PING_KEY}", slug = "a" }}',) * 2 + ("slug",)],
        *[(f'uptime_kuma = {{ token = "{PUSH}" }}',) * 2 + ("token",)],
        (
            f'gatus = {{ key = "a_b", token = "{TOKEN}" }}',
            f'gatus = {{ key = "a_b", token = "{TOKEN}x" }}',
            "key",
        ),
    ],
)
def test_two_monitors_cannot_be_called_the_same(tmp_path: Path, one: str, other: str, place: str):
    text = f'[[monitors]]\ntag = "earth"\n{one}\n[[monitors]]\ntag = "mars"\n{other}'
    (fault,) = faults(tmp_path, text)
    assert fault == f'monitors["mars"].{one.split(maxsplit=1)[0]}.{place}: is already used by "earth"'


def test_two_monitors_may_share_a_ping_key(tmp_path: Path):
    lines = [
        f'[[monitors]]\ntag = "{slug}"\nhealthchecks = {{ ping_key = "{PING_KEY}", slug = "{slug}" }}'
        for slug in ("a", "b")
    ]
    (tmp_path / "config.toml").write_text("\n".join(lines))
    assert len(load(tmp_path / "config.toml", {}).monitors) == 2


# Clients of their ecosystems, against the server itself

CONFIG = f"""
[auth]
secret_key = "{SECRET}"
[log]
requests = "all"
[[monitors]]
tag = "earth"
healthchecks = {{ uuid = "{CHECK}", ping_key = "{PING_KEY}", slug = "database-backup" }}
uptime_kuma = {{ token = "{PUSH}" }}
gatus = {{ key = "core_front-end", token = "{TOKEN}" }}
[[monitors]]
tag = "mars"
latency_unit = "ms"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, CONFIG) as server:
        yield server.start()
        log = server.log_text()
        assert not any(secret in log for secret in (CHECK, PING_KEY, PUSH, TOKEN)), "a secret was logged"


def newest(server: Server, tag: str = "earth") -> tuple[str, float]:
    status, latency = [row[2:] for row in stored(server.database) if row[0] == tag][-1]
    return status, latency


async def run(*words: str, seconds: float = 20) -> Answer:
    """Exit status and output of a program."""
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), seconds)
    assert process.returncode is not None
    return process.returncode, out.decode()


def curl(*words: str) -> Any:
    return run("curl", "-fsS", "-m", "10", "--retry", "5", *words)


@pytest.mark.process
async def test_a_decorated_job_pings_as_it_pings_healthchecks(server: Server):
    """healthchecks-decorator, from PyPI."""
    url = f"http://127.0.0.1:{server.port}/ping/{CHECK}"

    @healthcheck(url=url, send_start=True, send_diagnostics=True)
    def job(fails: bool) -> dict[str, int]:
        assert begun(server.database) == [("earth", "")]
        if fails:
            raise ValueError("on purpose")
        return {"rows": 7}

    assert await asyncio.to_thread(job, False) == {"rows": 7}
    status, seconds = newest(server)
    assert (status, 0 < seconds < 10) == ("UP", True)
    with pytest.raises(ValueError, match="on purpose"):
        await asyncio.to_thread(job, True)
    assert newest(server)[0] == "DOWN"
    assert begun(server.database) == []


@pytest.mark.process
async def test_curl_pings_as_the_documentation_of_healthchecks_shows(server: Server):
    base = f"http://127.0.0.1:{server.port}/ping"
    assert await curl("-o", "/dev/null", f"{base}/{CHECK}") == (0, "")
    assert newest(server) == ("UP", 0.0)
    script = f"false; curl -fsS -m 10 --retry 5 -o /dev/null {base}/{CHECK}/$?"
    assert (await run("sh", "-c", script))[0] == 0
    assert newest(server)[0] == "DOWN"
    assert await curl("--data-raw", "m" * 100_000, f"{base}/{PING_KEY}/database-backup") == (0, "OK")
    assert newest(server)[0] == "UP"
    assert await curl("-d", "half way", f"{base}/{CHECK}/log") == (0, "OK")
    assert await curl("--head", "-o", "/dev/null", f"{base}/{CHECK}/fail") == (0, "")
    assert newest(server)[0] == "DOWN"
    for address in (f"{base}/{OTHER}", f"{base}/nothing"):
        assert (await curl(address))[0] == 22


@pytest.mark.process
async def test_a_start_outlives_a_crash(server: Server):
    base = f"http://127.0.0.1:{server.port}/ping/{CHECK}"
    assert await curl(f"{base}/start?rid={RUN}") == (0, "OK")
    server.kill()
    server.start()
    assert await curl(f"{base}?rid={RUN}") == (0, "OK")
    status, seconds = newest(server)
    assert (status, 0 < seconds < 30) == ("UP", True)


@pytest.mark.process
async def test_a_program_pushes_as_it_pushes_to_uptime_kuma(server: Server):
    """apykuma, from PyPI."""
    base = f"http://127.0.0.1:{server.port}/api/push/{PUSH}"
    async with aiohttp.ClientSession() as session:
        reply = await apykuma.ping(session, f"{base}?status=up&msg=OK&ping=125")
        assert reply.status == 200
        assert newest(server) == ("UP", 0.125)
        assert (await apykuma.ping(session, f"{base}?status=down&msg=broken&ping=")).status == 200
        assert newest(server) == ("DOWN", 0.0)
        assert (await apykuma.ping(session, f"{base}x")).status == 404


@pytest.mark.process
async def test_curl_posts_as_the_documentation_of_gatus_shows(server: Server):
    """No client on PyPI or npm reports results; its documentation shows this request."""
    address = f"http://127.0.0.1:{server.port}/api/v1/endpoints/core_front-end/external"
    allowed = ("-X", "POST", "-H", f"Authorization: Bearer {TOKEN}")
    assert await curl(*allowed, f"{address}?success=true&error=&duration=10s") == (0, "")
    assert newest(server) == ("UP", 10.0)
    assert await curl(*allowed, f"{address}?success=false&error=timeout") == (0, "")
    assert newest(server) == ("DOWN", 0.0)
    assert (await curl("-X", "POST", "-H", "Authorization: Bearer x", f"{address}?success=true"))[0] == 22


SENDER = """
const [url, token] = process.argv.slice(1)
const send = (body) => fetch(url + '/api/status', {
  method: 'POST',
  headers: { 'Content-Type': 'application/json', Authorization: 'Bearer ' + token },
  body: JSON.stringify(body),
})
const began = Date.now()
await fetch(url + '/healthz')
const reply = await send({
  tag: 'mars', status: 'UP', latency: Date.now() - began + 17,
  timestampInSeconds: Math.ceil(Date.now() / 1000),
})
console.log(JSON.stringify([reply.status, await reply.json()]))
"""


@pytest.mark.process
async def test_the_node_senders_of_kener_work_unchanged(server: Server):
    """They post milliseconds, and a timestamp rounded up to the next second."""
    token = server.mint("--tag", "mars")
    base = f"http://127.0.0.1:{server.port}"
    status, text = await run(str(NODE), "--input-type=module", "-e", SENDER, base, token)
    assert status == 0
    answered, body = json.loads(text)
    (row,) = [row for row in stored(server.database) if row[0] == "mars"]
    assert (answered, body) == (200, {"status": 200, "message": f"success at {row[1]}"})
    assert (row[2], 17 <= row[3] < 5000) == ("UP", True)


async def test_a_timestamp_of_the_coming_second_means_this_minute(service: Service, config: Config):
    service.clock.now = NOON + 59
    await service.beat("mars", at=NOON + 60, latency=17)
    assert stored(config.database.path) == [("mars", NOON, "UP", 17.0)]
