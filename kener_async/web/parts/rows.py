"""The rows of monitors: name, current status, bars and uptime."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from weakref import ReferenceType, ref

import brotli
from aiohttp import web
from markupsafe import Markup

from kener_async.domain.calendar import DAY
from kener_async.domain.samples import Status
from kener_async.web.pages import labels
from kener_async.web.pages.snapshot import DayView, MonitorView
from kener_async.web.pages.templates import TemplateContext, Templates
from kener_async.web.parts.bars import bars

MAX_CACHED = 2 * 1024 * 1024  # bytes of compressed rows, about 1,500

CachedRow = tuple[ReferenceType[MonitorView], bytes]


class RowCache:
    """Rendered rows by monitor and language; a row is rendered again only when its view is another object.

    Rows are kept compressed, at the quality of Brotli that is the fastest: in a tenth of the bytes, for a
    hundredth of the time that it takes to render one.
    """

    def __init__(self, templates: Templates) -> None:
        self._template = templates.get("row.html")
        self._rows: OrderedDict[tuple[str, str], CachedRow] = OrderedDict()
        self._size = 0

    def rows(
        self, context: TemplateContext, views: Sequence[MonitorView], now: int, max_bytes: int
    ) -> list[Markup]:
        """The rows of these monitors; to be called in a thread. Beyond `max_bytes` rows have no bars."""
        rows: list[Markup] = []
        size = 0
        for view in views:
            row = self._row(context, view, now)
            size += len(row)
            rows.append(
                Markup(row.decode())  # noqa: S704 - the template escapes
                if size <= max_bytes
                else self._rendered(context, view, now, has_bars=False)
            )
        return rows

    def _row(self, context: TemplateContext, view: MonitorView, now: int) -> bytes:
        key = view.monitor.tag, context.locale.tag
        cached = self._rows.get(key)
        if cached is not None and cached[0]() is view:
            self._rows.move_to_end(key)
            row: bytes = brotli.decompress(cached[1])
            return row
        row = self._rendered(context, view, now, has_bars=True).encode()
        self._keep(key, view, brotli.compress(row, quality=1))
        return row

    def _keep(self, key: tuple[str, str], view: MonitorView, packed: bytes) -> None:
        previous = self._rows.pop(key, None)
        if previous is not None:
            self._size -= len(previous[1])
        self._rows[key] = ref(view), packed
        self._size += len(packed)
        while self._size > MAX_CACHED:
            _, (_, evicted) = self._rows.popitem(last=False)
            self._size -= len(evicted)

    def _rendered(self, context: TemplateContext, view: MonitorView, now: int, *, has_bars: bool) -> Markup:
        values = {**context.values(), **_row(context, view, now, has_bars)}
        return Markup(self._template.render(values))  # noqa: S704 - the template escapes


ROW_CACHE = web.AppKey("row cache", RowCache)


def _row(context: TemplateContext, view: MonitorView, now: int, has_bars: bool) -> dict[str, Any]:
    locale, monitor = context.locale, view.monitor
    address = context.link(f"/monitor/{monitor.tag}")
    is_partial = context.site.bar_style == "partial"
    troubled = [labels.day(locale, day).split("\n") for day in view.days if _is_troubled(day)]
    return {
        "monitor_view": view,
        "monitor": monitor,
        "now": now,
        "address": address,
        "bars": bars(view.days, address, locale, is_partial) if has_bars else "",
        "ago": locale.gettext("%(duration)s ago") % {"duration": locale.duration(90 * DAY)},
        "figures": [(name, labels.window_uptime(locale, view, name, now)) for name in view.windows],
        "troubled": troubled if has_bars else (),
    }


def _is_troubled(day: DayView) -> bool:
    return day.status is not Status.NO_DATA and day.counts.uptime != "100"
