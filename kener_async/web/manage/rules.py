"""/manage/rules: the alert rules, which monitors each holds for and whom it tells; back-test one."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kener_async import keys
from kener_async.api.manage.rules import back_tested
from kener_async.config.explanation import explained_rule
from kener_async.config.model import AlertConfig, MonitorConfig
from kener_async.config.source import source_of
from kener_async.domain.back_test_results import MAX_DAYS
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.people import Act
from kener_async.store import alert_lists
from kener_async.store.alert_lists import AlertListQuery
from kener_async.web.manage.frame import ManagePage, manage_page
from kener_async.web.manage.lists import paged, query_number
from kener_async.web.manage.tables import table_of

SHOWN = 100  # alerts of a back-test
MONITORS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class ListedRule:
    """A rule of the list; `monitors` counts those that it holds for, as far as they may be seen."""

    alert: AlertConfig
    monitors: int
    open: int


@manage_page(Act.SEE)
async def rules(page: ManagePage) -> str:
    """The alert rules in the order of the file."""
    tags = None if page.grant.tags is None else page.tags
    found = await page.app[keys.DATABASE].read(alert_lists.load, AlertListQuery("open", tags, limit=10**6))
    holding = _monitors_by_rule(page)
    listed = [
        ListedRule(
            one,
            len(holding.get(one.rule.name, ())),
            sum(alert.rule == one.rule.name for alert in found.alerts),
        )
        for one in page.config.alerts
    ]
    shown, pages = paged(page, listed)
    return await page.render("manage/rules.html", rules=shown, pages=pages)


@manage_page(Act.SEE)
async def rule(page: ManagePage) -> str:
    """One rule, and with `days` in the query what it would have told in the last days."""
    name = page.request.match_info["name"]
    found = next((one for one in page.config.alerts if one.rule.name == name), None)
    if found is None:
        raise NotFound("rule not found")
    holding = _monitors_by_rule(page).get(name, [])
    days, result, fault = None, None, ""
    try:
        days = query_number(page, "days")
        result = None if days is None else await _back_test(page, name, days)
    except (Invalid, NotFound) as error:  # nothing that it holds for, or too many days
        fault = error.message
    source = await asyncio.to_thread(source_of, page.config.text)
    return await page.render(
        "manage/rule.html",
        alert=found,
        rule=found.rule,
        channels={channel.name: channel for channel in page.config.channels},
        monitors=holding[:MONITORS_SHOWN],
        left_out=max(0, len(holding) - MONITORS_SHOWN),
        sentences=_sentences(page, found, holding),
        days=days or 30,
        most=MAX_DAYS,
        result=result,
        rows=[] if result is None else list(_rows(result)),
        fault=fault,
        **table_of(page, source, "alerts", name),
    )


def _monitors_by_rule(page: ManagePage) -> Mapping[str, list[MonitorConfig]]:
    """The monitors that the person may see, by the names of the rules that hold for them."""
    found: dict[str, list[MonitorConfig]] = {}
    for monitor in page.config.monitors:
        if monitor.tag in page.tags:
            for each in page.config.rules_of(monitor.tag):
                found.setdefault(each.name, []).append(monitor)
    return found


def _sentences(page: ManagePage, alert: AlertConfig, holding: Sequence[MonitorConfig]) -> list[str]:
    """The rule in sentences, as it holds for the first of its monitors that needs no other."""
    plain = next((one for one in holding if not one.depends_on), None)
    if plain is None:
        return []
    held = next(each for each in page.config.rules_of(plain.tag) if each.name == alert.rule.name)
    return explained_rule(page.config, plain, held)


async def _back_test(page: ManagePage, name: str, days: int) -> dict[str, Any]:
    if days > MAX_DAYS:
        raise Invalid(f"days: must be from 1 to {MAX_DAYS}")
    return await back_tested(page.app, page.grant, name, None, days)


def _rows(result: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What the rule would have done beside what it did, newest first, the first SHOWN."""
    matched = {one["alertId"] for one in result["would"] if one["alertId"] is not None}
    did = {one["id"]: one for one in result["did"]}
    rows = [{"would": one, "did": did.get(one["alertId"])} for one in result["would"]]
    rows += [{"would": None, "did": one} for number, one in did.items() if number not in matched]
    rows.sort(key=lambda row: -(row["would"] or row["did"])["since"])
    yield from rows[:SHOWN]
