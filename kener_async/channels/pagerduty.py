"""PagerDuty: the Events API v2, in which all that is told of an alert has one `dedup_key`."""

import json
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpClient, HttpRequest
from kener_async.channels.message import Message, MessageItem
from kener_async.channels.pagers import (
    PagerRequests,
    PagerStep,
    event_key,
    facts_of,
    severity_of,
    steps_of,
    timestamp,
)
from kener_async.channels.texts import cut, one_line, texts_of
from kener_async.config.channels import PagerDutyChannel
from kener_async.domain.alerts import Severity

URLS = {"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}
ACTIONS = {PagerStep.OPEN: "trigger", PagerStep.ACKNOWLEDGE: "acknowledge", PagerStep.CLOSE: "resolve"}
SEVERITIES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}
SUMMARY_CHARACTERS = 1024
FIELD_CHARACTERS = 255


def pagerduty(settings: PagerDutyChannel, session: ClientSession, url: str = "") -> PagerRequests:
    address = f"{url or URLS[settings.region]}/v2/enqueue"

    def render(message: Message) -> list[HttpRequest]:
        return [HttpRequest(address, json.dumps(event).encode()) for event in events(settings, message)]

    return PagerRequests(HttpClient(session, (settings.integration_key,)), render)


def events(settings: PagerDutyChannel, message: Message) -> list[dict[str, Any]]:
    """The events of a message, in order."""
    return [
        {
            "routing_key": settings.integration_key,
            "event_action": ACTIONS[act],
            "dedup_key": event_key(item),
            **(_alert(message, item) if act is PagerStep.OPEN else {}),
        }
        for item, act in steps_of(message)
    ]


def _alert(message: Message, item: MessageItem) -> dict[str, Any]:
    """What is known, for an event that opens an alert."""
    text = texts_of(message)
    facts = item.facts
    return {
        "client": one_line(message.site, FIELD_CHARACTERS),
        "client_url": message.home,
        "links": [{"href": link.url, "text": link.label} for link in text.links],
        "payload": {
            "summary": cut(text.title, SUMMARY_CHARACTERS),
            "source": facts.monitor or "kener-async",
            "severity": SEVERITIES[severity_of(item)],
            "timestamp": timestamp(item.at if facts.since is None else facts.since),
            "component": facts.monitor,
            "group": one_line(item.category, FIELD_CHARACTERS),
            "class": one_line(facts.rule, FIELD_CHARACTERS),
            "custom_details": facts_of(item),
        },
    }
