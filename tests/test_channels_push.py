"""Push services, short messages, pagers: what each gets for each kind of notice, within its limits."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kener_async.channels import (
    alertmanager,
    apprise,
    gotify,
    ntfy,
    opsgenie,
    pagerduty,
    pushover,
    signal,
    twilio,
)
from kener_async.channels.http import session_of_channels
from kener_async.channels.message import Channel, Message, NotDelivered
from kener_async.channels.registry import channel_of
from kener_async.config.channels import CHANNELS
from kener_async.config.schema import built, schema_of
from kener_async.domain.alerts import Severity
from kener_async.domain.notices import NoticeKind
from kener_async.domain.samples import Status
from tests.rigs.messages import AT, HOSTILE, a_message, an_item

KEYS: Mapping[str, dict[str, Any]] = {
    "alertmanager": {"url": "https://am.example.org"},
    "apprise": {"url": "https://apprise.example.org/notify/k3y-of-apprise", "tag": "ops"},
    "gotify": {"url": "https://gotify.example.org", "token": "gotify-token"},
    "ntfy": {"url": "https://ntfy.example.org/alerts-of-ops", "token": "tk_ntfy-token", "tags": ["kener"]},
    "opsgenie": {"key": "opsgenie-key", "responders": ["ops", "user:ada@example.org"]},
    "pagerduty": {"key": "0123456789abcdef0123456789abcdef", "region": "eu"},
    "pushover": {"token": "pushover-token", "user": "pushover-user", "sound": "siren"},
    "signal": {"url": "https://signal.example.org", "from": "+491701234567", "to": ["+4915112345678"]},
    "twilio": {"account": "AC0123", "token": "twilio-token", "from": "+15550100", "to": ["+15550101"]},
}
PAGERS = ("alertmanager", "opsgenie", "pagerduty")


def settings(kind: str, **changes: Any) -> Any:
    written = {
        "name": "ops",
        "kind": kind,
        "locale": "en",
        "timezone": "Europe/Berlin",
        **KEYS[kind],
        **changes,
    }
    table: Any = CHANNELS[kind]
    return built(table, schema_of(table)().load(written), Path())


def documents(kind: str, message: Message) -> list[Any]:
    """What a service gets for a message, in order."""
    made = settings(kind)
    match kind:
        case "alertmanager":
            return [alertmanager.alert_of(message, item) for item in message.items]
        case "apprise":
            return [apprise.notification(made, message)]
        case "gotify":
            return [gotify.created(made, message)]
        case "ntfy":
            return [ntfy.publication(made, message)]
        case "opsgenie":
            return [body for _, body in opsgenie.requests_of(made, message)]
        case "pagerduty":
            return pagerduty.events(made, message)
        case "pushover":
            return [pushover.notification(made, message)]
        case "signal":
            return [signal.sending(made, message)]
    body = twilio.request_of(made, "https://twilio", message, "+15550101").body
    return [{name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}]


@dataclass(frozen=True)
class FieldLimit:
    """A documented limit: of a field, by its path, in characters or in bytes of UTF-8."""

    path: str
    most: int
    in_bytes: bool = False


# As documented by each service.
LIMITS: Mapping[str, tuple[FieldLimit, ...]] = {
    "ntfy": (FieldLimit("message", 4096, in_bytes=True), FieldLimit("title", 250, in_bytes=True)),
    "gotify": (),
    "pushover": (
        FieldLimit("message", 1024),
        FieldLimit("title", 250),
        FieldLimit("url", 512),
        FieldLimit("url_title", 100),
    ),
    "signal": (FieldLimit("message", 2000),),
    "twilio": (FieldLimit("Body", 1600),),
    "apprise": (),
    "pagerduty": (FieldLimit("payload.summary", 1024), FieldLimit("dedup_key", 255)),
    "opsgenie": (
        FieldLimit("message", 130),
        FieldLimit("alias", 512),
        FieldLimit("description", 15_000),
        FieldLimit("entity", 512),
        FieldLimit("source", 100),
        FieldLimit("note", 25_000),
    ),
    "alertmanager": (),
}
WHOLE = {"pagerduty": 512 * 1024, "ntfy": 8192 + 4096, "opsgenie": 60_000, "alertmanager": 60_000}


def at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name, {}) if isinstance(document, dict) else {}
    return document or ""


def texts_in(document: Any) -> list[str]:
    match document:
        case str():
            return [document]
        case dict():
            return [text for value in document.values() for text in texts_in(value)]
        case list() | tuple():
            return [text for value in document for text in texts_in(value)]
    return []


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("notice", NoticeKind)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_every_notice_with_hostile_texts_is_within_the_limits(kind: str, notice: NoticeKind, text: str):
    for untold in (False, True):
        message = a_message(an_item(notice, text, was_not_told=untold), text=text)
        for document in documents(kind, message):
            encoded = json.dumps(document, ensure_ascii=False).encode()  # no lone surrogates
            assert len(encoded) <= WHOLE.get(kind, 50_000)
            for limit in LIMITS[kind]:
                value = at(document, limit.path)
                assert len(value.encode() if limit.in_bytes else value) <= limit.most, limit
            for value in texts_in(document):
                assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", value)


@pytest.mark.parametrize("kind", [kind for kind in KEYS if kind not in PAGERS])
def test_a_storm_is_one_message_with_names_and_counts(kind: str):
    items = [an_item(name=f"Monitor {index}", key=f"d{index}", alert=f"a{index}") for index in range(1000)]
    (document,) = documents(kind, a_message(*items, bad_now=1000, monitors=1000))
    text = "\n".join(texts_in(document))
    assert "1000 monitors" in text
    assert "1000 of 1000 monitors down now" in text or kind == "twilio"
    assert "Monitor 99" not in text
    for limit in LIMITS[kind]:
        assert len(at(document, limit.path)) <= limit.most


ACTIONS = {
    NoticeKind.OPENED: ["trigger"],
    NoticeKind.REMINDED: ["trigger"],
    NoticeKind.RESOLVED: ["resolve"],
    NoticeKind.RETRACTED: ["resolve"],
    NoticeKind.REMOVED: ["resolve"],
    NoticeKind.FLAPPING: ["trigger"],
    NoticeKind.SETTLED: ["resolve"],
    NoticeKind.ACKNOWLEDGED: ["acknowledge"],
    NoticeKind.CHANNEL_PAUSED: ["trigger"],
    NoticeKind.TEST: ["trigger", "resolve"],
    NoticeKind.MAINTENANCE_ANNOUNCED: ["trigger", "resolve"],
}


@pytest.mark.parametrize("notice", NoticeKind)
def test_what_a_notice_does_at_pagerduty(notice: NoticeKind):
    events = documents("pagerduty", a_message(an_item(notice)))
    assert [event["event_action"] for event in events] == ACTIONS[notice]
    for event in events:
        assert event["routing_key"] == KEYS["pagerduty"]["key"]
        assert event["dedup_key"] == "alert-3"
        if event["event_action"] == "trigger":
            payload = event["payload"]
            assert payload["summary"]
            assert payload["source"] == "shop"
            assert payload["severity"] in {"critical", "error", "warning", "info"}
            assert datetime.fromisoformat(payload["timestamp"]).timestamp() == AT - 600
            assert all(link["href"].startswith("https://") for link in event["links"])


@pytest.mark.parametrize("notice", NoticeKind)
def test_what_a_notice_does_at_opsgenie(notice: NoticeKind):
    requests = opsgenie.requests_of(settings("opsgenie"), a_message(an_item(notice)))
    verbs = {"trigger": "", "resolve": "close", "acknowledge": "acknowledge"}
    paths = [
        f"/alert-3/{verbs[each]}?identifierType=alias" if verbs[each] else "" for each in ACTIONS[notice]
    ]
    assert [path for path, _ in requests] == paths
    if paths[0] == "":
        opened = requests[0][1]
        assert opened["alias"] == "alert-3"
        assert opened["responders"] == [
            {"type": "team", "name": "ops"},
            {"type": "user", "username": "ada@example.org"},
        ]


def test_a_pager_that_never_heard_of_an_outage_gets_it_opened_and_closed():
    item = an_item(NoticeKind.RESOLVED, was_not_told=True)
    opened, closed = documents("pagerduty", a_message(item))
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["payload"]["severity"] == "info"


def test_the_severities_of_the_services():
    def rated(kind: str, path: str) -> list[Any]:
        items = [an_item() for _ in Severity]
        return [
            at(documents(kind, a_message(replace(item, facts=replace(item.facts, severity=each))))[0], path)
            for item, each in zip(items, Severity, strict=True)
        ]

    assert rated("pagerduty", "payload.severity") == ["info", "warning", "critical"]
    assert rated("opsgenie", "priority") == ["P5", "P3", "P1"]
    assert rated("ntfy", "priority") == [2, 3, 5]
    assert rated("gotify", "priority") == [2, 5, 8]
    assert rated("alertmanager", "labels.severity") == ["info", "warning", "critical"]
    assert rated("apprise", "type") == ["info", "warning", "failure"]
    assert documents("apprise", a_message(an_item(NoticeKind.RESOLVED)))[0]["type"] == "success"
    assert [value or 0 for value in rated("pushover", "priority")] == [-1, 0, 1]


def test_alertmanager_keeps_an_alert_open_until_it_is_told_of_the_end():
    message = a_message()
    opened = alertmanager.alert_of(message, an_item())
    closed = alertmanager.alert_of(message, an_item(NoticeKind.RESOLVED, name="renamed"))
    assert opened["labels"] == closed["labels"]
    begin, end = (datetime.fromisoformat(opened[name]).timestamp() for name in ("startsAt", "endsAt"))
    assert (begin, end) == (AT - 600, AT + 365 * 86400)
    assert datetime.fromisoformat(closed["endsAt"]).timestamp() == AT - 60


@pytest.mark.parametrize("notice", NoticeKind)
@pytest.mark.parametrize("until", [None, AT - 900, AT - 600, AT + 500])
def test_an_alert_of_alertmanager_ends_after_it_begins(notice: NoticeKind, until: int | None):
    item = an_item(notice)
    alert = alertmanager.alert_of(a_message(), replace(item, facts=replace(item.facts, until=until)))
    assert alert["startsAt"] < alert["endsAt"]
    is_over = notice in {
        NoticeKind.RESOLVED,
        NoticeKind.RETRACTED,
        NoticeKind.REMOVED,
        NoticeKind.SETTLED,
        NoticeKind.MAINTENANCE_ANNOUNCED,  # which no alert begins or ends
    }
    assert (datetime.fromisoformat(alert["endsAt"]).timestamp() <= AT) is is_over


def test_settling_on_the_bad_side_keeps_the_event_open():
    item = an_item(NoticeKind.SETTLED)
    bad = replace(item, facts=replace(item.facts, status=Status.DOWN))
    assert [event["event_action"] for event in documents("pagerduty", a_message(bad))] == ["trigger"]


def test_links_are_offered_where_a_service_has_them():
    (published,) = documents("ntfy", a_message())
    assert published["click"] == "https://status.example.org/monitor/shop"
    assert [action["url"] for action in published["actions"]] == [an_item().page, an_item().acknowledge]
    bare = a_message(an_item(page="", acknowledge=""), home="")
    assert not {"click", "actions"} & documents("ntfy", bare)[0].keys()
    assert "generatorURL" not in documents("alertmanager", bare)[0]


@dataclass
class Receiving:
    """A service, which judges requests: by method, path and headers."""

    server: TestServer
    requests: list[tuple[str, Mapping[str, str], bytes]]
    answer: Callable[[str], web.Response]


@pytest.fixture
async def receiving() -> Any:
    requests: list[tuple[str, Mapping[str, str], bytes]] = []
    rig = Receiving(None, requests, lambda path: web.json_response({"status": 1}, status=202))  # type: ignore[arg-type]

    async def handle(request: web.Request) -> web.Response:
        assert request.method == "POST"
        requests.append((request.path_qs, request.headers, await request.read()))
        return rig.answer(request.path)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    rig.server = TestServer(app)
    await rig.server.start_server()
    yield rig
    await rig.server.close()


def channel(kind: str, rig: Receiving, session: Any, **changes: Any) -> Channel:
    url = str(rig.server.make_url("")).rstrip("/")
    match kind:
        case "pagerduty":
            return pagerduty.pagerduty(settings(kind), session, url)
        case "opsgenie":
            return opsgenie.opsgenie(settings(kind), session, url)
        case "pushover":
            return pushover.pushover(settings(kind), session, f"{url}/1/messages.json")
        case "twilio":
            return twilio.Twilio(settings(kind, **changes), session, url)
    path = {"ntfy": "/alerts-of-ops", "apprise": "/notify/k3y-of-apprise"}.get(kind, "")
    return channel_of(settings(kind, url=url + path, **changes), session)


BASIC = f"Basic {b64encode(b'AC0123:twilio-token').decode()}"
EXPECTED = {
    "alertmanager": ("/api/v2/alerts", {}),
    "apprise": ("/notify/k3y-of-apprise", {}),
    "gotify": ("/message", {"X-Gotify-Key": "gotify-token"}),
    "ntfy": ("/", {"Authorization": "Bearer tk_ntfy-token"}),
    "opsgenie": ("/v2/alerts", {"Authorization": "GenieKey opsgenie-key"}),
    "pagerduty": ("/v2/enqueue", {}),
    "pushover": ("/1/messages.json", {}),
    "signal": ("/v2/send", {}),
    "twilio": ("/2010-04-01/Accounts/AC0123/Messages.json", {"Authorization": BASIC}),
}


@pytest.mark.parametrize("kind", KEYS)
async def test_where_it_is_sent_and_with_which_key(receiving: Receiving, kind: str):
    async with session_of_channels() as session:
        receipt = await channel(kind, receiving, session).send(a_message(), {})
    ((path, headers, body),) = receiving.requests
    expected_path, expected_headers = EXPECTED[kind]
    assert path == expected_path
    assert {name: headers[name] for name in expected_headers} == expected_headers
    if kind == "twilio":
        assert headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert {"To", "From", "Body"} == parse_qs(body.decode()).keys()
    else:
        assert headers["Content-Type"] == "application/json"
        document = json.loads(body)
        if kind == "ntfy":
            assert document["topic"] == "alerts-of-ops"
    assert receipt.answer.startswith("202")


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    ("status", "for_good"),
    [(400, True), (401, True), (404, True), (422, True), (429, False), (500, False), (302, False)],
)
async def test_which_answers_mean_another_try(receiving: Receiving, kind: str, status: int, for_good: bool):
    secrets = [str(value) for name, value in KEYS[kind].items() if name in {"token", "key", "user"}]
    receiving.answer = lambda path: web.Response(
        status=status, text=" ".join(secrets), headers={"Retry-After": "7"}
    )
    async with session_of_channels() as session:
        with pytest.raises(NotDelivered) as caught:
            await channel(kind, receiving, session).send(a_message(), {})
    assert caught.value.for_good is for_good
    assert caught.value.retry_after == 7
    assert not any(secret in str(caught.value) for secret in secrets)


async def test_pushover_must_say_itself_that_it_took_it(receiving: Receiving):
    receiving.answer = lambda path: web.json_response({"status": 0, "errors": ["no"]})
    async with session_of_channels() as session:
        with pytest.raises(NotDelivered):
            await channel("pushover", receiving, session).send(a_message(), {})


async def test_a_number_that_got_the_short_message_does_not_get_it_again(receiving: Receiving):
    bad = {"+15550102": 503, "+15550103": 400}

    def answer(path: str) -> web.Response:
        number = parse_qs(receiving.requests[-1][2].decode())["To"][0]
        return web.json_response({}, status=bad.get(number, 201))

    receiving.answer = answer
    numbers = ["+15550101", "+15550102", "+15550103"]
    async with session_of_channels() as session:
        sending = channel("twilio", receiving, session, to=numbers)
        with pytest.raises(NotDelivered) as caught:
            await sending.send(a_message(), {})
        assert not caught.value.for_good
        del bad["+15550102"]
        receipt = await sending.send(a_message(), {})
    assert "answered 400" in receipt.answer
    sent_to = [parse_qs(body.decode())["To"][0] for _, _, body in receiving.requests]
    assert sent_to.count("+15550101") == 1
    assert sent_to.count("+15550102") == 2


@pytest.mark.parametrize("kind", KEYS)
async def test_pagers_take_one_alert_at_a_time_and_keep_state(kind: str):
    async with session_of_channels() as session:
        made = channel_of(settings(kind), session)
    assert made.takes_one_at_a_time is (kind in PAGERS)
    assert made.keeps_state is (kind in PAGERS)
