"""What is told of a monitor and when, in words, for `check-config --explain` and the screens of monitors."""

from collections.abc import Iterator
from datetime import datetime
from typing import assert_never
from zoneinfo import ZoneInfo

from kener_async.config.check_explanation import explained_check, next_run
from kener_async.config.model import Config, MonitorConfig
from kener_async.domain.alert_examples import (
    AlertExample,
    example_of_reports,
    example_of_runs,
    example_of_silence,
)
from kener_async.domain.alerts import (
    AlertRule,
    BurnRate,
    CertificateWithin,
    Condition,
    LatencyAbove,
    StatusIs,
    UptimeBelow,
)
from kener_async.domain.calendar import HOUR, day_of, day_start, minute_of
from kener_async.domain.durations import format_duration
from kener_async.domain.groups import GroupSettings
from kener_async.domain.heartbeats import AtSchedule, EveryInterval, MonitorSettings, OnChange
from kener_async.domain.hours import Hours
from kener_async.domain.samples import Status
from kener_async.probes.settings import CheckSettings

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def explained(config: Config, tag: str, now: int) -> list[str]:
    """The lines of the explanation; its examples are of the day of `now`. Raises KeyError for another tag."""
    monitor = config.by_tag[tag]
    rules = config.rules_of(tag)
    lines = [_title(monitor), *(f"  {line}" for line in _expected_of(monitor, config.site.timezone, now))]
    if not rules:
        return [*lines, "", f"No alert rule holds for it: {_why_none(config, monitor)}. Nobody is told."]
    for rule in rules:
        lines += ["", f"{rule.name} ({rule.severity.name.lower()})"]
        lines += (f"  {line}" for line in _explained_rule(config, monitor, rule, now))
    return [
        *lines,
        "",
        "Nothing is told of what was over before it was known, and nothing during a maintenance of it.",
    ]


def explained_monitor(config: Config, monitor: MonitorConfig, now: int) -> list[str]:
    """The sentences about what is expected of a monitor, without those about its rules."""
    return list(_expected_of(monitor, config.site.timezone, now))


def explained_rule(config: Config, monitor: MonitorConfig, rule: AlertRule) -> list[str]:
    """The sentences about a rule that holds for a monitor, without examples."""
    return list(_sentences(config, monitor, rule))


def _title(monitor: MonitorConfig) -> str:
    name = monitor.tag if monitor.name == monitor.tag else f"{monitor.tag} ({monitor.name})"
    return f"{name}, hidden" if monitor.hidden else name


def _expected_of(monitor: MonitorConfig, zone: ZoneInfo, now: int) -> Iterator[str]:
    if monitor.settings.group is not None:
        yield _of_group(monitor.settings.group)
    elif monitor.check is None:
        yield _silence(monitor.settings)
    else:
        yield from explained_check(monitor.check, now, lambda begin: _Clock(zone, begin).at)
    if monitor.depends_on:
        yield (
            f"It needs {_listed(monitor.depends_on)}: while {_one_of(monitor.depends_on)} is DEGRADED or "
            + ("DOWN, alerts of it open quietly.")
        )
    if monitor.settings.excused_by:
        yield (
            f"Its DOWN minutes do not count while {_one_of(monitor.depends_on)} is DOWN, too "
            "(uptime_excused)."
        )
    if monitor.objective is not None:
        window = {"month": "in a month", "30d": "in 30 days"}[monitor.objective.window]
        yield f"{monitor.objective.target:g} % of uptime are promised {window}."


def _of_group(group: GroupSettings) -> str:
    needed = f"{group.min_up} %" if group.is_percentage else str(group.min_up)
    else_ = "DEGRADED" if group.is_degraded else "UP"
    return (
        f"It is made of {_listed(group.members)}: DOWN when fewer than {needed} of those of which something "
        f"is known are UP or DEGRADED, else {else_} when one of them is not UP."
    )


def _silence(settings: MonitorSettings) -> str:
    match settings.expectation:
        case EveryInterval(interval, grace, down_after):
            late = f"{format_duration(grace)} after a report is due" if grace else "when a report is due"
            return (
                f"It reports every {format_duration(interval)}: silent it is DEGRADED {late}, DOWN "
                f"{format_duration(down_after)} after the last one."
            )
        case AtSchedule(grace=grace, down_after=down_after):
            late = f"{format_duration(grace)} after" if grace else "right after"
            return (
                f"It reports at the times of a schedule: silent it is DEGRADED {late} such a time, DOWN "
                f"{format_duration(down_after)} after it."
            )
        case OnChange(stale_after, is_check=True):
            return (
                f"It is checked by this server: a status is held for {format_duration(stale_after)} after a "
                f"run, then nothing is known."
            )
        case OnChange(stale_after):
            return (
                f"It reports changes only: nothing is known when it is silent for "
                f"{format_duration(stale_after)}."
            )
    return "No report is expected of it: its silence makes it neither DEGRADED nor DOWN."


def _why_none(config: Config, monitor: MonitorConfig) -> str:
    if not config.alerts:
        return "there are no [[alerts]]"
    if monitor.alerts is not None:
        return "its alerts are []" if not monitor.alerts else "those in its alerts need an objective"
    if monitor.hidden:
        return "it is hidden, and no rule names its tag"
    if any(alert.is_for(monitor) for alert in config.alerts):
        return "those that match need an objective, and it has none"
    return "the monitors of none match"


def _explained_rule(config: Config, monitor: MonitorConfig, rule: AlertRule, now: int) -> Iterator[str]:
    yield from _sentences(config, monitor, rule)
    yield from _examples(monitor, rule, config.site.timezone, now)


def _sentences(config: Config, monitor: MonitorConfig, rule: AlertRule) -> Iterator[str]:
    yield f"Opens when {_opening(rule, monitor)}."
    yield f"Tells {_listed(_receivers(config, rule))}{_reminded(rule)}."
    yield f"Is over when {_recovery(rule)}."
    if monitor.depends_on:
        yield (
            f"Is not told while {_one_of(monitor.depends_on)} is bad; if it still is when "
            f"{_listed(monitor.depends_on)} {_has(monitor.depends_on)} been good for {_length(rule.after)}, "
            "it is told then."
        )
    if rule.hours is not None:
        yield f"Tells only {_hours(rule.hours)}; what happens outside is told when that begins."
    if rule.flapping:
        yield (
            "The fourth alert within an hour is told as flapping, then nothing until it has stayed good, or "
            f"bad, for {format_duration(rule.flap_quiet)}."
        )
    if rule.incident:
        text = f"from the template {rule.template}" if rule.template else "without a text"
        draft = "is published" if rule.incident == "publish" else "is drafted"
        yield f"An incident {draft} with it, {text}{_joined(rule)}."


def _opening(rule: AlertRule, monitor: MonitorConfig) -> str:
    bad = _bad(rule.condition, monitor.latency_unit)
    if isinstance(rule.condition, UptimeBelow | BurnRate | CertificateWithin):
        return f"{bad}, for {format_duration(rule.after)}" if rule.after else bad
    parts = [f"for {format_duration(rule.after)}"] if rule.after else []
    parts += [f"in at least {_reports(rule.count)}"] if rule.count > 1 or (rule.after and rule.count) else []
    return " ".join([bad, " and ".join(parts) or "at once"])


def _bad(condition: Condition, unit: str) -> str:
    match condition:
        case StatusIs(Status.DEGRADED):
            return "it is DEGRADED or DOWN"
        case StatusIs(Status.NO_DATA):
            return "nothing is known of it"
        case StatusIs():
            return "it is DOWN"
        case LatencyAbove(limit):
            return f"its latency is above {limit:g} {unit}, or it is DOWN,"
        case UptimeBelow(percent, window):
            return f"its uptime of {window} is below {percent:g} %"
        case BurnRate(rate, target, long, short):
            return (
                f"it uses up the error budget of {target:g} % {rate:g} times as fast as allowed, over "
                f"{format_duration(long)} and over {format_duration(short)}"
            )
        case CertificateWithin(seconds):
            return f"its certificate ends within {format_duration(seconds)}"
    assert_never(condition)


def _recovery(rule: AlertRule) -> str:
    match rule.condition:
        case UptimeBelow(percent, _, recover_at):
            return f"the uptime is {max(percent, recover_at):g} % or more" + _for(rule.recover_after)
        case BurnRate():
            return "it is used up slower, over one of them" + _for(rule.recover_after)
        case CertificateWithin():
            return f"it has one that ends later{_for(rule.recover_after)}"
    reports = f", in at least {_reports(rule.recover_count)}" if rule.recover_count else ""
    return f"it is no longer so{_for(rule.recover_after)}{reports}"


def _for(seconds: int) -> str:
    return f" for {format_duration(seconds)}" if seconds else ""


def _length(seconds: int) -> str:
    return format_duration(seconds) if seconds else "a moment"


def _reports(count: int) -> str:
    return "1 report" if count == 1 else f"{count} reports"


def _receivers(config: Config, rule: AlertRule) -> list[str]:
    channels = {channel.name: channel for channel in config.channels}
    return [
        f"{name} ({channels[name].kind}"
        + (f", which gathers for {channels[name].gather} s" if channels[name].gather else "")
        + (", of openings and closings only" if "reminded" not in channels[name].tell else "")
        + ")"
        for name in rule.to
    ]


def _reminded(rule: AlertRule) -> str:
    if not rule.remind_every:
        return ""
    times = "once" if rule.remind_times == 1 else f"at most {rule.remind_times} times"
    return f", and again every {format_duration(rule.remind_every)} until it is acknowledged, {times}"


def _joined(rule: AlertRule) -> str:
    shared = {"category": "of monitors of the category", "rule": "of this rule", "none": ""}[rule.join_by]
    return f"; alerts {shared} that open within 10m join it" if shared else "; no other alert joins it"


def _hours(hours: Hours) -> str:
    first, last = min(hours.days), max(hours.days)
    is_range = len(hours.days) == last - first + 1 > 1
    days = (first, last) if is_range else sorted(hours.days)
    names = ("-" if is_range else ",").join(WEEKDAYS[day] for day in days)
    at = "" if len(hours.days) == len(WEEKDAYS) else f"{names} "
    times = "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (hours.start, hours.end))
    return f"{at}{times} ({hours.timezone})"


def _examples(monitor: MonitorConfig, rule: AlertRule, zone: ZoneInfo, now: int) -> Iterator[str]:
    noon = day_start(day_of(now, zone), zone) + 12 * HOUR
    if monitor.check is not None:
        yield from _examples_of_check(monitor, monitor.check, rule, _Clock(zone, noon))
        return
    expectation = monitor.settings.expectation
    begin = expectation.schedule.next_after(noon - 1) if isinstance(expectation, AtSchedule) else noon
    clock = _Clock(zone, begin)
    bad = example_of_reports(rule, monitor.settings, begin)
    if bad is not None:
        said = "say so" if isinstance(rule.condition, StatusIs) else "are that slow"
        every = "" if expectation or rule.count <= 1 else " and come every minute"
        yield f"Example: its reports {said} from {clock.at(begin)} on{every}: {_told(clock, bad)}."
    silent = example_of_silence(rule, monitor.settings, begin)
    if silent is not None:
        uncounted = " (missed reports are not counted)" if rule.count > 1 else ""
        yield (
            f"Example: its last report is of {clock.at(begin)}, and good: bad from "
            f"{clock.at(silent.bad_at)} on, {_told(clock, silent)}{uncounted}."
        )
    elif bad is not None:
        yield "Its silence opens no alert of this rule."
    elif rule.condition == StatusIs(Status.NO_DATA):
        yield "It opens only before the first report: after that its silence is known to be bad."


def _examples_of_check(
    monitor: MonitorConfig, check: CheckSettings, rule: AlertRule, clock: "_Clock"
) -> Iterator[str]:
    first = next_run(check, clock.begin - 1)
    bad = example_of_runs(rule, check.timing, first)
    if bad is not None:
        slow = "too slow" if isinstance(rule.condition, LatencyAbove) else "bad"
        yield f"Example: it is {slow} from {clock.at(int(first))} on: {_told(clock, bad)}."
    if rule.condition == StatusIs(Status.NO_DATA):
        silent = example_of_silence(rule, monitor.settings, minute_of(int(first)))
        if silent is not None:
            yield f"Example: nothing is measured after {clock.at(int(first))}: {_told(clock, silent)}."


class _Clock:
    """Writes instants as times of a day, with the date where it is another day than that of `begin`."""

    def __init__(self, zone: ZoneInfo, begin: int) -> None:
        self.begin = begin
        self._zone, self._today = zone, day_of(begin, zone)

    def at(self, instant: int) -> str:
        local = datetime.fromtimestamp(instant, self._zone)
        time = f"{local:%H:%M:%S}".removesuffix(":00")
        return time if local.date() == self._today else f"{WEEKDAYS[local.weekday()]} {local:%Y-%m-%d} {time}"


def _told(clock: _Clock, example: AlertExample) -> str:
    if example.told_at == example.opens_at:
        return f"told at {clock.at(example.told_at)} at the earliest"
    return f"the alert opens at {clock.at(example.opens_at)} and is told at {clock.at(example.told_at)}"


def _listed(names: "list[str] | tuple[str, ...]") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _one_of(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def _has(names: tuple[str, ...]) -> str:
    return "has" if len(names) == 1 else "have"
