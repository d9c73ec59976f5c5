"""`doctor`: every problem is found and has a remedy; a healthy service passes."""

import asyncio
import json
import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from kener_async.cli.main import main
from kener_async.config.model import BackupConfig, Config, ServerConfig
from kener_async.ops import diagnosis, doctor
from kener_async.ops.diagnosis import BUILT_AFTER, Finding, FindingState
from kener_async.store.tokens import Token
from tests.rigs.process import a_free_port
from tests.rigs.service import FakeClock, running

DAY = 86400
NOW = BUILT_AFTER + 200 * DAY
NOWHERE = BackupConfig(None, DAY, 7)
PLANNED = BackupConfig(Path("/srv/backups"), 3600, 7)


def states(found: Iterable[Finding]) -> dict[str, str]:
    """The worst state of each check."""
    order, worst = ["ok", "warn", "fail"], dict[str, str]()
    for one in found:
        worst[one.check] = max(worst.get(one.check, "ok"), str(one.state), key=order.index)
    return worst


def a_server(**fields: object) -> ServerConfig:
    plain = ServerConfig("127.0.0.1", 3000, "", (), 10, 0, 10, "", "/manage")
    return replace(plain, **fields)  # type: ignore[arg-type]


def a_token(**fields: object) -> Token:
    plain = Token("id", "door", ("status:write",), None, NOW - DAY, NOW + 300 * DAY, NOW - 60)
    return replace(plain, **fields)  # type: ignore[arg-type]


PROXY = (ip_network("127.0.0.1"),)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: diagnosis.of_clock(NOW, NOW - 5, True), "ok"),
        (lambda: diagnosis.of_clock(NOW, NOW + 60, True), "ok"),
        (lambda: diagnosis.of_clock(NOW, NOW + 61, True), "fail"),
        (lambda: diagnosis.of_clock(BUILT_AFTER - 1, 0, True), "fail"),
        (lambda: diagnosis.of_clock(NOW, NOW, False), "warn"),
        (lambda: diagnosis.of_clock(NOW, NOW, None), "warn"),
        (lambda: [diagnosis.of_space(2**25 - 1, "/data")], "fail"),
        (lambda: [diagnosis.of_space(2**25, "/data")], "warn"),
        (lambda: [diagnosis.of_space(2**30, "/data")], "ok"),
        (lambda: [diagnosis.of_flush([0.001, 0.002, 5.0])], "ok"),  # a single slow one is no slow disk
        (lambda: [diagnosis.of_flush([0.1, 0.2, 0.05])], "warn"),
        (lambda: [diagnosis.of_flush([1.0, 1.0, 1.0])], "fail"),
        (lambda: [diagnosis.of_file_system("ext4")], "ok"),
        (lambda: [diagnosis.of_file_system("nfs4")], "fail"),
        (lambda: [diagnosis.of_file_system("tmpfs")], "warn"),
        (lambda: [diagnosis.of_mode("key file", "key", 0o100600, 0o077, "600")], "ok"),
        (lambda: [diagnosis.of_mode("key file", "key", 0o100640, 0o077, "600")], "warn"),
        (lambda: [diagnosis.of_key(secrets.token_urlsafe(48).encode())], "ok"),
        (lambda: [diagnosis.of_key(secrets.token_bytes(32))], "ok"),
        (lambda: [diagnosis.of_key(b"a" * 64)], "fail"),
        (lambda: [diagnosis.of_key(b"abcd" * 12)], "fail"),
        (lambda: diagnosis.of_tokens([], NOW), "ok"),
        (lambda: diagnosis.of_tokens([a_token()], NOW), "ok"),
        (lambda: diagnosis.of_tokens([a_token(expires_at=None)], NOW), "warn"),
        (lambda: diagnosis.of_tokens([a_token(expires_at=None, revoked_at=NOW - 1)], NOW), "ok"),
        (lambda: diagnosis.of_tokens([a_token(expires_at=None, digest=b"key")], NOW), "ok"),
        (lambda: diagnosis.of_tokens([a_token(created_at=0, expires_at=NOW + 14 * DAY)], NOW), "ok"),
        (lambda: diagnosis.of_tokens([a_token(created_at=0, expires_at=NOW + 14 * DAY - 1)], NOW), "warn"),
        (lambda: diagnosis.of_tokens([a_token(expires_at=NOW + 60, digest=b"key")], NOW), "warn"),
        (lambda: diagnosis.of_tokens([a_token(created_at=NOW - 60, expires_at=NOW + DAY)], NOW), "ok"),
        (lambda: diagnosis.of_tokens([a_token(scopes=("admin",))], NOW), "warn"),
        (lambda: diagnosis.of_tokens([a_token(scopes=("admin",), expires_at=NOW)], NOW), "ok"),
        (lambda: diagnosis.of_tokens([a_token(created_at=0, last_used=NOW - 90 * DAY)], NOW), "ok"),
        (lambda: diagnosis.of_tokens([a_token(created_at=0, last_used=NOW - 90 * DAY - 1)], NOW), "warn"),
        (lambda: diagnosis.of_tokens([a_token(created_at=0, last_used=None)], NOW), "warn"),
        (lambda: [diagnosis.of_proxy(a_server())], "ok"),
        (lambda: [diagnosis.of_proxy(a_server(public_url="https://a.example"))], "warn"),
        (lambda: [diagnosis.of_proxy(a_server(public_url="http://a.example"))], "ok"),
        (lambda: [diagnosis.of_proxy(a_server(public_url="https://a.example", trusted_proxies=PROXY))], "ok"),
        (lambda: [diagnosis.of_proxy(a_server(trusted_proxies=PROXY))], "warn"),
        (lambda: [diagnosis.of_proxy(a_server(base_path="/status"))], "warn"),
        (
            lambda: [
                diagnosis.of_proxy(
                    a_server(public_url="https://a.example", trusted_proxies=(ip_network("0.0.0.0/0"),))
                )
            ],
            "fail",
        ),
        (lambda: [diagnosis.of_open_files(1023, 0)], "warn"),
        (lambda: [diagnosis.of_open_files(1024, 0)], "ok"),
        (lambda: [diagnosis.of_open_files(65536, 60_000)], "fail"),
        (lambda: [diagnosis.of_memory(1000, 2**30)], "ok"),
        (lambda: [diagnosis.of_memory(4000, 2**30)], "warn"),
        (lambda: [diagnosis.of_memory(1500, 2**27)], "fail"),
        (lambda: [diagnosis.of_log_size(2**26 + 1)], "warn"),
        (lambda: [diagnosis.of_log_size(2**26)], "ok"),
        (lambda: [diagnosis.of_backups(None, NOWHERE, NOW, "backups")], "warn"),
        (lambda: [diagnosis.of_backups(NOW - 2 * DAY, NOWHERE, NOW, "backups")], "ok"),
        (lambda: [diagnosis.of_backups(NOW - 2 * DAY - 1, NOWHERE, NOW, "backups")], "warn"),
        (lambda: [diagnosis.of_backups(NOW - 7200, PLANNED, NOW, "backups")], "ok"),
        (lambda: [diagnosis.of_backups(NOW - 7201, PLANNED, NOW, "backups")], "fail"),
    ],
)
def test_what_is_measured_is_judged(found: Callable[[], Iterable[Finding]], expected: str):
    findings = list(found())
    worst = max((one.state for one in findings), key=["ok", "warn", "fail"].index)
    assert worst == expected, findings
    assert all(bool(one.remedy) == (one.state is not FindingState.OK) for one in findings)


def test_the_memory_of_unit_documentation_and_doctor_agree():
    root = Path(__file__).parent.parent
    unit = re.search(r"^MemoryMax=(\d+)M$", (root / "systemd" / "kener-async.service").read_text(), re.M)
    docs = (root / "docs" / "operate.md").read_text()
    assert unit is not None
    assert int(unit[1]) == diagnosis.UNIT_MEMORY
    assert f"The unit allows {diagnosis.UNIT_MEMORY} MB" in docs
    table = docs.partition("| monitors | MB |")[2].partition("\n\n")[0]
    sizes = [tuple(map(int, line)) for line in re.findall(r"\| (\d+) \| (\d+) \|", table.replace(",", ""))]
    assert [monitors for monitors, _ in sizes] == [50, 1000, 5000]
    assert sizes == [(monitors, diagnosis.needed_memory(monitors)) for monitors, _ in sizes]
    assert diagnosis.needed_memory(1000) < diagnosis.UNIT_MEMORY


def test_no_finding_shows_the_key():
    secret = b"not-so-secret-aaaaaaaaaaaaaaaaaaaaaaaa"
    assert secret.decode() not in str(diagnosis.of_key(secret))


def test_tokens_are_named_and_not_all_of_many():
    many = [a_token(id=f"id{number}", expires_at=None) for number in range(9)]
    (found,) = diagnosis.of_tokens(many, NOW)
    assert found.text.startswith("9 never expire: door (id0), door (id1)")
    assert found.text.endswith("...")
    assert "id5" not in found.text


# On a real service

SOUND = {
    "clock",
    "disk space",
    "disk speed",
    "database",
    "journal",
    "write-ahead log",
    "owner",
    "signing key",
}


def here(config: Config, **fields: object) -> Config:
    return replace(config, server=replace(config.server, **fields))  # type: ignore[arg-type]


def examined(config: Config, now: int = NOW) -> dict[str, str]:
    return states(doctor.examine(config, now))


async def test_a_running_service_has_no_problems(config: Config, clock: FakeClock):
    strong = replace(config, auth=replace(config.auth, secret_key=secrets.token_urlsafe(48)))
    async with running(here(strong, port=0), clock):
        found = examined(here(strong, port=0))
    assert {check: found[check] for check in SOUND} == dict.fromkeys(SOUND, "ok")
    assert found["port"] == "ok"
    assert found["watchdog"] in ("ok", "warn")


async def test_nothing_is_made_where_nothing_is(tmp_path: Path, config: Config):
    bare = replace(
        config,
        auth=replace(config.auth, secret_key="", makes_secret_key=True, secret_key_file=tmp_path / "new/key"),
        database=replace(config.database, path=tmp_path / "new/kener.db"),
    )
    found = examined(bare)
    assert (found["disk"], found["database"], found["signing key"]) == ("warn", "warn", "ok")
    assert not (tmp_path / "new").exists()


async def test_a_clock_behind_the_database_is_found(config: Config, clock: FakeClock):
    clock.now = NOW
    async with running(config, clock):
        pass
    assert states(doctor.examine(config, NOW - 3600))["clock"] == "fail"


async def test_an_sqlite_that_is_too_old_is_found(
    config: Config, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    async with running(config, clock):
        monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
        found = [finding for finding in doctor.examine(config, clock.now) if finding.check == "sqlite"]
    assert [str(finding.state) for finding in found] == ["fail"]
    assert found[0].text == "SQLite 3.38 or newer is needed, this is 3.34.1"


async def test_what_is_no_database_is_found(config: Config):
    config.database.path.write_bytes(b"no database at all, but quite long enough to be one" * 100)
    assert examined(config)["database"] == "fail"


async def test_files_that_others_may_read_are_found(tmp_path: Path, config: Config, clock: FakeClock):
    key = tmp_path / "key"
    key.write_text(secrets.token_urlsafe(48))
    auth = replace(config.auth, secret_key="", secret_key_file=key)
    kept = replace(config, auth=auth)
    async with running(config, clock):
        pass
    for mode, expected in ((0o600, "ok"), (0o640, "warn")):
        key.chmod(mode)
        assert examined(kept)["key file"] == expected
    key.chmod(0o644)
    assert examined(kept)["signing key"] == "fail"
    tmp_path.chmod(0o755)
    for mode, expected in ((0o640, "ok"), (0o644, "warn")):
        config.database.path.chmod(mode)
        assert examined(kept)["permissions"] == expected
    tmp_path.chmod(0o700)
    assert examined(kept)["permissions"] == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_files_of_another_owner_beside_the_database_are_found(config: Config, clock: FakeClock):
    async with running(config, clock):
        pass
    stranger = Path(f"{config.database.path}.lock")
    os.chown(stranger, 65534, 65534)
    (found,) = [one for one in doctor.examine(config, NOW) if one.check == "owner"]
    assert (found.state, str(stranger) in found.remedy) == ("fail", True)


async def test_a_port_that_another_holds_is_found_without_asking(config: Config):
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_get("/healthz", answer)
    async with TestServer(app) as other:
        assert examined(here(config, port=other.port))["port"] == "warn"
    assert asked == []
    assert examined(here(config, port=a_free_port()))["port"] == "ok"


async def test_beside_a_server_the_port_must_be_its_own(config: Config, clock: FakeClock):
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.router.add_get("/healthz", answer)
    async with running(config, clock) as service, TestServer(app) as other:
        ours, theirs = service.client.port, other.port
        for port, expected in ((ours, "ok"), (theirs, "fail"), (a_free_port(), "fail")):
            asked = here(config, port=port)
            assert (await asyncio.to_thread(examined, asked))["port"] == expected, port


async def test_the_public_address_is_requested_only_with_online(config: Config, clock: FakeClock):
    def public(config: Config, online: bool) -> dict[str, str]:
        return states(doctor.examine(config, NOW, online=online))

    async with running(config, clock) as service:
        reached = here(config, public_url=f"http://127.0.0.1:{service.client.port}")
        assert (await asyncio.to_thread(public, reached, True))["public_url"] == "ok"
        nobody = here(config, public_url=f"http://127.0.0.1:{a_free_port()}")
        assert (await asyncio.to_thread(public, nobody, True))["public_url"] == "fail"
        assert "public_url" not in await asyncio.to_thread(public, nobody, False)


# The command


def test_the_command_tells_each_finding_with_its_remedy_and_fails_when_one_does(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text(f'[server]\nport = 0\n[auth]\nsecret_key = "{secrets.token_urlsafe(48)}"\n')
    sound = CliRunner().invoke(main, ["doctor", "--config", str(file)])
    assert sound.exit_code == 0, sound.output
    assert "ok    signing key: 64 bytes\n" in sound.stdout
    assert "\x1b" not in sound.stdout

    file.write_text(f'[server]\nport = 0\n[auth]\nsecret_key = "{"ab" * 32}"\n')
    weak = CliRunner().invoke(main, ["doctor", "--json", "--config", str(file)])
    assert weak.exit_code == 1
    failed = [one for one in json.loads(weak.stdout) if one["state"] == "fail"]
    assert [one["check"] for one in failed] == ["signing key"]
    assert failed[0]["remedy"]
