"""Webhooks and chats: what is sent, within the limits of each service, and what their answers mean."""

import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, TypeVar
from urllib.parse import parse_qs

import pytest
from slack_sdk.models.blocks import Block

from kener_async.channels import (
    discord,
    googlechat,
    markup,
    matrix,
    mattermost,
    rocketchat,
    slack,
    teams,
    telegram,
    webhook,
    zulip,
)
from kener_async.channels.http import HttpAnswer, HttpRequest, Judge, accepted
from kener_async.channels.message import Message, NotDelivered
from kener_async.channels.signature import signature
from kener_async.channels.webhook import body_of
from kener_async.config.channels import (
    DiscordChannel,
    GoogleChatChannel,
    MatrixChannel,
    MattermostChannel,
    RocketChatChannel,
    SlackChannel,
    TeamsChannel,
    TelegramChannel,
    WebhookChannel,
    ZulipChannel,
)
from kener_async.config.schema import keys_of
from kener_async.domain.alerts import Severity
from kener_async.domain.notices import NoticeKind
from kener_async.domain.samples import Status
from tests.rigs.messages import AT, HOSTILE, a_message, an_item

T = TypeVar("T")
OURS = ("https://status.example.org/", "https://status.example.org")


def settings_of(table: type[T], **changes: Any) -> T:
    """A table with its defaults; the keys that are required are texts."""
    known = {"url": "https://hooks.example.org/s3cret", "homeserver": "https://m.example.org"}
    values = {
        name: known.get(name, "s3cret-text") if key.field.required else key.field.load_default
        for name, key in keys_of(table).items()
    }
    return table(**values | changes)


SLACK = settings_of(SlackChannel, mention="here")
DISCORD = settings_of(DiscordChannel, mention="everyone", username="Status")
TELEGRAM = settings_of(TelegramChannel, chat="-1001", token="123:s3cret", topic=7)
MATRIX = settings_of(MatrixChannel, room="!a:m.example.org")
WEBHOOK = settings_of(WebhookChannel, secret="0123456789abcdef")

RENDERED: dict[str, Callable[[Message], HttpRequest]] = {
    "slack": lambda message: slack.render(SLACK, message, {}),
    "discord": lambda message: discord.render(DISCORD, message, {}),
    "teams": lambda message: teams.render(settings_of(TeamsChannel), message, {}),
    "googlechat": lambda message: googlechat.render(settings_of(GoogleChatChannel), message, {}),
    "mattermost": lambda message: mattermost.render(settings_of(MattermostChannel), message, {}),
    "rocketchat": lambda message: rocketchat.render(settings_of(RocketChatChannel), message, {}),
    "telegram": lambda message: telegram.render(TELEGRAM, message, {}),
    "zulip": lambda message: zulip.render(settings_of(ZulipChannel, user="bot@z.example"), message, {}),
    "matrix": lambda message: matrix.render(MATRIX, MATRIX.room, message, {}),
    "webhook": lambda message: webhook.render(WEBHOOK, message, AT),
}


def bodies(name: str, message: Message) -> dict[str, Any]:
    """The fields of a request, of JSON or of a form."""
    request = RENDERED[name](message)
    if request.content_type.startswith("application/json"):
        value: dict[str, Any] = json.loads(request.body.decode())
        return value
    return {key: value for key, [value] in parse_qs(request.body.decode(), strict_parsing=True).items()}


class Shown(HTMLParser):
    """The tags, links and text of HTML; every tag must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert [name for name, _ in attributes] == (["href"] if tag == "a" else [])
        self.links += [value or "" for _, value in attributes]
        if tag != "br":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


# How each service reads what it got: raises AssertionError for what it would refuse, or should not do.


def judged_by_slack(body: dict[str, Any]) -> None:
    assert len(body["blocks"]) <= 50
    for block in Block.parse_all(body["blocks"]):
        block.validate_json()
    for block in body["blocks"]:
        for text in [block.get("text"), *block.get("elements", [])]:
            if text is None:
                continue
            assert len(text["text"]) <= (150 if block["type"] == "header" else 3000)
            if text["type"] == "mrkdwn" and not text["verbatim"]:
                links = text["text"].split("<")[1:]
                assert all(link.startswith((*OURS, "!here>")) for link in links), text
            elif text["type"] == "mrkdwn":
                assert all(link.startswith(OURS) for link in text["text"].split("<")[1:])
    assert "<" not in body["text"]
    assert len(body["text"]) <= 4000


def judged_by_discord(body: dict[str, Any]) -> None:
    assert body.get("content", "") in ("", "@everyone")
    allowed = {"parse": ["everyone"]} if "content" in body else {"parse": []}
    assert body["allowed_mentions"] == allowed
    assert len(body.get("content", "")) <= 2000
    [embed] = body["embeds"]
    assert 0 < markup.size(embed["title"]) <= 256
    assert markup.size(embed["description"]) <= 4096
    assert markup.size(embed["title"] + embed["description"]) <= 6000
    assert_links_of_markdown(embed["description"].replace("\\\\", ""))


def assert_links_of_markdown(text: str) -> None:
    """Every `](` that is not escaped begins an address of ours."""
    for part in text.split("](")[1:]:
        assert part.startswith(OURS), part[:80]


def judged_by_teams(body: dict[str, Any]) -> None:
    assert len(json.dumps(body).encode()) <= 28 * 1024
    [attachment] = body["attachments"]
    card = attachment["content"]
    assert "entities" not in card["msteams"]  # those are what mentions somebody
    for block in card["body"]:
        assert block["type"] == "RichTextBlock"
        assert {run["type"] for run in block["inlines"]} == {"TextRun"}
        assert all(isinstance(run["text"], str) and run["text"] for run in block["inlines"])
    for action in card.get("actions", []):
        assert action["type"] == "Action.OpenUrl"
        assert action["url"].startswith(OURS)


def judged_by_googlechat(body: dict[str, Any]) -> None:
    assert len(json.dumps(body, ensure_ascii=False).encode()) <= 32_000
    assert "text" not in body  # only there mentions have an effect
    [card] = body["cardsV2"]
    for widget in card["card"]["sections"][0]["widgets"]:
        if "textParagraph" in widget:
            shown = Shown(widget["textParagraph"]["text"])
            assert shown.tags <= {"b", "a", "br"}
            assert all(link.startswith(OURS) for link in shown.links)
        else:
            for button in widget["buttonList"]["buttons"]:
                assert button["onClick"]["openLink"]["url"].startswith(OURS)


def assert_mentions_nobody(text: str) -> None:
    assert all(part.startswith(markup.BREAK) for part in text.split("@")[1:]), text[:200]


def judged_by_mattermost(body: dict[str, Any]) -> None:
    [attachment] = body["attachments"]
    assert markup.size(attachment["text"]) <= 7600
    for text in (attachment["title"], attachment["text"], attachment["fallback"]):
        assert_mentions_nobody(text)
        assert_links_of_markdown(text)


def judged_by_rocketchat(body: dict[str, Any]) -> None:
    [attachment] = body["attachments"]
    assert markup.size(body["text"] + attachment["text"]) <= 5000
    assert body["parseUrls"] is False
    for text in (body["text"], attachment["text"]):
        assert_mentions_nobody(text)
        assert_links_of_markdown(text)


def judged_by_telegram(body: dict[str, Any]) -> None:
    shown = Shown(body["text"])
    assert 0 < markup.size(body["text"]) <= 4096
    assert shown.tags <= {"b", "a"}
    assert all(link.startswith(OURS) for link in shown.links)
    assert_mentions_nobody(shown.text)
    assert body["link_preview_options"] == {"is_disabled": True}


def judged_by_zulip(body: dict[str, Any]) -> None:
    assert 0 < len(body["topic"]) <= 60
    assert markup.size(body["content"]) <= 10_000
    assert_mentions_nobody(body["content"])
    assert_links_of_markdown(body["content"])
    assert "#**" not in body["content"]


def judged_by_matrix(body: dict[str, Any]) -> None:
    # An event has 65,536 bytes of UTF-8, the fields of the server among them.
    assert len(json.dumps(body, ensure_ascii=False).encode()) <= 60_000
    assert body["m.mentions"] == {}
    shown = Shown(body["formatted_body"])
    assert shown.tags <= {"b", "a", "br"}
    assert all(link.startswith(OURS) for link in shown.links)
    assert_mentions_nobody(shown.text)


def judged_by_webhook(body: dict[str, Any]) -> None:
    assert body["status"] in ("TRIGGERED", "RESOLVED")
    assert body["severity"] in ("info", "warning", "critical")
    assert body["actions"][0]["url"].startswith(OURS)
    assert isinstance(body["details"]["current_value"], int)
    json.dumps(body, ensure_ascii=False).encode()  # no lone surrogates


JUDGED: dict[str, Callable[[dict[str, Any]], None]] = {
    "slack": judged_by_slack,
    "discord": judged_by_discord,
    "teams": judged_by_teams,
    "googlechat": judged_by_googlechat,
    "mattermost": judged_by_mattermost,
    "rocketchat": judged_by_rocketchat,
    "telegram": judged_by_telegram,
    "zulip": judged_by_zulip,
    "matrix": judged_by_matrix,
    "webhook": judged_by_webhook,
}

each_kind = pytest.mark.parametrize("name", RENDERED)


def several(number: int, kind: NoticeKind, text: str = "") -> Message:
    items = [an_item(kind, text, key=f"delivery-{place}") for place in range(number)]
    return a_message(*items, text=text)


@each_kind
@pytest.mark.parametrize("number", [1, 25, 200])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_service_accepts_every_message_and_does_nothing_that_a_text_says(name, number, hostile):
    for kind in NoticeKind:
        JUDGED[name](bodies(name, several(number, kind, HOSTILE[hostile])))


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        (slack, "MRKDWN"),
        (discord, "MARKDOWN"),
        (googlechat, "CARD_HTML"),
        (mattermost, "MARKDOWN"),
        (rocketchat, "MARKDOWN"),
        (zulip, "MARKDOWN"),
        (telegram, "HTML"),
        (matrix, "HTML"),
    ],
)
def test_the_judges_notice_what_is_not_escaped(module, attribute, monkeypatch):
    """What the test above relies on: with a markup that escapes nothing, it fails."""
    monkeypatch.setattr(module, attribute, replace(getattr(module, attribute), escape=str))
    name = module.__name__.rpartition(".")[2]
    texts = (HOSTILE["markup"], HOSTILE["mentions"], "[x](http://evil.example) <a href=x> <http://x|y>")
    messages = [several(1, NoticeKind.OPENED, text) for text in texts]
    assert any(is_refused(name, message) for message in messages)


def is_refused(name: str, message: Message) -> bool:
    try:
        JUDGED[name](bodies(name, message))
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_the_body_of_a_webhook_stays_below_what_receivers_take(text: str):
    storm = a_message(*[an_item(text=text)] * 300, text=text)
    body = body_of(storm)
    assert len(body["items"]) + body["items_left_out"] == 300
    assert len(json.dumps(body)) <= 100_000 or len(body["items"]) == 1
    assert len(json.dumps(body)) <= 200_000


@each_kind
def test_a_storm_is_told_with_25_names_and_the_number_of_the_others(name):
    items = [an_item(name=f"Planet{number:03}x") for number in range(200)]
    text = json.dumps(bodies(name, a_message(*items)), ensure_ascii=False)
    text = text.replace(markup.BREAK, "").replace("\\\\", "")
    if name == "webhook":
        body = json.loads(text)
        assert (len(body["items"]), body["items_left_out"]) == (100, 100)
        assert len(text.encode()) <= 100_000
        text = json.loads(text)["description"]
    assert [f"Planet{number:03}x" in text for number in range(200)] == [True] * 25 + [False] * 175
    assert "Down: 200 monitors" in text
    assert "175 more" in text
    assert "3 of 240 monitors down now" in text


@each_kind
def test_a_message_begins_with_the_state_and_the_name(name):
    body = bodies(name, a_message())
    titles: dict[str, Callable[[], str]] = {
        "slack": lambda: body["blocks"][0]["text"]["text"],
        "discord": lambda: body["embeds"][0]["title"],
        "teams": lambda: body["attachments"][0]["content"]["body"][0]["inlines"][0]["text"],
        "googlechat": lambda: body["cardsV2"][0]["card"]["header"]["title"],
        "mattermost": lambda: body["attachments"][0]["title"],
        "rocketchat": lambda: body["text"],
        "telegram": lambda: Shown(body["text"]).text,
        "zulip": lambda: body["content"].strip("*"),
        "matrix": lambda: body["body"],
        "webhook": lambda: body["description"],
    }
    title = titles[name]()
    assert title.replace(markup.BREAK, "").replace("\\", "").removeprefix("🔴 ").startswith("Down: The shop")


def test_only_openings_mention_somebody():
    for kind in NoticeKind:
        is_opening = kind in (NoticeKind.OPENED, NoticeKind.FLAPPING)
        message = a_message(an_item(kind))
        assert ("<!here>" in json.dumps(bodies("slack", message))) is is_opening, kind
        assert ("content" in bodies("discord", message)) is is_opening, kind
    test = a_message(an_item(), is_test=True)
    assert "<!here>" not in json.dumps(bodies("slack", test))


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("here", "<!here>"),
        ("@channel", "<!channel>"),
        ("U012AB3CD", "<@U012AB3CD>"),
        ("S012AB3CD", "<!subteam^S012AB3CD>"),
        ("ops", ""),
    ],
)
def test_a_mention_of_slack(setting, text):
    assert slack.mention_of(setting) == text


@pytest.mark.parametrize(
    ("setting", "text", "allowed"),
    [
        ("here", "@here", {"parse": ["everyone"]}),
        ("user:12", "<@12>", {"parse": [], "users": ["12"]}),
        ("role:34", "<@&34>", {"parse": [], "roles": ["34"]}),
        ("ops", "", {"parse": []}),
    ],
)
def test_a_mention_of_discord(setting, text, allowed):
    assert discord.mention_of(setting) == (text, allowed)


def test_an_ending_answers_the_message_that_it_ends():
    message = a_message(an_item(NoticeKind.RESOLVED, alert="a-1"))
    body = json.loads(telegram.render(TELEGRAM, message, {"a-1": "99", "a-2": "5"}).body)
    assert body["reply_parameters"] == {"message_id": 99, "allow_sending_without_reply": True}
    assert body["message_thread_id"] == 7
    event = json.loads(matrix.render(MATRIX, MATRIX.room, message, {"a-1": "$e"}).body)
    assert event["m.relates_to"] == {"m.in_reply_to": {"event_id": "$e"}}
    assert "m.relates_to" not in json.loads(matrix.render(MATRIX, MATRIX.room, message, {}).body)


def test_matrix_gets_the_key_as_its_transaction_and_the_room_quoted():
    request = matrix.render(MATRIX, "!a/b?:m.example.org", a_message(key="x-1/2"), {})
    path = "/_matrix/client/v3/rooms/%21a%2Fb%3F%3Am.example.org/send/m.room.message/x-1%2F2"
    assert (request.method, request.url) == ("PUT", f"https://m.example.org{path}")


def test_zulip_gathers_a_monitor_in_a_topic_of_its_own():
    assert bodies("zulip", a_message())["topic"] == "The shop"
    assert bodies("zulip", several(2, NoticeKind.OPENED))["topic"] == "Example"


# Kener's webhook

GOLDEN = {
    "id": "shop-3",
    "alert_name": "The shop DOWN",
    "severity": "critical",
    "status": "TRIGGERED",
    "source": "Kener",
    "timestamp": "2025-11-28T03:20:00.000Z",
    "details": {"metric": "The shop", "current_value": 10, "threshold": 1},
    "actions": [
        {"text": "View Monitor", "url": "https://status.example.org/monitor/shop"},
        {
            "text": "Acknowledge",
            "url": "https://status.example.org/alerts/3/acknowledge?token=abc",
        },
    ],
}
DEGRADED = {"status": Status.DEGRADED, "severity": Severity.WARNING}


@pytest.mark.parametrize(
    ("kind", "facts", "differing"),
    [
        (NoticeKind.OPENED, {}, {}),
        (NoticeKind.OPENED, DEGRADED, {"alert_name": "The shop DEGRADED", "severity": "warning"}),
        (
            NoticeKind.RESOLVED,
            {},
            {
                "status": "RESOLVED",
                "details": {"metric": "The shop", "current_value": 9, "threshold": 1},
                "actions": GOLDEN["actions"][:1],  # type: ignore[index]  # it is the list above
            },
        ),
    ],
)
def test_a_webhook_has_the_fields_of_kener(kind, facts, differing):
    item = an_item(kind)
    body = bodies("webhook", a_message(replace(item, facts=replace(item.facts, **facts))))
    assert {name: body[name] for name in GOLDEN} == GOLDEN | differing
    assert body["key"] == "delivery-17"
    assert body["items"][0]["kind"] == kind.name.lower()


def test_a_webhook_of_several_has_each_by_itself():
    body = bodies("webhook", several(3, NoticeKind.OPENED))
    assert (body["id"], body["details"]["current_value"]) == ("delivery-17", 3)
    assert [item["id"] for item in body["items"]] == ["delivery-0", "delivery-1", "delivery-2"]


def test_a_webhook_is_signed_and_carries_its_key():
    request = webhook.render(WEBHOOK, a_message(), 1234)
    headers = dict(request.headers)
    assert headers["Idempotency-Key"] == "delivery-17"
    assert headers["X-Kener-Signature"] == signature("0123456789abcdef", 1234, request.body)
    unsigned = webhook.render(settings_of(WebhookChannel), a_message(), 1234)
    assert "X-Kener-Signature" not in dict(unsigned.headers)


def test_a_signature_is_that_of_the_time_and_the_body():
    # printf '1764300000.{}' | openssl dgst -sha256 -hmac secret
    known = "ac84ce4333deb0c6b966ad4be82b5b8b0ce8214146e58670016a83ca5fecdf30"
    assert signature("secret", 1_764_300_000, b"{}") == f"t=1764300000,v1={known}"


@pytest.mark.parametrize("text", [*HOSTILE.values()])
def test_placeholders_are_replaced_in_values_so_that_no_text_breaks_the_json(text):
    own = """{
        "{name}": ["{name} is {status}"], "count": "{bad_now}", "literal": "{{name}} {a b}", "end": "{until}"
    }"""
    settings = settings_of(WebhookChannel, body=own)
    body = json.loads(webhook.render(settings, a_message(an_item(text=text)), AT).body)
    assert list(body) == ["{name}", "count", "literal", "end"]
    assert (body["count"], body["literal"], body["end"]) == (3, "{name} {a b}", None)
    assert body["{name}"][0].endswith(" is TRIGGERED")


def test_headers_and_method_are_those_of_the_settings():
    headers = (("Authorization", "Bearer x"), ("content-type", "application/vnd.x+json"))
    request = webhook.render(settings_of(WebhookChannel, headers=headers, method="PUT"), a_message(), AT)
    assert (request.method, request.content_type) == ("PUT", "application/vnd.x+json")
    assert ("Authorization", "Bearer x") in request.headers
    assert "s3cret" not in repr(request)
    assert "Bearer" not in repr(request)


# Answers


def an_answer(status: int, body: Any = "", **headers: str) -> HttpAnswer:
    text = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpAnswer(status, text[:500], text, named, float(AT))


@pytest.mark.parametrize(
    ("judge", "answer", "reference"),
    [
        (slack.judge, an_answer(200, "ok"), ""),
        (discord.judge, an_answer(200, {"id": "123"}), "123"),
        (teams.judge, an_answer(202), ""),
        (googlechat.judge, an_answer(200, {"name": "spaces/a/messages/b"}), "spaces/a/messages/b"),
        (rocketchat.judge, an_answer(200, {"success": True}), ""),
        (telegram.judge, an_answer(200, {"ok": True, "result": {"message_id": 5}}), "5"),
        (zulip.judge, an_answer(200, {"result": "success", "id": 42}), "42"),
        (matrix.judge, an_answer(200, {"event_id": "$e"}), "$e"),
        (accepted, an_answer(204), ""),
    ],
)
def test_an_answer_that_accepts(judge: Judge, answer, reference):
    assert judge(answer).reference == reference


@pytest.mark.parametrize(
    ("judge", "answer", "for_good", "wait"),
    [
        (slack.judge, an_answer(200, {"ok": False, "error": "ratelimited"}), False, None),
        (slack.judge, an_answer(404, "no_service"), True, None),
        (slack.judge, an_answer(429, "", Retry_After="30"), False, 30),
        (discord.judge, an_answer(429, {"retry_after": 0.65}, Retry_After="1"), False, 0.65),
        (discord.judge, an_answer(429, "", X_RateLimit_Reset_After="2.5", Retry_After="3"), False, 2.5),
        (discord.judge, an_answer(429, "", Retry_After="3"), False, 3),
        (discord.judge, an_answer(429, {"retry_after": "soon"}), False, None),
        (
            teams.judge,
            an_answer(200, "Webhook message delivery failed with error: HTTP error 429"),
            False,
            None,
        ),
        (rocketchat.judge, an_answer(200, {"success": False}), False, None),
        (telegram.judge, an_answer(200, {"ok": False}), False, None),
        (telegram.judge, an_answer(200, {"ok": False, "error_code": 403}), True, None),
        (
            telegram.judge,
            an_answer(429, {"ok": False, "error_code": 429, "parameters": {"retry_after": 9}}),
            False,
            9,
        ),
        (telegram.judge, an_answer(200, "<html>a proxy's page"), False, None),
        (zulip.judge, an_answer(429, {"result": "error", "retry-after": 28.7}), False, 28.7),
        (zulip.judge, an_answer(400, {"result": "error", "code": "STREAM_DOES_NOT_EXIST"}), True, None),
        (matrix.judge, an_answer(429, {"retry_after_ms": 1500}), False, 1.5),
        (matrix.judge, an_answer(403, {"errcode": "M_FORBIDDEN"}), True, None),
        (matrix.judge, an_answer(200, "{}"), False, None),
        *((accepted, an_answer(status), True, None) for status in (400, 401, 403, 404, 410, 422)),
        *((accepted, an_answer(status), False, None) for status in (301, 302, 307, 402, 405, 408, 409)),
        *((accepted, an_answer(status), False, None) for status in (413, 418, 425, 429, 500, 502, 503, 504)),
    ],
)
def test_an_answer_that_refuses(judge: Judge, answer, for_good, wait):
    with pytest.raises(NotDelivered) as raised:
        judge(answer)
    assert (raised.value.for_good, raised.value.retry_after) == (for_good, wait)
    assert str(answer.status) in str(raised.value) or "403" in str(raised.value)
