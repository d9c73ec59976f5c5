"""Metrics: each is documented and correct, and alerts and dashboard use no others."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from kener_async import keys
from kener_async.app import apply
from kener_async.config.model import Senders
from kener_async.domain.alerts import Alert, Severity
from kener_async.domain.checks import Obstacle
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.metrics import Metrics, outcome_of
from kener_async.store import alerts, channel_states, notices
from kener_async.store.interface import Session
from kener_async.worker.housekeeping import count_alerts
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running
from tests.test_beats import a_beat

CHECK = "5b1cb2a0-4d0e-4f4f-9a55-6ce4a1e0d7c1"
DOCS = Path(__file__).parent.parent / "docs"
SUFFIXES = {"counter": ("_total",), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count")}
NAME = re.compile(r"\b(?:kener|process)_[a-z_]+\b")


def names() -> dict[str, str]:
    """The metrics by the names that are asked for, with their types."""
    return {
        family.name + suffix: family.type
        for family in Metrics().registry.collect()
        for suffix in SUFFIXES.get(family.type, ("",))
    }


def asked(expressions: Iterator[str]) -> set[str]:
    return {name for expression in expressions for name in NAME.findall(expression)}


async def value(service: Service, name: str, **labels: str) -> float | None:
    """What /metrics says."""
    async with service.client.get("/metrics") as reply:
        assert reply.status == 200
    found: float | None = service.app[keys.METRICS].registry.get_sample_value(name, labels)
    return found


def test_every_metric_is_documented_and_no_other():
    rows = [line for line in (DOCS / "metrics.md").read_text().splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in NAME.findall(row.split("|")[1])}
    parts = {"_bucket", "_sum", "_count"}
    there = {name.removesuffix(part) for name in names() for part in parts if name.endswith(part)}
    there |= {name for name, kind in names().items() if kind != "histogram"}
    assert documented == there


def test_the_alerts_ask_for_metrics_that_are_there():
    (group,) = yaml.safe_load((DOCS / "prometheus-alerts.yml").read_text())["groups"]
    assert all({"alert", "expr", "labels", "annotations"} <= rule.keys() for rule in group["rules"])
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"])
    assert asked(rule["expr"] for rule in group["rules"]) <= names().keys()


def test_the_dashboard_queries_metrics_that_exist():
    panels: list[dict[str, Any]] = json.loads((DOCS / "grafana-dashboard.json").read_text())["panels"]
    assert asked(target["expr"] for panel in panels for target in panel.get("targets", ())) <= names().keys()
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [tuple(panel["gridPos"].values()) for panel in panels]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, "invalid"),
        (401, "denied"),
        (403, "denied"),
        (413, "invalid"),
        (429, "limited"),
        (500, "failed"),
        (503, "unavailable"),
    ],
)
def test_a_refused_heartbeat_is_counted_by_what_became_of_it(status: int, outcome: str):
    assert outcome_of(status) == outcome


async def test_heartbeats_are_counted_and_other_requests_are_not_among_them(service: Service):
    await service.beat()
    await service.ask("POST", "/api/status", json={"tag": "nowhere", "status": "UP", "latency": 1})
    await service.ask("POST", "/api/status", token="forged", json={})
    await service.get("/api/status", tag="earth")
    for outcome in ("stored", "invalid", "denied"):
        assert await value(service, "kener_heartbeats_total", outcome=outcome) == 1, outcome


@pytest.mark.parametrize(
    ("method", "path", "stored"),
    [
        ("GET", f"/ping/{CHECK}", 1),
        ("HEAD", f"/ping/{CHECK}", 1),
        ("POST", f"/ping/{CHECK}/fail", 1),
        ("GET", f"/ping/{CHECK}/start", None),
        ("HEAD", f"/ping/{CHECK}/start", None),
        ("POST", f"/ping/{CHECK}/log", None),
        ("GET", "/api/push/kuma-token?status=up", 1),
        ("HEAD", "/api/push/kuma-token", 1),
        ("POST", "/api/push/kuma-token", 1),
        ("HEAD", "/beat/{key}", None),
        ("GET", "/beat/{key}", 1),
    ],
)
async def test_a_heartbeat_is_counted_as_stored_when_a_sample_is_on_disk(
    service: Service, method: str, path: str, stored: int | None
):
    await service.configure(a_monitor("earth", senders=Senders((CHECK,), "kuma-token")))
    key = await a_beat(service)
    async with service.client.request(method, path.format(key=key)) as reply:
        assert reply.status == 200
    assert await value(service, "kener_heartbeats_total", outcome="stored") == stored


async def test_a_page_is_made_once_and_served_whole_or_unchanged(service: Service):
    async with service.client.get("/") as reply:
        etag = reply.headers["ETag"]
    async with service.client.get("/", headers={"If-None-Match": etag}) as reply:
        assert reply.status == 304
    assert await value(service, "kener_pages_made_total") == 1
    assert await value(service, "kener_pages_served_total", status="200") == 1
    assert await value(service, "kener_pages_served_total", status="304") == 1


async def test_each_monitor_has_its_status_and_its_uptime(tmp_path: Path):
    pump = a_monitor(
        "pump", MonitorSettings(expectation=EveryInterval(interval=60, grace=0, down_after=60)), hidden=True
    )
    async with running(a_config(tmp_path, pump), FakeClock(NOON)) as service:
        await service.beat("pump")
        service.pass_time(60)
        await service.beat("pump")
        service.pass_time(120)
        await service.get("/api/monitors")  # the scheduled job reads ahead by the wall clock
        assert await value(service, "kener_monitor_status", tag="pump") == 2
        assert await value(service, "kener_monitor_uptime_ratio", tag="pump", window="24h") == 0.75
        (listed,) = await service.get("/api/monitors")
        assert listed["uptime"]["24h"] == "75.0000"


async def test_more_monitors_than_allowed_have_no_metrics_of_their_own(service: Service):
    await service.beat()
    assert await value(service, "kener_monitor_status", tag="earth") == 0
    config = service.app[keys.RUNNING].config
    await apply(service.app, replace(config, metrics=replace(config.metrics, max_monitors=1)))
    assert await value(service, "kener_monitor_status", tag="earth") is None
    assert await value(service, "kener_monitors") == 2


@pytest.mark.parametrize("max_monitors", [0, 1000])
async def test_categories_have_counts_of_their_statuses_with_any_number_of_monitors(
    tmp_path: Path, max_monitors: int
):
    monitors = [a_monitor(f"m{n}", category="" if n == 3 else "Field") for n in range(4)]
    config = a_config(tmp_path, *monitors)
    config = replace(config, metrics=replace(config.metrics, max_monitors=max_monitors))
    async with running(config, FakeClock(NOON)) as service:
        await service.beat("m0", "DOWN")
        await service.beat("m1", "UP")
        for category, status, count in (
            ("Field", "DOWN", 1),
            ("Field", "UP", 1),
            ("Field", "NO_DATA", 1),
            ("Field", "MAINTENANCE", 0),
            ("", "NO_DATA", 1),
        ):
            found = await value(service, "kener_category_monitors", category=category, status=status)
            assert found == count, (category, status)


async def test_damage_free_space_and_lag_are_metrics(service: Service):
    service.clock.now += 30
    assert await value(service, "kener_observer_lag_seconds") == 30
    assert (await value(service, "kener_disk_free_bytes") or 0) > 0
    assert await value(service, "kener_database_damaged") == 0
    service.app[keys.DATABASE].damage = "samples: damaged"
    assert await value(service, "kener_database_damaged") == 1


async def test_a_stalled_writer_does_not_keep_the_metrics_waiting(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    async def hangs(*_: object, **__: object) -> None:
        raise AssertionError("the metrics must not write")

    monkeypatch.setattr(service.app[keys.DATABASE], "write", hangs)
    service.clock.now += 900
    assert await value(service, "kener_monitor_status", tag="earth") == 4


async def test_alerts_deliveries_and_paused_channels_are_counted_for_configured_channels_only(
    service: Service,
):
    database, metrics = service.app[keys.DATABASE], service.app[keys.METRICS]

    def store(session: Session) -> None:
        alerts.add(session, Alert(0, 1, "down", Severity.WARNING, NOON, NOON))
        notices.add(session, NoticeKind.OPENED, NOON, 1, None, Facts(), ["chat", "mail"], NOON + 60)
        for channel in ("mail", "gone"):
            channel_states.pause(session, channel, NOON)

    await database.write(store)
    await count_alerts(database, metrics, lambda: None)
    assert await value(service, "kener_alerts_open", severity="warning") == 0
    await count_alerts(database, metrics, lambda: ["chat", "mail"])
    assert await value(service, "kener_alerts_open", severity="warning") == 1
    assert await value(service, "kener_alerts_open", severity="critical") == 0
    assert await value(service, "kener_deliveries_waiting") == 2
    assert await value(service, "kener_channels_paused") == 1


def test_the_reasons_for_which_checks_are_not_measured_are_documented():
    (row,) = (
        line
        for line in (DOCS / "metrics.md").read_text().splitlines()
        if line.startswith("| `kener_checks_not_measured_total")
    )
    assert set(re.findall(r"`([a-z]+)`", row)) == {obstacle.value for obstacle in Obstacle}
