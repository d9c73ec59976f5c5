"""/api/manage: alerts, deliveries, channels and drafts, for those who run the page."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.domain.access import DEFAULT_SCOPES, SCOPES
from kener_async.domain.alerts import Alert, Closing, Severity
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.ops import tokens as token_commands
from kener_async.store import alerts, channel_states, deliveries, monitors, notices
from kener_async.store.deliveries import DeliverySearch
from kener_async.store.interface import Session
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

HOUR = 3600
SETTINGS = """
[[channels]]
name = "ops"
kind = "command"
command = ["/bin/cat", "secret-argument"]
tell = ["opened", "resolved", "acknowledged"]
[[channels]]
name = "quiet"
kind = "command"
command = ["/bin/cat"]
[[alerts]]
name = "outage"
to = ["ops", "quiet"]
[[alerts]]
name = "late"
when = "DEGRADED"
to = ["ops"]
hours = "mon-fri 14:00-18:00"
"""
MANAGE = ("manage:read", "alert:write", "channel:write", "incident:write")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    plain = a_config(tmp_path, a_monitor("earth"), a_monitor("mars"))
    plain.file.write_text(plain.file.read_text() + SETTINGS)
    loaded = load(plain.file, {})
    return replace(loaded, monitors=plain.monitors)


@pytest.fixture
async def service(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with running(config, clock) as running_service:
        running_service.token = await running_service.mint(name="Ada", scopes=(*MANAGE, "status:write"))
        yield running_service


async def store(service: Service, work: Any, *args: Any) -> Any:
    return await service.app[keys.DATABASE].write(work, *args)


def add_alert(session: Session, tag: str, **values: Any) -> Alert:
    """An open alert that was told to ops, unless said otherwise."""
    monitor = next(number for number, each in monitors.tags(session).items() if each == tag)
    plain: dict[str, Any] = {"rule": "outage", "since": NOON - 300, "opened_at": NOON, "told_at": NOON}
    alert = alerts.add(session, Alert(0, monitor, severity=Severity.CRITICAL, **(plain | values)))
    if alert.told_at is not None:
        facts = Facts(tag, alert.rule, reason="timeout after 10 s", since=alert.since)
        notices.add(session, NoticeKind.OPENED, NOON, alert.id, None, facts, ["ops"], NOON + HOUR)
    return alert


def closed(**values: Any) -> dict[str, Any]:
    return {"until": NOON, "closed_at": NOON, "closing": Closing.RESOLVED, **values}


async def told(service: Service, kind: NoticeKind) -> list[tuple[int | None, str, Facts, float]]:
    """Alert, channel, facts and due time of each delivery of such notices, oldest first."""
    found = await service.app[keys.DATABASE].read(deliveries.search, DeliverySearch())
    return [
        (delivery.notice.alert, delivery.channel, delivery.notice.facts, delivery.due_at)
        for delivery in reversed(found)
        if delivery.notice.kind is kind
    ]


# Scopes


def test_a_token_gains_no_scope_that_did_not_exist_when_it_was_made():
    assert DEFAULT_SCOPES == ("status:write", "status:read", "incident:write", "incident:read")
    assert set(SCOPES) - set(DEFAULT_SCOPES) == {
        "manage:read",
        "alert:write",
        "incident:delete",
        "monitor:write",
        "channel:write",
        "report:read",
        "admin",
    }


async def test_a_token_made_without_scopes_manages_nothing(service: Service, config: Config):
    token = token_commands.create(config, "device", (), (), None, None)
    for method, path in (
        ("GET", "/api/manage/alerts"),
        ("GET", "/api/manage/deliveries"),
        ("GET", "/api/manage/channels"),
        ("GET", "/api/manage/incidents"),
        ("POST", "/api/manage/alerts/1/acknowledge"),
        ("POST", "/api/manage/deliveries/1/again"),
    ):
        assert (await service.ask(method, path, token))[0] == 403, path


# Alerts


async def test_alerts_are_listed_newest_first_with_all_that_is_known(service: Service):
    await store(service, add_alert, "earth")
    mars = await store(service, add_alert, "mars")
    late = {"because": mars.monitor, "told_at": None, "rule": "late"}
    await store(service, lambda session: add_alert(session, "earth", **closed(**late)))
    newest, second, oldest = await service.get("/api/manage/alerts")
    assert [each["id"] for each in (newest, second, oldest)] == [3, 2, 1]
    assert oldest == {
        "id": 1,
        "monitor": "earth",
        "rule": "outage",
        "severity": "critical",
        "state": "open",
        "since": NOON - 300,
        "openedAt": NOON,
        "toldAt": NOON,
        "reminders": 0,
        "remindedAt": None,
        "because": None,
        "isFlapping": False,
        "settledAt": None,
        "acknowledgedAt": None,
        "acknowledgedBy": None,
        "acknowledgedFrom": None,
        "snoozedUntil": None,
        "incidentNumber": None,
        "until": None,
        "closedAt": None,
        "closing": None,
    }
    assert (newest["because"], newest["toldAt"], newest["closing"]) == ("mars", None, "resolved")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, [4, 3, 2, 1]),
        ({"open": "true"}, [4, 2]),
        ({"open": "false"}, [3, 1]),
        ({"monitor": "mars"}, [4, 3]),
        ({"monitor": "earth", "open": "true"}, [2]),
        ({"limit": 2}, [4, 3]),
        ({"limit": 2, "before": 3}, [2, 1]),
        ({"before": 1}, []),
    ],
)
async def test_alerts_are_found_by_state_monitor_and_page(
    service: Service, query: dict[str, Any], ids: list[int]
):
    for tag in ("earth", "mars"):
        await store(service, lambda session, tag=tag: add_alert(session, tag, **closed()))
        await store(service, add_alert, tag)
    assert [each["id"] for each in await service.get("/api/manage/alerts", **query)] == ids


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"open": "yes"}, "Invalid open: must be true or false"),
        ({"limit": "0"}, "Invalid limit: must be an integer from 1 to 200"),
        ({"before": "x"}, "Invalid before: must be an id"),
        ({"monitor": "eart"}, 'invalid tag, did you mean "earth"?'),
    ],
)
async def test_an_invalid_query_is_named(service: Service, query: dict[str, str], message: str):
    assert await service.ask("GET", "/api/manage/alerts", params=query) == (400, {"error": message})


async def test_the_alerts_of_a_removed_monitor_are_still_listed(service: Service):
    await store(service, lambda session: add_alert(session, "mars", **closed()))
    await service.configure(a_monitor("earth"))
    assert [each["monitor"] for each in await service.get("/api/manage/alerts", monitor="mars")] == ["mars"]


# Acknowledge and snooze


async def test_acknowledging_one_acknowledges_all_open_alerts_of_its_monitor(service: Service):
    await store(service, lambda session: add_alert(session, "earth", **closed()))
    await store(service, add_alert, "earth")
    await store(service, lambda session: add_alert(session, "earth", rule="late"))
    await store(service, add_alert, "mars")
    service.clock.now = NOON + 60
    answer = await service.post("/api/manage/alerts/3/acknowledge", None)
    assert [each["id"] for each in answer] == [2, 3]
    for each in answer:
        assert (each["acknowledgedAt"], each["acknowledgedBy"]) == (NOON + 60, "Ada")
        assert each["acknowledgedFrom"] == "127.0.0.1"
    listed = {each["id"]: each["acknowledgedAt"] for each in await service.get("/api/manage/alerts")}
    assert listed == {1: None, 2: NOON + 60, 3: NOON + 60, 4: None}


async def test_channels_that_are_told_of_it_hear_by_whom_within_the_hours_of_the_rule(service: Service):
    await store(service, add_alert, "earth")
    await store(service, lambda session: add_alert(session, "earth", rule="late"))
    await service.post("/api/manage/alerts/1/acknowledge", None)
    of_outage, of_late = await told(service, NoticeKind.ACKNOWLEDGED)
    assert (of_outage[0], of_outage[1], of_outage[3]) == (1, "ops", NOON)
    assert (of_outage[2].acknowledged_by, of_outage[2].reason) == ("Ada", "timeout after 10 s")
    assert (of_late[0], of_late[1], of_late[3]) == (2, "ops", NOON + 2 * HOUR)


async def test_acknowledging_again_changes_nothing_and_tells_nobody(service: Service):
    await store(service, add_alert, "earth")
    first = await service.post("/api/manage/alerts/1/acknowledge", None)
    service.clock.now = NOON + 60
    assert await service.post("/api/manage/alerts/1/acknowledge", None) == first
    assert len(await told(service, NoticeKind.ACKNOWLEDGED)) == 1


async def test_of_a_quiet_alert_nobody_hears_that_it_was_acknowledged(service: Service):
    await store(service, lambda session: add_alert(session, "earth", told_at=None))
    (answer,) = await service.post("/api/manage/alerts/1/acknowledge", None)
    assert answer["acknowledgedBy"] == "Ada"
    assert await told(service, NoticeKind.ACKNOWLEDGED) == []


@pytest.mark.parametrize("body", [{"for": "1h30m"}, {"until": NOON + 5400}])
async def test_a_snooze_lasts_until_its_instant(service: Service, body: dict[str, Any]):
    await store(service, add_alert, "earth")
    (answer,) = await service.post("/api/manage/alerts/1/snooze", body)
    assert (answer["snoozedUntil"], answer["acknowledgedAt"]) == (NOON + 5400, None)
    ((_, channel, facts, _),) = await told(service, NoticeKind.ACKNOWLEDGED)
    assert (channel, facts.acknowledged_by, facts.until) == ("ops", "Ada", NOON + 5400)


async def test_the_newest_act_counts(service: Service):
    await store(service, add_alert, "earth")
    await service.post("/api/manage/alerts/1/snooze", {"for": "1h"})
    (answer,) = await service.post("/api/manage/alerts/1/acknowledge", None)
    assert (answer["snoozedUntil"], answer["acknowledgedAt"]) == (None, NOON)
    (answer,) = await service.post("/api/manage/alerts/1/snooze", {"for": "1h"})
    assert (answer["snoozedUntil"], answer["acknowledgedAt"]) == (NOON + HOUR, None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Invalid for: must be there, or until, but not both"),
        ({"for": "1h", "until": NOON + 60}, "Invalid for: must be there, or until, but not both"),
        ({"for": "soon"}, "Invalid for: must be a duration such as 30m or 8h, at most 1y"),
        ({"for": "0s"}, "Invalid for: must be a duration such as 30m or 8h, at most 1y"),
        ({"for": 3600}, "Invalid for: must be a duration such as 30m or 8h, at most 1y"),
        ({"until": NOON}, "Invalid until: must be later than now, and at most a year"),
        ({"until": NOON + 366 * 24 * HOUR}, "Invalid until: must be later than now, and at most a year"),
        ({"until": "tomorrow"}, "Invalid until: must be UTC seconds, an integer"),
    ],
)
async def test_an_invalid_snooze_is_named_and_changes_nothing(
    service: Service, body: dict[str, Any], message: str
):
    await store(service, add_alert, "earth")
    status, answer = await service.ask("POST", "/api/manage/alerts/1/snooze", json=body)
    assert (status, answer) == (400, {"error": message})
    assert (await service.get("/api/manage/alerts"))[0]["snoozedUntil"] is None


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("1", (400, {"error": "the alert is closed"})),
        ("2", (404, {"error": "alert not found"})),
        ("99999999999999999999", (400, {"error": "Invalid alertId: must be an integer"})),
    ],
)
async def test_an_alert_that_is_closed_or_not_there_is_not_acknowledged(
    service: Service, number: str, expected: tuple[int, Any]
):
    await store(service, lambda session: add_alert(session, "earth", **closed()))
    assert await service.ask("POST", f"/api/manage/alerts/{number}/acknowledge") == expected


# Deliveries


async def test_deliveries_tell_what_came_of_each_notice(service: Service):
    await store(service, add_alert, "earth")
    await store(service, add_alert, "mars")
    await store(service, deliveries.mark_failed, [1], NOON, "404 no such hook")
    newest, failed = await service.get("/api/manage/deliveries")
    assert failed == {
        "id": 1,
        "channel": "ops",
        "state": "failed",
        "kind": "opened",
        "at": NOON,
        "alert": 1,
        "incidentNumber": None,
        "monitor": "earth",
        "attempts": 0,
        "dueAt": NOON + HOUR,
        "doneAt": NOON,
        "mergedInto": None,
        "facts": {
            "monitor": "earth",
            "rule": "outage",
            "reason": "timeout after 10 s",
            "since": NOON - 300,
        },
        "answer": "404 no such hook",
    }
    assert newest["state"] == "due"
    assert [each["id"] for each in await service.get("/api/manage/deliveries", state="failed")] == [1]
    assert [each["id"] for each in await service.get("/api/manage/deliveries", before=2)] == [1]
    assert await service.get("/api/manage/deliveries", channel="quiet") == []


async def test_contents_and_answers_are_for_those_who_run_the_channels(service: Service):
    await store(service, add_alert, "earth")
    token = await service.mint(scopes=("manage:read",))
    _, (delivery,) = await service.ask("GET", "/api/manage/deliveries", token)
    assert not {"facts", "answer"} & delivery.keys()
    _, channels = await service.ask("GET", "/api/manage/channels", token)
    assert "lastFault" not in channels[0]


async def test_a_delivery_that_is_done_can_be_sent_again(service: Service):
    await store(service, add_alert, "earth")
    waiting = await service.ask("POST", "/api/manage/deliveries/1/again")
    assert waiting == (400, {"error": "this delivery is waiting to be sent"})
    await store(service, deliveries.mark_failed, [1], NOON, "404")
    answer = await service.post("/api/manage/deliveries/1/again", None)
    assert (answer["state"], answer["dueAt"], answer["doneAt"]) == ("due", NOON, None)
    assert (await service.ask("POST", "/api/manage/deliveries/7/again"))[0] == 404


async def test_what_concerns_no_monitor_is_not_there_for_a_token_of_some(service: Service):
    def add_test(session: Session) -> None:
        facts = Facts(channel="ops")
        notices.add(session, NoticeKind.CHANNEL_PAUSED, NOON, None, None, facts, ["quiet"], NOON + HOUR)
        deliveries.mark_failed(session, [1], NOON, "")

    await store(service, add_test)
    limited = await service.mint(scopes=MANAGE, tags=("earth",))
    assert await service.ask("GET", "/api/manage/deliveries", limited) == (200, [])
    assert (await service.ask("POST", "/api/manage/deliveries/1/again", limited))[0] == 404
    assert len(await service.get("/api/manage/deliveries")) == 1


# Channels


async def test_channels_are_listed_with_their_state_and_without_secrets(service: Service):
    await store(service, channel_states.note_sent, "quiet", NOON)
    for _ in range(2):
        await store(service, lambda session: channel_states.note_fault(session, "ops", "410", for_good=True))
    await store(service, channel_states.pause, "ops", NOON)
    ops, quiet = await service.get("/api/manage/channels")
    assert ops == {
        "name": "ops",
        "kind": "command",
        "tell": ["opened", "resolved", "acknowledged"],
        "rules": ["outage", "late"],
        "failures": 2,
        "pausedAt": NOON,
        "lastSentAt": None,
        "lastFault": "410",
    }
    assert (quiet["rules"], quiet["lastSentAt"], quiet["pausedAt"]) == (["outage"], NOON, None)


async def test_a_test_sends_an_example_and_shows_what_was_sent_and_answered(service: Service):
    await store(service, channel_states.pause, "quiet", NOON)
    answer = await service.post("/api/manage/channels/quiet/test", None)
    assert answer["delivered"] is True
    (request,) = answer["requests"]
    assert request.startswith("/bin/cat\n\n{")
    assert '"earth"' in request
    assert "earth" in answer["answer"]
    assert (await service.get("/api/manage/channels"))[1]["pausedAt"] is None


async def test_a_test_of_a_channel_that_does_not_work_says_why(service: Service):
    answer = await service.post("/api/manage/channels/ops/test", None)
    assert answer | {"requests": []} == {
        "delivered": False,
        "requests": [],
        "answer": "ended with status 1: /bin/cat: ***: No such file or directory",
    }


async def test_a_test_names_a_monitor_that_the_token_may_see(service: Service):
    limited = await service.mint(scopes=("channel:write",), tags=("mars",))
    _, answer = await service.ask("POST", "/api/manage/channels/quiet/test", limited)
    assert '"mars"' in answer["answer"]
    assert "earth" not in str(answer)


async def test_an_unknown_channel_is_not_tested(service: Service):
    answer = await service.ask("POST", "/api/manage/channels/none/test")
    assert answer == (404, {"error": "channel not found"})


# Drafts


async def test_a_draft_is_listed_and_published(service: Service):
    number = (await service.post("/api/incident", {"title": "Disk full", "tags": ["earth"]}))[
        "incidentNumber"
    ]

    def make_draft(session: Session) -> None:
        session.execute("UPDATE incidents SET is_draft = 1, source = 1, covers = 0")

    await store(service, make_draft)
    await service.post("/api/incident", {"title": "Public", "tags": ["mars"]})
    (draft,) = await service.get("/api/manage/incidents", draft="true")
    assert (draft["title"], draft["isDraft"], draft["source"], draft["covers"]) == (
        *("Disk full", True, "rule"),
        False,
    )
    assert [each["title"] for each in await service.get("/api/manage/incidents")] == ["Public", "Disk full"]
    assert "Disk full" not in await (await service.client.get("/")).text()
    answer = await service.post(f"/api/manage/incidents/{number}/publish", None)
    assert (answer["isDraft"], answer["incidentNumber"]) == (False, number)
    assert "Disk full" in await (await service.client.get("/")).text()
    assert await service.get("/api/manage/incidents", draft="true") == []


async def test_a_draft_that_names_other_monitors_too_is_published_by_a_token_of_all(service: Service):
    await service.post("/api/incident", {"title": "Both", "tags": ["earth", "mars"]})
    limited = await service.mint(scopes=("incident:write",), tags=("earth",))
    status, answer = await service.ask("POST", "/api/manage/incidents/1/publish", limited)
    assert (status, answer) == (403, {"error": "the token is for other monitors"})


# The public pages


async def test_visitors_see_nothing_of_alerts(service: Service):
    await service.beat("earth", "DOWN")
    values = {"rule": "pager-of-the-crew", "acknowledged_at": NOON, "acknowledged_by": "Ada"}
    await store(service, lambda session: add_alert(session, "earth", **values))
    for path in ("/", "/monitor/earth", "/feed.atom", "/api/v2/summary.json", "/badge/earth/status"):
        text = await (await service.client.get(path)).text()
        assert not [word for word in ("pager-of-the-crew", "timeout after 10 s", "Ada") if word in text], path
