"""Back-test a rule on the database, while a server may be running on it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from kener_async.config.alert_plan import alert_plan
from kener_async.config.model import Config
from kener_async.domain.alert_documents import state_of
from kener_async.domain.alerts import Alert
from kener_async.domain.back_test_results import (
    BackTest,
    BackTestPlan,
    back_test_document,
    length_of,
    paired,
    planned,
    why_quiet,
)
from kener_async.domain.back_tests import ReplayedAlert
from kener_async.domain.durations import format_duration
from kener_async.store import monitors
from kener_async.store.back_tests import BackTestRun
from kener_async.store.interface import Session
from kener_async.store.sqlite import transactions

HEADS = ("monitor", "since", "until", "for", "would", "messages", "did")

Tested = tuple[BackTest, Mapping[int, str]]  # with the tags of all monitors by id


def run(config: Config, rule: str, tags: tuple[str, ...], days: int, now: int) -> Tested:
    """Back-test a rule for all its monitors or these; raises NotFound, Invalid, and FatalError."""
    plan = planned(alert_plan(config), rule, tags or None, days, now)
    return transactions.read(config.database.path, _run, plan)


def _run(session: Session, plan: BackTestPlan) -> Tested:
    tags = monitors.tags(session)
    found = BackTestRun(plan, tags)
    for tag in plan.rules:
        if found.is_full:
            found.leave_out(tag)
        else:
            found.test(session, tag)
    return found.result(session), tags


def table(tested: Tested) -> Iterator[tuple[str, ...]]:
    """The rows of the table, its heading first: newest first, also alerts that would not be."""
    result, tags = tested
    now, pairs = result.plan.now, paired(result.would, result.did)
    matched = {alert.id for alert in pairs.values()}
    rows = [
        (one.alert.since, (*_when(one.alert, tags, now), *_would(one), _did(pairs.get(place), now)))
        for place, one in enumerate(result.would)
    ]
    rows += [
        (alert.since, (*_when(alert, tags, now), "nothing", "0", _did(alert, now)))
        for alert in result.did
        if alert.id not in matched
    ]
    yield HEADS
    yield from (row for _, row in sorted(rows, reverse=True))


def summary(result: BackTest) -> str:
    """The result in a sentence or two."""
    messages = sum(len(one.notices) for one in result.would)
    quiet = sum(one.alert.told_at is None for one in result.would)
    words = [
        f"{result.plan.name}: would have told {_counted(len(result.would) - quiet, 'alert')} in",
        f"{_counted(messages, 'message')}{f', and kept {quiet} quiet' if quiet else ''};",
        f"had {_counted(len(result.did), 'alert')}",
    ]
    if result.untested:
        left_out = _counted(len(result.untested), "monitor")
        words.append(f"\ntoo many alerts: left out {left_out}; name some by --monitor")
    return " ".join(words)


def as_json(tested: Tested) -> dict[str, Any]:
    """The JSON document, as the API has it."""
    result, tags = tested
    return back_test_document(result, tags)


def _when(alert: Alert, tags: Mapping[int, str], now: int) -> tuple[str, str, str, str]:
    return tags[alert.monitor], _time(alert.since), _time(alert.until), format_duration(length_of(alert, now))


def _would(one: ReplayedAlert) -> tuple[str, str]:
    quiet = why_quiet(one.alert)
    word = "tell" if quiet is None else f"quiet ({quiet})"
    return word, str(len(one.notices))


def _did(alert: Alert | None, now: int) -> str:
    if alert is None:
        return "nothing"
    quietly = " quietly" if alert.told_at is None and alert.closing is not None else ""
    return f"alert {alert.id}, {state_of(alert, now)}{quietly}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _time(instant: int | None) -> str:
    return "-" if instant is None else f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M}"
