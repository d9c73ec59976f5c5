"""/manage/audit: who changed what, with what stood there before."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from aiohttp import web

from kener_async import keys
from kener_async.domain.calendar import day_start
from kener_async.domain.errors import Invalid
from kener_async.domain.people import Act
from kener_async.store import audit as stored_audit
from kener_async.store.audit import PAGE, AuditRow, AuditSearch, document
from kener_async.web.manage.frame import HEADERS, ManagePage, manage_page
from kener_async.web.manage.lists import with_query

AT_ONCE = 1000  # rows of an export
LONGEST = 200  # characters of a filter


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row with the keys that it changed: each with what stood there and what stands there now."""

    row: AuditRow
    changes: Sequence[tuple[str, str, str]]


@manage_page(Act.READ_AUDIT)
async def audit(page: ManagePage) -> str:
    """The rows that match, newest first, a page of them."""
    criteria = _criteria(page)
    rows = await page.app[keys.DATABASE].read(stored_audit.search, criteria, PAGE + 1)
    end = await page.app[keys.DATABASE].read(stored_audit.end_of)
    older = with_query(page, below=rows[PAGE - 1].id) if len(rows) > PAGE else ""
    return await page.render(
        "manage/audit.html",
        rows=[ShownRow(row, _changes(row.before, row.after)) for row in rows[:PAGE]],
        end=end,
        older=older,
        newest=with_query(page, below="") if criteria.below is not None else "",
        export=f"{page.address('/audit/export.jsonl')}{_query_of(page)}",
        filters={name: page.query.get(name, "") for name in ("actor", "act", "thing", "from", "until")},
    )


@manage_page(Act.READ_AUDIT)
async def export(page: ManagePage) -> web.StreamResponse:
    """The rows that match as JSON Lines, newest first, some at a time."""
    criteria = _criteria(page)
    response = web.StreamResponse(headers={**HEADERS, "Content-Type": "application/x-ndjson"})
    response.headers["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
    rows = await page.app[keys.DATABASE].read(stored_audit.search, criteria, AT_ONCE)
    await response.prepare(page.request)
    while rows:
        lines = "".join(json.dumps(document(row), ensure_ascii=False) + "\n" for row in rows)
        await response.write(lines.encode())
        following = replace(criteria, below=rows[-1].id)
        rows = await page.app[keys.DATABASE].read(stored_audit.search, following, AT_ONCE)
    await response.write_eof()
    return response


def _query_of(page: ManagePage) -> str:
    """The query of the filter, with its question mark; empty without one."""
    _, mark, query = with_query(page, below="").partition("?")
    return mark + query


def _criteria(page: ManagePage) -> AuditSearch:
    """The filter of the query, days in the zone of the page; raises Invalid."""
    texts = {name: page.query.get(name, "").strip()[:LONGEST] or None for name in ("actor", "act", "thing")}
    first, last = _day(page, "from"), _day(page, "until")
    below = page.query.get("below", "")
    if below and not (below.isascii() and below.isdecimal() and len(below) < 19):
        raise Invalid("below: must be the number of a row")
    return AuditSearch(
        **texts,
        start=None if first is None else day_start(first, page.zone),
        end=None if last is None else day_start(last + timedelta(days=1), page.zone),
        below=int(below) if below else None,
    )


def _day(page: ManagePage, name: str) -> date | None:
    text = page.query.get(name, "")
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if not 1970 < day.year < 9000:
        raise Invalid(f"{name}: must be a date such as 2026-11-28")
    return day


def _changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """The keys whose values differ, with both as texts; empty where it was not there."""
    old, new = before or {}, after or {}
    names = [*old, *(name for name in new if name not in old)]
    return [
        (name, _text(old, name), _text(new, name))
        for name in names
        if name not in old or name not in new or old[name] != new[name]
    ]


def _text(facts: Mapping[str, Any], name: str) -> str:
    if name not in facts:
        return ""
    value = facts[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
