"""Microsoft Teams: a workflow that takes an adaptive card."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpAnswer, HttpChannel, HttpClient, HttpRequest, accepted, refusal
from kener_async.channels.markup import BLUE, GREEN, ORANGE, RED, links_of, tone_of
from kener_async.channels.message import Message, Receipt
from kener_async.channels.texts import MessageText, texts_of
from kener_async.config.channels import TeamsChannel

BODY_BYTES = 28_000
COLOURS = {RED: "Attention", ORANGE: "Warning", GREEN: "Good", BLUE: "Accent"}


def teams(settings: TeamsChannel, session: ClientSession) -> HttpChannel:
    return HttpChannel(HttpClient(session, (settings.url,)), partial(render, settings), judge)


def render(settings: TeamsChannel, message: Message, references: Mapping[str, str]) -> HttpRequest:
    """Texts are in text runs, which unlike text blocks know no Markdown, links or mentions."""
    text = texts_of(message)
    title = _paragraph(
        _run(text.title, weight="Bolder", size="Large", color=COLOURS[tone_of(message)]),
    )
    foot = _paragraph(_run(" · ".join(part for part in (text.now, text.site) if part) or " ", isSubtle=True))
    paragraphs = _paragraphs(text)
    while True:
        body = json.dumps(_posting(text, [title, *paragraphs, foot])).encode()
        if len(body) <= BODY_BYTES or not paragraphs:
            return HttpRequest(settings.url, body)
        paragraphs = [*paragraphs[:-2], _paragraph(_run("…"))] if len(paragraphs) > 1 else []


def _posting(text: MessageText, body: list[dict[str, Any]]) -> dict[str, Any]:
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
    }
    if links := links_of(text):
        card["actions"] = [{"type": "Action.OpenUrl", "title": link.label, "url": link.url} for link in links]
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "contentUrl": None, "content": card}]}


def _paragraphs(text: MessageText) -> list[dict[str, Any]]:
    paragraphs = []
    for line in text.lines:
        label = [_run(f"{line.label}: ", weight="Bolder")] if line.label else []
        paragraphs.append(_paragraph(*label, _run(line.value)))
    for group in text.groups:
        paragraphs.append(_paragraph(_run(group.heading, weight="Bolder")))
        for monitor in group.monitors:
            detail = [_run(f" ({monitor.detail})", isSubtle=True)] if monitor.detail else []
            paragraphs.append(_paragraph(_run(f"• {monitor.name}"), *detail))
        if group.others:
            paragraphs.append(_paragraph(_run(f"• {group.others}")))
    return paragraphs


def _paragraph(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs), "spacing": "Small"}


def _run(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **style}


def judge(answer: HttpAnswer) -> Receipt:
    """Older webhooks answer 200 also when Teams itself refused the message, and say so in the text."""
    if "HTTP error" in answer.body or "Webhook message delivery failed" in answer.body:
        raise refusal(answer)
    return accepted(answer)
