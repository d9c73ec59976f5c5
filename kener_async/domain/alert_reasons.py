"""Why a minute is bad for a rule, in words for messages."""

from collections.abc import Sequence
from datetime import UTC, datetime

from kener_async.domain.alerts import (
    AlertRule,
    BurnRate,
    CertificateWithin,
    LatencyAbove,
    StatusIs,
    UptimeBelow,
)
from kener_async.domain.calendar import DAY, MINUTE, minute_of
from kener_async.domain.durations import format_duration
from kener_async.domain.heartbeats import EveryInterval, Expectation
from kener_async.domain.samples import Sample, Status
from kener_async.domain.timeline import Layers, Reason, Run, current_status, newest_sample, version_at

MOST_NAMED = 10  # members in a reason


def reason_of(rule: AlertRule, run: Run, layers: Layers, now: int) -> str:
    """Why the minutes of a run, the current one among them, are bad for a rule; times are UTC."""
    newest = newest_sample(layers, now)
    match rule.condition:
        case UptimeBelow() | BurnRate() | CertificateWithin() as figure:
            return _reason_of_figure(figure)
        case LatencyAbove(limit) if run.status is not Status.DOWN and newest is not None:
            return f"latency {newest.latency:g} is above {limit:g}"
    return _of_members(layers, now) if run.reason is Reason.MEMBERS else _of_run(run, layers, newest, now)


def _of_run(run: Run, layers: Layers, newest: Sample | None, now: int) -> str:
    """What was reported last, and what was not."""
    if run.reason is Reason.SAMPLE:
        return f"reported {run.status.name}"
    if run.reason is Reason.DEFAULT:
        return f"no report, {run.status.name} by default"
    if newest is None:
        return "no report"
    since = _time(newest.minute, now)
    if run.reason is Reason.HELD:
        return f"reported {newest.status.name} at {since}"
    return f"{_last_word(newest)}no report since {since}{_due(layers, newest, now)}"


def _reason_of_figure(condition: UptimeBelow | BurnRate | CertificateWithin) -> str:
    match condition:
        case UptimeBelow(percent, window):
            return f"the uptime of {window} is below {percent:g} %"
        case BurnRate(rate, target, long):
            over = format_duration(long)
            return f"the error budget of {target:g} % is used {rate:g} times too fast over {over}"
    return "the certificate ends soon"


def certificate_reason(ends_at: int | None, now: int) -> str:
    """Why a certificate is bad for a rule; `ends_at` None: it is not known any more."""
    if ends_at is None:
        return "the certificate ends soon"
    day = datetime.fromtimestamp(ends_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if ends_at <= now:
        return f"the certificate ended on {day}"
    return f"the certificate ends in {format_duration(_rounded(ends_at - now))}, on {day}"


def _rounded(seconds: int) -> int:
    """To whole days or, within two days, to whole minutes."""
    return seconds // DAY * DAY if seconds >= 2 * DAY else max(seconds // MINUTE, 1) * MINUTE


def condition_words(rule: AlertRule, status: Status) -> str:
    """What a monitor is while the rule is true of it, as a predicate: DOWN, slow, not reporting."""
    match rule.condition:
        case StatusIs(Status.NO_DATA):
            return "not reporting"
        case LatencyAbove() if status is not Status.DOWN:
            return "slow"
        case UptimeBelow(percent, window):
            return f"below {percent:g} % uptime in {window}"
        case BurnRate():
            return "using up its error budget"
        case CertificateWithin():
            return "in need of a new certificate"
    return status.name


def _of_members(layers: Layers, now: int) -> str:
    """Which members of a group are bad now, or that nothing is known of them."""
    layers = layers.measured()
    version = version_at(layers.versions, minute_of(now))
    group = None if version is None else version.settings.group
    if group is None:
        return "no report"
    tags = [tag for tag in group.members if tag in layers.related]
    statuses = {tag: current_status(layers.related[tag], now).status for tag in tags}
    bad = [
        f"{status.name} {_listed([tag for tag in tags if statuses[tag] is status])}"
        for status in (Status.DOWN, Status.DEGRADED)
        if status in statuses.values()
    ]
    if bad:
        return "; ".join(bad)
    working = sum(status is Status.UP for status in statuses.values())
    if not working:
        return "nothing is known of its members"
    return f"only {working} of {len(group.members)} members UP, {group.needed_of(working)} needed"


def _listed(tags: Sequence[str]) -> str:
    if len(tags) <= MOST_NAMED:
        return ", ".join(tags)
    return f"{', '.join(tags[:MOST_NAMED])} and {len(tags) - MOST_NAMED} more"


def _last_word(newest: Sample) -> str:
    return "" if newest.status is Status.UP else f"reported {newest.status.name}, "


def _due(layers: Layers, newest: Sample, now: int) -> str:
    version = version_at(layers.versions, minute_of(now))
    expectation: Expectation | None = None if version is None else version.settings.expectation
    if expectation is None:
        return ""
    if isinstance(expectation, EveryInterval):
        return f", due every {format_duration(expectation.interval)}"
    deadlines = expectation.after_report(newest.minute)
    return "" if deadlines.down_at is None else f", due at {_time(deadlines.due, now)}"


def _time(instant: int, now: int) -> str:
    form = "%H:%M UTC" if now - instant < DAY else "%Y-%m-%d %H:%M UTC"
    return datetime.fromtimestamp(instant, UTC).strftime(form)
