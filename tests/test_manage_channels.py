"""The screens of alerts, rules, channels and deliveries: what they show, to whom, and what may be done."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from kener_async import keys
from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.domain.alerts import Alert, Closing, Severity
from kener_async.domain.notices import DeliveryState, Facts, NoticeKind
from kener_async.domain.people import Role
from kener_async.store import alerts, channel_states, deliveries, notices
from kener_async.store.deliveries import DeliverySearch
from kener_async.store.interface import Session
from tests.rigs.service import NOON, FakeClock, Service, running
from tests.test_manage_monitors import SETTINGS, browser, number_of, session

__all__ = ["session"]  # a fixture

HOUR = 3600
HOSTILE = "404 <img src=x onerror=alert(1)> " + "z" * 600
MORE = """
[[channels]]
name = "pager/eu"
kind = "ntfy"
url = "https://ntfy.sh/topic-secret"
[[alerts]]
name = "late"
when = "DEGRADED"
severity = "warning"
to = ["ops", "pager/eu"]
"""


@pytest.fixture
def config(tmp_path: Any) -> Config:
    (tmp_path / "config.toml").write_text(SETTINGS + MORE)
    return load(tmp_path / "config.toml", {})


@pytest.fixture
async def service(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with running(config, clock) as running_service:
        await running_service.app[keys.DATABASE].write(fill)
        yield running_service


def fill(opened: Session) -> None:
    """Alerts 1 (of earth, told), 2 (of luna, quiet), 3 (of mars, flapping), 4 (of mars, closed)."""
    mars = number_of(opened, "mars")
    plain: dict[str, Any] = {"severity": Severity.CRITICAL, "since": NOON - HOUR, "opened_at": NOON - HOUR}
    told = plain | {"rule": "outage", "told_at": NOON - HOUR}
    closed = {"until": NOON, "closed_at": NOON, "closing": Closing.RESOLVED}
    for tag, values in (
        ("earth", told),
        ("luna", plain | {"rule": "outage", "because": mars}),
        ("mars", told | {"rule": "late", "is_flapping": True}),
        ("mars", told | closed),
    ):
        alert = alerts.add(opened, Alert(0, number_of(opened, tag), **values))
        facts = Facts(tag, alert.rule, reason=f"reason of {tag}", since=NOON - HOUR)
        notices.add(opened, NoticeKind.OPENED, NOON, alert.id, None, facts, ["pager/eu"], NOON + HOUR)
    deliveries.mark_failed(opened, [1], NOON, HOSTILE)
    channel_states.note_fault(opened, "pager/eu", HOSTILE, for_good=True)
    channel_states.pause(opened, "pager/eu", NOON)


async def audited(service: Service) -> list[tuple[str, str, str]]:
    """Actor, act and object of each row of the log since the people were made, oldest first."""
    found = "SELECT actor, act, object FROM audit WHERE act NOT LIKE 'person.%' AND act NOT LIKE 'session.%'"
    rows: list[tuple[str, str, str]] = await service.app[keys.DATABASE].read(
        lambda opened: opened.execute(found + " ORDER BY id").fetchall()
    )
    return rows


# Alerts


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["mars", "luna", "earth"]),
        ("view=quiet", ["luna"]),
        ("view=flapping", ["mars"]),
        ("view=history", ["mars"]),
        ("rule=late", ["mars"]),
        ("monitor=earth", ["earth"]),
        ("view=history&rule=late", []),
        ("view=nonsense&page=99", ["mars", "luna", "earth"]),
    ],
)
async def test_alerts_are_listed_by_view_and_filter(
    service: Service, session: ClientSession, query: str, found: list[str]
):
    screen = await (await browser(service, session, Role.VIEWER)).open(f"/manage/alerts?{query}")
    links = [link.rpartition("/")[2] for link in screen.links if "/manage/monitors/" in link]
    assert links == found


async def test_a_responder_acknowledges_and_a_viewer_has_no_button(service: Service, session: ClientSession):
    viewer = await (await browser(service, session, Role.VIEWER)).open("/manage/alerts?monitor=earth")
    assert [form.method for form in viewer.forms] == ["GET"]
    client = await browser(service, session, Role.RESPONDER)
    screen = await (await client.open("/manage/alerts?monitor=earth")).press("Acknowledge")
    assert "Acknowledged." in screen.said
    assert "acknowledged by responder" in screen.said
    assert await audited(service) == [("person:responder", "alert.acknowledge", "monitor earth")]
    again = await client.open("/manage/alerts?monitor=earth")
    assert "Acknowledge" not in [button.label for form in again.forms for button in form.buttons]


async def test_the_same_form_sent_twice_acts_once(service: Service, session: ClientSession):
    client = await browser(service, session, Role.RESPONDER)
    form = (await client.open("/manage/alerts?monitor=earth")).form("Snooze 1 h")
    for _ in range(2):
        await form.submit("Snooze 1 h")
    assert len(await audited(service)) == 1
    assert (await service.app[keys.DATABASE].read(alerts.get, 1)).snoozed_until == NOON + HOUR


async def test_an_alert_that_is_over_is_not_acknowledged(service: Service, session: ClientSession):
    client = await browser(service, session)
    form = (await client.open("/manage/alerts?monitor=earth")).form("Acknowledge")
    form.action = "/manage/alerts/4"
    screen = await form.submit("Acknowledge", status=400)
    assert "the alert is closed" in screen.said.lower()
    assert await audited(service) == []


async def test_history_goes_on_page_by_page(service: Service, session: ClientSession):
    def add(opened: Session) -> None:
        mars = number_of(opened, "mars")
        for number in range(120):
            values: dict[str, Any] = {"since": number, "opened_at": number, "closed_at": number + 1}
            severity, closing = Severity.INFO, Closing.RESOLVED
            alerts.add(opened, Alert(0, mars, "late", severity, **values, closing=closing))

    await service.app[keys.DATABASE].write(add)
    client = await browser(service, session)
    screen, rows = await client.open("/manage/alerts?view=history"), []
    for _ in range(3):
        rows.append(len(screen.document.all("tr")) - 1)
        if "Older" in screen.said:
            screen = await screen.follow("Older")
    assert rows == [50, 50, 21]
    assert "Older" not in screen.said
    assert "before" not in (await screen.follow("Newest")).path


# Rules


async def test_a_rule_shows_all_of_it_and_its_back_test(service: Service, session: ClientSession):
    client = await browser(service, session, Role.VIEWER)
    listed = await client.open("/manage/rules")
    assert "late" in listed.said
    screen = await listed.follow("late")
    for text in (
        "Opens when it is DEGRADED or DOWN",
        "Earth",
        "pager/eu",
        "Set in config.toml, line",
        'when = "DEGRADED"',
    ):
        assert text in screen.said, text
    assert "('/" not in screen.said  # no list of Python's
    tested = await screen.form("Back-test").fill(days="7").submit("Back-test")
    assert "Alerts it had" in tested.said
    wrong = await client.open("/manage/rules/late?days=1000")
    assert "must be from 1 to 90" in wrong.said
    await client.open("/manage/rules/nothing", 404)


# Channels


async def test_channels_say_what_is_wrong_and_no_secret(service: Service, session: ClientSession):
    editor = await (await browser(service, session, Role.EDITOR)).open("/manage/channels")
    assert "paused" in editor.said
    assert "404 <img src=x onerror=alert(1)>" in editor.said
    assert "<img src=x" not in editor.body
    one = await editor.follow("pager/eu")
    assert 'url = "***"' in one.said
    viewer = await browser(service, session, Role.VIEWER)
    for path in ("/manage/channels", "/manage/channels/pager%2Feu"):
        screen = await viewer.open(path)
        assert "404" not in screen.said
        assert "topic-secret" not in screen.body
        assert not [form for form in screen.forms if form.method == "POST"]


async def test_a_channel_is_resumed(service: Service, session: ClientSession):
    client = await browser(service, session, Role.EDITOR)
    screen = await (await client.open("/manage/channels/pager%2Feu")).press("Resume")
    assert "Resumed." in screen.said
    states = await service.app[keys.DATABASE].read(channel_states.all_states)
    assert states["pager/eu"].paused_at is None
    assert await audited(service) == [("person:editor", "channel.resume", "channel pager/eu")]


async def test_a_test_is_shown_to_the_person_who_sent_it(service: Service, session: ClientSession):
    client = await browser(service, session, Role.EDITOR)
    screen = await (await client.open("/manage/channels/ops")).press("Send a test")
    assert "Delivered." in screen.said
    assert '"test": true' in screen.said
    assert await audited(service) == [("person:editor", "channel.test", "channel ops")]
    other = await (await browser(service, session, Role.ADMIN)).open("/manage/channels/ops")
    assert '"test": true' not in other.said


async def test_an_unknown_channel_is_not_found(service: Service, session: ClientSession):
    await (await browser(service, session)).open("/manage/channels/nothing", 404)


# Deliveries


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 4), ("state=failed", 1), ("state=waiting", 3), ("channel=ops", 0), ("channel=pager%2Feu", 4)],
)
async def test_deliveries_are_filtered(service: Service, session: ClientSession, query: str, count: int):
    screen = await (await browser(service, session, Role.VIEWER)).open(f"/manage/deliveries?{query}")
    assert len([link for link in screen.links if "/manage/deliveries/" in link]) == count


async def test_answers_are_for_editors_cut_and_escaped(service: Service, session: ClientSession):
    editor = await (await browser(service, session, Role.EDITOR)).open("/manage/deliveries/1")
    assert "404 <img src=x onerror=alert(1)>" in editor.said
    assert "<img src=x" not in editor.body
    assert HOSTILE not in editor.said
    assert HOSTILE[:500] in editor.said
    assert "reason of earth" in editor.said
    viewer = await (await browser(service, session, Role.VIEWER)).open("/manage/deliveries/1")
    assert "404" not in viewer.said
    assert "reason of earth" not in viewer.said


async def test_a_delivery_is_dropped_and_sent_again(service: Service, session: ClientSession):
    client = await browser(service, session, Role.EDITOR)
    screen = await (await client.open("/manage/deliveries/2")).press("Drop it")
    assert "Dropped." in screen.said
    found = await service.app[keys.DATABASE].read(deliveries.get, 2)
    assert (found.state, found.answer) == (DeliveryState.DROPPED, "dropped by editor")
    await (await client.open("/manage/deliveries/1")).press("Send it again")
    assert [row[1:] for row in await audited(service)] == [
        ("delivery.drop", "delivery 2"),
        ("delivery.send-again", "delivery 1"),
    ]


# A person of some categories


async def test_what_is_about_other_categories_is_not_there(service: Service, session: ClientSession):
    client = await browser(service, session, Role.EDITOR, ("Planets",))
    for path in (
        "/alerts",
        "/alerts?view=quiet",
        "/alerts?view=history",
        "/deliveries",
        "/rules",
        "/rules/outage",
    ):
        screen = await client.open(f"/manage{path}")
        assert "luna" not in screen.body.lower(), path
    counts = (await client.open("/manage/alerts")).said
    assert "Open 2 Quiet 0 Flapping 1" in counts
    await client.open("/manage/deliveries/2", 404)
    form = (await client.open("/manage/alerts?monitor=earth")).form("Acknowledge")
    form.action = "/manage/alerts/2"
    await form.submit("Acknowledge", status=404)
    form = (await client.open("/manage/deliveries/3")).form("Drop it")
    form.action = "/manage/deliveries/2/drop"
    await form.submit("Drop it", status=404)
    assert await audited(service) == []
    found = await service.app[keys.DATABASE].read(deliveries.search, DeliverySearch())
    assert {each.id: each.state for each in found}[2] is DeliveryState.DUE
