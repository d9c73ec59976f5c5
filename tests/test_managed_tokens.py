"""/api/manage/tokens and /api/manage/devices, and the rows that acts leave in the audit log."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.model import Config
from kener_async.store.interface import Session
from tests.rigs.service import NOON, FakeClock, Service, running

DAY = 86_400


@pytest.fixture
async def service(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with running(config, clock) as running_service:
        running_service.token = await running_service.mint(name="Ada", scopes=("admin",))
        yield running_service


def _audited(session: Session) -> list[tuple[str, str, str]]:
    return session.execute("SELECT actor, act, object FROM audit ORDER BY id").fetchall()


async def audited(service: Service) -> list[tuple[str, str, str]]:
    """Actor, act and object of each row, oldest first."""
    found: list[tuple[str, str, str]] = await service.app[keys.DATABASE].read(_audited)
    return found


async def made(service: Service, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await service.post("/api/manage/tokens", {"name": "site-7", **fields})
    return answer


async def test_a_new_token_works_and_is_told_once(service: Service):
    new = await made(service, scopes=["status:write"], tags=["earth"], expires="90d")
    assert (new["scopes"], new["tags"], new["expiresAt"]) == (["status:write"], ["earth"], NOON + 90 * DAY)
    beat = {"tag": "earth", "status": "UP", "latency": 1}
    assert (await service.ask("POST", "/api/status", new["token"], json=beat))[0] == 200
    assert (await service.ask("POST", "/api/status", new["token"], json=beat | {"tag": "mars"}))[0] == 403
    listed = {each["id"]: each for each in await service.get("/api/manage/tokens")}
    assert "token" not in listed[new["id"]]
    assert new["token"] not in str(listed)
    assert ("token:Ada", "token.create", f"token {new['id']}") in await audited(service)


async def test_a_revoked_token_is_refused_by_the_next_request(service: Service):
    new = await made(service, scopes=["status:read"])
    assert (await service.ask("GET", "/api/monitors", new["token"]))[0] == 200
    status, revoked = await service.ask("DELETE", f"/api/manage/tokens/{new['id']}")
    assert (status, revoked["state"], revoked["revokedAt"]) == (200, "revoked", NOON)
    assert (await service.ask("GET", "/api/monitors", new["token"]))[0] == 401
    again = await service.ask("DELETE", f"/api/manage/tokens/{new['id']}")
    assert again == (200, revoked)
    acts = [act for _, act, _ in await audited(service)]
    assert acts == ["token.create", "token.revoke"]


async def test_a_push_key_reports_its_monitor_until_it_is_revoked(service: Service):
    new = await made(service, pushKey=True, tags=["earth"])
    assert new["expiresAt"] is None
    address = f"/beat/{new['token']}"
    async with service.client.get(address) as reply:
        assert reply.status == 200
    await service.ask("DELETE", f"/api/manage/tokens/{new['id']}")
    async with service.client.get(address) as reply:
        assert reply.status == 404


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": " "}, "name"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"tags": []}, "tags"),
        ({"expires": "soon"}, "expires"),
        ({"pushKey": True}, "tags"),
        ({"pushKey": True, "tags": ["site-*"]}, "tags"),
        ({"pushKey": True, "tags": ["earth"], "scopes": ["admin"]}, "scopes"),
    ],
)
async def test_a_malformed_order_names_its_field_and_makes_nothing(
    service: Service, fields: dict[str, Any], named: str
):
    before = len(await service.get("/api/manage/tokens"))
    body = {"name": "site-7", **fields}
    status, answer = await service.ask("POST", "/api/manage/tokens", json=body)
    assert status == 400
    assert answer["error"].startswith(f"Invalid {named}")
    assert len(await service.get("/api/manage/tokens")) == before


async def test_a_token_with_tags_makes_and_sees_none_for_more(service: Service):
    everywhere = await made(service)
    own = await made(service, tags=["earth"], scopes=["admin"])
    limited = own["token"]
    for tags in ({}, {"tags": ["mars"]}, {"tags": ["*"]}, {"tags": ["earth", "mars"]}):
        body = {"name": "more", **tags}
        assert (await service.ask("POST", "/api/manage/tokens", limited, json=body))[0] == 403, tags
    body = {"name": "same", "tags": ["earth"]}
    assert (await service.ask("POST", "/api/manage/tokens", limited, json=body))[0] == 200
    seen = (await service.ask("GET", "/api/manage/tokens", limited))[1]
    assert sorted(each["name"] for each in seen) == ["same", "site-7"]
    status, answer = await service.ask("DELETE", f"/api/manage/tokens/{everywhere['id']}", limited)
    assert (status, answer) == (404, {"error": "token not found"})


async def test_other_scopes_make_and_revoke_nothing(service: Service):
    new = await made(service)
    writer = await service.mint(scopes=("manage:read", "channel:write", "monitor:write"))
    for method, path in (
        ("GET", "/api/manage/tokens"),
        ("POST", "/api/manage/tokens"),
        ("DELETE", f"/api/manage/tokens/{new['id']}"),
        ("DELETE", "/api/manage/devices/1"),
    ):
        assert (await service.ask(method, path, writer))[0] == 403, path


async def test_a_forgotten_device_is_gone_and_its_samples_stay(service: Service):
    sender = await service.mint(name="site-7")
    batch = {
        "device": "gate-7",
        "samples": [{"tag": "earth", "status": "UP", "latency": 1, "timestampInSeconds": NOON, "seq": 5}],
    }
    assert (await service.ask("POST", "/api/status/batch", sender, json=batch))[0] == 200
    (device,) = await service.get("/api/devices")
    limited = await service.mint(scopes=("admin",), tags=("mars",))
    assert (await service.ask("DELETE", f"/api/manage/devices/{device['id']}", limited))[0] == 404
    status, forgotten = await service.ask("DELETE", f"/api/manage/devices/{device['id']}")
    assert (status, forgotten) == (200, device)
    assert await service.get("/api/devices") == []
    (earth, _) = await service.get("/api/monitors")
    assert earth["status"] == "UP"
    assert (await service.ask("DELETE", f"/api/manage/devices/{device['id']}"))[0] == 404
    assert ("token:Ada", "device.forget", f"device {device['id']}") in await audited(service)
