"""A slash at the end of an address: senders' addresses take it, others redirect with 308."""

import pytest

from kener_async.config.model import Senders
from kener_async.store import tokens
from tests.rigs.service import Service, a_monitor

KEY = "k" * 43
CHECK = "0fe4e4ee-4ee4-4ee4-8ee4-0fe4e4ee4ee4"
SENDERS = Senders(
    checks=(CHECK,),
    push_token="a-token-of-uptime-kuma-0123456789",
    gatus_key="core_earth",
    gatus_token="a-token-of-gatus-0123456789-0123",
)
FACES = {
    "a push key": ("GET", f"/beat/{KEY}/?status=UP"),
    "a push key by POST": ("POST", f"/beat/{KEY}/"),
    "Healthchecks": ("GET", f"/ping/{CHECK}/"),
    "Healthchecks, a start": ("POST", f"/ping/{CHECK}/start/"),
    "Healthchecks, an exit status": ("POST", f"/ping/{CHECK}/0/"),
    "Uptime Kuma": ("GET", f"/api/push/{SENDERS.push_token}/?status=up&msg=OK&ping=7"),
    "Gatus": ("POST", f"/api/v1/endpoints/{SENDERS.gatus_key}/external/?success=true"),
}
REDIRECTED = [
    "/monitor/earth", "/incidents", "/incidents/2025-12", "/incident/1", "/embed/earth",
    "/badge/earth/status",
    "/badge/earth/status.json", "/monitor/earth/2025-12-30", "/feed.atom", "/monitor/earth/feed.rss",
    "/maintenance.ics", "/api/v2/status.json", "/sitemap.xml", "/api/docs", "/api/openapi.json", "/healthz",
    "/api/status", "/api/incident", "/api/incident/1", "/api/incident/1/comment", "/api/monitors",
    "/api/monitors/earth/uptime", "/api/devices", "/metrics",
]  # fmt: skip


@pytest.mark.parametrize("base", ["", "/status"])
async def test_a_heartbeat_with_a_slash_at_the_end_is_not_lost(service: Service, base: str):
    service.change("server", base_path=base)
    await service.configure(a_monitor("earth", senders=SENDERS))
    await service.mint(name="key", digest=tokens.digest_of(KEY), tags=("earth",), scopes=("status:write",))
    for name, (method, path) in FACES.items():
        headers = {"Authorization": f"Bearer {SENDERS.gatus_token}"}
        url = f"{base}{path}"
        async with service.client.request(method, url, headers=headers, allow_redirects=False) as reply:
            assert reply.status == 200, name
        service.pass_time(60)
    assert (await service.get("/api/status", tag="earth"))["status"] == "UP"


@pytest.mark.parametrize("base", ["", "/status"])
@pytest.mark.parametrize("path", REDIRECTED)
async def test_other_addresses_with_a_slash_at_the_end_redirect(service: Service, path: str, base: str):
    service.change("server", base_path=base)
    for asked, location in ((f"{path}/", path), (f"{path}///?a=1&b=%20", f"{path}?a=1&b=%20")):
        async with service.client.get(f"{base}{asked}", allow_redirects=False) as reply:
            assert (reply.status, reply.headers["Location"]) == (308, f"{base}{location}")
            assert reply.headers["Server"] == "kener_async"


async def test_the_redirect_keeps_the_method_and_the_body(service: Service):
    body = {"tag": "earth", "status": "UP", "latency": 1}
    status, answer = await service.ask("POST", "/api/status/", json=body)
    assert (status, answer["status"]) == (200, 200)


@pytest.mark.parametrize(
    "path",
    ["//example.org/", "//monitor/earth/", "/nothing/", "/monitor/", "/beat/", "/api/", "/%2F/", "///"],
)
async def test_what_is_not_there_is_not_there_with_a_slash_either(service: Service, path: str):
    url = service.client.make_url("/").with_path(path, encoded=True)
    async with service.client.session.get(url, allow_redirects=False) as reply:
        assert reply.status == 404
        assert "Location" not in reply.headers
