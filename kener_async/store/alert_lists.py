"""Alerts as a screen lists them: open, quiet, flapping ones, or the closed ones page by page."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kener_async.domain.alerts import Alert
from kener_async.store import alerts, monitors
from kener_async.store.alerts import AlertSearch
from kener_async.store.interface import Session

AlertView = Literal["open", "quiet", "flapping", "history"]


@dataclass(frozen=True, slots=True)
class AlertListQuery:
    """What is listed. `tags` are the monitors that may be seen, None for all.

    `monitor` is the tag of one of them, `rule` the name of a rule; empty: all. Closed ones are listed from
    those before the id `before` on, the open ones after `skipped` of them; at most `limit`, and one more if
    there are more.
    """

    view: AlertView
    tags: Collection[str] | None
    monitor: str = ""
    rule: str = ""
    before: int | None = None
    skipped: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class AlertList:
    """Alerts, newest first, with the tags of the monitors that may be seen by id.

    `counts` are those of the open ones by view; `found` is how many there are of the view, None: not counted.
    """

    alerts: Sequence[Alert]
    tags: Mapping[int, str]
    counts: Mapping[str, int]
    found: int | None


def load(session: Session, query: AlertListQuery) -> AlertList:
    """Load a page of a list of alerts."""
    tags = {
        number: tag
        for number, tag in monitors.tags(session).items()
        if query.tags is None or tag in query.tags
    }
    asked = {number for number, tag in tags.items() if query.monitor in ("", tag)}
    shown = [
        alert
        for alert in reversed(alerts.all_open(session))
        if alert.monitor in asked and query.rule in ("", alert.rule)
    ]
    counts: Counter[str] = Counter(view for alert in shown for view in views_of(alert))
    if query.view != "history":
        matching = [alert for alert in shown if query.view in views_of(alert)]
        last_page = max(0, len(matching) - 1) // query.limit * query.limit
        begin = min(query.skipped, last_page)
        page = matching[begin : begin + query.limit + 1]
        return AlertList(page, tags, counts, len(matching))
    is_all = query.tags is None and not query.monitor
    criteria = AlertSearch(
        is_open=False,
        monitors=None if is_all else tuple(asked),
        rule=query.rule or None,
        before=query.before,
        limit=query.limit + 1,
    )
    return AlertList(alerts.search(session, criteria), tags, counts, None)


def views_of(alert: Alert) -> Sequence[AlertView]:
    """The views in which an open alert is listed."""
    views: list[AlertView] = ["open"]
    if alert.told_at is None:
        views.append("quiet")
    if alert.is_flapping and alert.settled_at is None:
        views.append("flapping")
    return views
