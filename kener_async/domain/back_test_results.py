"""The result of a back-test: what a rule would have told beside what it did, as a JSON document."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kener_async.domain.alert_documents import alert_document
from kener_async.domain.alert_figures import FigureCondition
from kener_async.domain.alert_plans import AlertPlan
from kener_async.domain.alerts import Alert, AlertRule
from kener_async.domain.back_tests import ReplayedAlert
from kener_async.domain.calendar import DAY
from kener_async.domain.errors import Invalid, NotFound

DEFAULT_DAYS, MAX_DAYS = 30, 90
LISTED_AT_MOST = 1000  # alerts of each kind, the newest


@dataclass(frozen=True, slots=True)
class BackTestPlan:
    """What to replay: a rule by the tag of each monitor, with the parents of each, from `start` on."""

    name: str
    rules: Mapping[str, AlertRule]
    parents: Mapping[str, tuple[str, ...]]
    start: int
    now: int


@dataclass(frozen=True, slots=True)
class BackTest:
    """The result, the newest alerts first; `untested` are the tags of monitors for which the time was up."""

    plan: BackTestPlan
    would: Sequence[ReplayedAlert]
    did: Sequence[Alert]
    untested: Sequence[str] = ()


def planned(plan: AlertPlan, name: str, monitors: Iterable[str] | None, days: int, now: int) -> BackTestPlan:
    """Plan the back-test of a rule, for some of its monitors or all.

    Raises NotFound for a rule that is for no monitor, Invalid for a monitor that it is not for and for a rule
    about a figure.
    """
    rules = {tag: rule for tag, one in plan.monitors.items() if (rule := one.rule(name)) is not None}
    if not rules:
        raise NotFound(f"there is no rule {name}, or it holds for no monitor")
    if any(isinstance(rule.condition, FigureCondition) for rule in rules.values()):
        raise Invalid("a rule about an uptime or a burn rate cannot be back-tested")
    if monitors is not None:
        wanted = list(monitors)
        for tag in wanted:
            if tag not in rules:
                raise Invalid(f"Invalid monitors: the rule {name} does not hold for {tag}")
        rules = {tag: rules[tag] for tag in wanted}
    parents = {tag: plan.monitors[tag].parents for tag in rules}
    return BackTestPlan(name, rules, parents, now - days * DAY, now)


def reaching_into(window_start: int, replayed: Iterable[ReplayedAlert]) -> list[ReplayedAlert]:
    """The alerts that were open within the window, each with what was told of it within."""
    found: list[ReplayedAlert] = []
    for one in replayed:
        closed_at = one.alert.closed_at
        if closed_at is None or closed_at >= window_start:
            notices = tuple(notice for notice in one.notices if notice[0] >= window_start)
            found.append(ReplayedAlert(one.alert, notices))
    return found


def paired(would: Iterable[ReplayedAlert], did: Iterable[Alert]) -> dict[int, Alert]:
    """The stored alert about the same bad time, by the place of each replayed one that has one."""
    stored: dict[int, list[Alert]] = defaultdict(list)
    for alert in sorted(did, key=lambda alert: alert.opened_at):
        stored[alert.monitor].append(alert)
    pairs: dict[int, Alert] = {}
    for place, one in sorted(enumerate(would), key=lambda pair: pair[1].alert.opened_at):
        candidates = stored[one.alert.monitor]
        match = next((other for other in candidates if _overlap(one.alert, other)), None)
        if match is not None:
            candidates.remove(match)
            pairs[place] = match
    return pairs


def _overlap(one: Alert, other: Alert) -> bool:
    return _begins_by_end(one, other) and _begins_by_end(other, one)


def _begins_by_end(one: Alert, other: Alert) -> bool:
    return other.closed_at is None or one.since <= other.closed_at


def why_quiet(alert: Alert) -> str | None:
    """Why an alert is told to nobody: flapping, or parent; None: it is told."""
    if alert.told_at is not None:
        return None
    return "flapping" if alert.is_flapping else "parent"


def length_of(alert: Alert, now: int) -> int:
    """For how many seconds it was bad, so far."""
    return max(0, (now if alert.until is None else alert.until) - alert.since)


def back_test_document(result: BackTest, tags: Mapping[int, str]) -> dict[str, Any]:
    """The JSON document; instants are UTC seconds."""
    plan, pairs = result.plan, paired(result.would, result.did)
    matched = {alert.id for alert in pairs.values()}
    would = [
        _replayed_document(one, tags, plan.now) | {"alertId": pairs[place].id if place in pairs else None}
        for place, one in enumerate(result.would[:LISTED_AT_MOST])
    ]
    return {
        "rule": plan.name,
        "from": plan.start,
        "to": plan.now,
        "monitors": len(plan.rules) - len(result.untested),
        "untested": list(result.untested),
        "messages": sum(len(one.notices) for one in result.would),
        "wouldCount": len(result.would),
        "didCount": len(result.did),
        "onlyWould": len(result.would) - len(pairs),
        "onlyDid": sum(alert.id not in matched for alert in result.did),
        "would": would,
        "did": [alert_document(alert, tags, plan.now) for alert in result.did[:LISTED_AT_MOST]],
    }


def _replayed_document(one: ReplayedAlert, tags: Mapping[int, str], now: int) -> dict[str, Any]:
    alert = one.alert
    return {
        "monitor": tags[alert.monitor],
        "since": alert.since,
        "openedAt": alert.opened_at,
        "until": alert.until,
        "seconds": length_of(alert, now),
        "closedAt": alert.closed_at,
        "closing": None if alert.closing is None else alert.closing.name.lower(),
        "toldAt": alert.told_at,
        "quiet": why_quiet(alert),
        "because": None if alert.because is None else tags.get(alert.because),
        "isFlapping": alert.is_flapping,
        "messages": [{"at": at, "kind": kind.name.lower()} for at, kind in one.notices],
    }
