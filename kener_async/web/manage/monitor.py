"""/manage/monitors/{tag}: one monitor, with all that is known of it; run its check, keep its alerts quiet."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.api.manage.checks import note_run, run_now
from kener_async.config.explanation import explained_monitor, explained_rule
from kener_async.config.model import MonitorConfig
from kener_async.config.source import source_of
from kener_async.domain.alert_documents import state_of
from kener_async.domain.alerts import Alert
from kener_async.domain.calendar import DAY, HOUR, minute_end
from kener_async.domain.certificates import current
from kener_async.domain.checks import Attempt
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.notices import NoticeKind
from kener_async.domain.people import Act
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Run
from kener_async.store import alert_acts, monitor_details
from kener_async.store.alert_acts import AlertAct
from kener_async.web.manage.attention import monitors_now
from kener_async.web.manage.form_fields import FormChoice
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page
from kener_async.web.manage.lists import query_choice
from kener_async.web.manage.monitors import kind_names, kind_of
from kener_async.web.manage.overview import next_morning
from kener_async.web.manage.tables import table_of
from kener_async.web.pages import labels

ALERT_DAYS = 90
WINDOWS = {"6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY}
SPANS_AT_MOST = 200  # of a timeline
PATIENCE = 12.0  # seconds that a person waits for a run; it goes on afterwards
WIDTH = 160  # of the bar of an attempt's phases


@dataclass(frozen=True, slots=True)
class AttemptView:
    """An attempt as it is shown; `parts` are the phases with place and length in the bar, `words` in ms."""

    attempt: Attempt
    at: str
    status: Status
    parts: Sequence[tuple[str, float, float]]
    words: str


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule that holds for the monitor, in sentences."""

    name: str
    severity: str
    channels: Sequence[str]
    sentences: Sequence[str]


@dataclass(frozen=True, slots=True)
class SenderAddress:
    """An address that accepts reports of the monitor, without what is secret of it."""

    name: str
    address: str


@manage_page(Act.SEE)
async def monitor(page: ManagePage) -> str:
    """One monitor."""
    found = monitor_of(page)
    (one,) = await monitors_now(page, [found])
    window = query_choice(page, "window", WINDOWS, DAY)
    end = minute_end(page.now)
    since = page.now - ALERT_DAYS * DAY
    details = await page.app[keys.DATABASE].read(
        monitor_details.load, one.state.id, (end - window, end), since, page.now
    )
    checks, locale = page.app[keys.CHECKS], page.locale
    source = await asyncio.to_thread(source_of, page.config.text)
    attempts = checks.last_attempts(found.tag)
    return await page.render(
        "manage/monitor.html",
        monitor=found,
        status=one.status,
        kind=kind_names(locale)[kind_of(found)],
        why=labels.reason_now(locale, one.current),
        begun=details.timeline[0] if details.timeline else None,
        window_begin=end - window,
        newest=one.current.newest,
        last_heard=page.app[keys.STATES].last_heard(one.state, page.now),
        next_due=checks.next_due(found.tag),
        not_measured=checks.not_measured(found.tag),
        attempts=list(_attempts(page, attempts)),
        faults=list(_attempts(page, details.faults[::-1])),
        certificates=current(details.certificates),
        timeline=details.timeline[:SPANS_AT_MOST],
        reason_of=_reasons(page, details.timeline),
        windows=list(WINDOWS),
        window=next(name for name, length in WINDOWS.items() if length == window),
        alerts=details.alerts,
        open_alert=_open(details.alerts),
        state_of=state_of,
        tags={number: tag for number, tag in details.tags.items() if tag in page.tags},
        devices=[device for device in details.devices if device.is_visible(page.grant)],
        rules=list(_rules(page, found)),
        means=explained_monitor(page.config, _as_seen(page, found), page.now),
        senders=list(_senders(page, found)),
        **table_of(page, source, "monitors", found.tag),
        messages=_messages(page),
    )


def monitor_of(page: ManagePage) -> MonitorConfig:
    """The monitor in the path; raises NotFound, also for one that the person may not see."""
    found = page.config.by_tag.get(page.request.match_info["tag"])
    if found is None or found.tag not in page.tags:
        raise NotFound("monitor not found")
    return found


def _messages(page: ManagePage) -> dict[str, str]:
    _ = page.locale.gettext
    return {
        "run": _("The check has run."),
        "running": _("The check is still trying; look again in a moment."),
        "snoozed": _("Snoozed. Reminders go on afterwards."),
        "acknowledged": _("Acknowledged. Nobody is reminded any more."),
    }


# Attempts


def _attempts(page: ManagePage, attempts: Sequence[Attempt]) -> Iterator[AttemptView]:
    """The attempts, which are given oldest first, newest first."""
    longest = max((attempt.seconds for attempt in attempts), default=0.0) or 1.0
    for attempt in reversed(attempts):
        status = Status.NO_DATA if attempt.status is None else attempt.status
        at = datetime.fromtimestamp(attempt.at, page.zone)
        shown = f"{at:%H:%M:%S}" if page.now - attempt.at < DAY / 2 else f"{at:%Y-%m-%d %H:%M:%S}"
        yield AttemptView(attempt, shown, status, list(_parts(attempt, longest)), _words(page, attempt))


def _phases(attempt: Attempt) -> Iterator[tuple[str, float]]:
    phases = attempt.phases
    measured = {
        "name": phases.name,
        "connect": phases.connect,
        "tls": phases.tls,
        "first-byte": phases.first_byte,
    }
    known = {name: seconds for name, seconds in measured.items() if seconds is not None}
    yield from known.items()
    rest = attempt.seconds - sum(known.values())
    if rest > 0:
        yield "rest", rest


def _parts(attempt: Attempt, longest: float) -> Iterator[tuple[str, float, float]]:
    place = 0.0
    for name, seconds in _phases(attempt):
        length = round(seconds / longest * WIDTH, 1)
        yield name, round(place, 1), length
        place += length


def _words(page: ManagePage, attempt: Attempt) -> str:
    """The phases in words: "name 2 ms, connect 11 ms, TLS 24 ms, first byte 80 ms"."""
    _ = page.locale.gettext
    names = {
        "name": _("name"),
        "connect": _("connect"),
        "tls": _("TLS"),
        "first-byte": _("first byte"),
        "rest": _("rest"),
    }
    phases = [(name, seconds) for name, seconds in _phases(attempt) if seconds >= 0.0005]
    return ", ".join(f"{names[name]} {page.locale.latency(seconds, 's')}" for name, seconds in phases)


# What else is shown


def _as_seen(page: ManagePage, monitor: MonitorConfig) -> MonitorConfig:
    """A monitor without the names of others that the person may not see."""
    if page.grant.tags is None:
        return monitor
    group = monitor.settings.group
    if group is not None:
        group = replace(group, members=tuple(tag for tag in group.members if tag in page.tags))
    return replace(
        monitor,
        depends_on=tuple(tag for tag in monitor.depends_on if tag in page.tags),
        settings=replace(monitor.settings, group=group),
    )


def _reasons(page: ManagePage, timeline: Sequence[Run]) -> dict[Any, str]:
    return {run.reason: labels.reason(page.locale, run.reason) for run in timeline}


def _open(alerts: Sequence[Alert]) -> Alert | None:
    return next((alert for alert in alerts if alert.closed_at is None), None)


def _rules(page: ManagePage, monitor: MonitorConfig) -> Iterator[RuleView]:
    for rule in page.config.rules_of(monitor.tag):
        sentences = explained_rule(page.config, _as_seen(page, monitor), rule)
        yield RuleView(rule.name, rule.severity.name.lower(), rule.to, sentences)


def _senders(page: ManagePage, monitor: MonitorConfig) -> Iterator[SenderAddress]:
    """The addresses that take reports of the monitor; of a group and of a check there are none."""
    if kind_of(monitor) in ("group", "check"):
        return
    _, senders = page.locale.gettext, monitor.senders
    yield SenderAddress(_("Kener"), f"POST {page.context.absolute('/api/status')} (tag {monitor.tag})")
    yield SenderAddress(_("Push key"), page.context.absolute("/beat/***"))
    if senders.checks:
        yield SenderAddress("Healthchecks", page.context.absolute("/ping/***"))
    if senders.push_token:
        yield SenderAddress("Uptime Kuma", page.context.absolute("/api/push/***"))
    if senders.gatus_key:
        path = f"/api/v1/endpoints/{senders.gatus_key}/external"
        yield SenderAddress("Gatus", page.context.absolute(path))


# Acts


@manage_form(Act.RUN_CHECK, Schema(), shown_by=monitor)
async def run(form: ManageForm) -> web.StreamResponse:
    """Run the check of the monitor now, and wait a while for its attempts."""
    found = monitor_of(form)
    if found.check is None:
        raise Invalid("the monitor has no check")
    path = f"/monitors/{found.tag}"
    await form.write(note_run, found.tag, form.actor, form.now, location=f"{path}?done=run#attempts")
    _, is_over = await run_now(form.app, found.tag, PATIENCE)
    return form.redirect(f"{path}?done={'run' if is_over else 'running'}#attempts")


class SnoozeMonitorForm(Schema):
    """How long the open alerts of a monitor are kept quiet."""

    until = FormChoice(
        {"hour": "hour", "morning": "morning", "acknowledge": "acknowledge"}, load_default="acknowledge"
    )


@manage_form(Act.ANSWER_ALERT, SnoozeMonitorForm(), shown_by=monitor)
async def answer_alerts(form: ManageForm) -> web.StreamResponse:
    """Acknowledge the open alerts of the monitor, or keep them quiet for an hour or until the morning."""
    found, choice = monitor_of(form), form.values["until"]
    until = {"hour": form.now + HOUR, "morning": next_morning(form), "acknowledge": None}[choice]
    done = "acknowledged" if until is None else "snoozed"
    path = f"/monitors/{found.tag}?done={done}"
    recipients = form.config.recipients(NoticeKind.ACKNOWLEDGED, form.now)
    act = AlertAct(form.actor, form.now, until)
    await form.write(alert_acts.perform_on, found.tag, act, recipients, location=path)
    form.app[keys.DELIVERIES].wake()
    return form.redirect(path)
