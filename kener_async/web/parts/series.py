"""Occurrences of maintenance that are too far away to be stored, as incidents for calendars and feeds."""

import asyncio
from collections.abc import Iterable

from kener_async import keys
from kener_async.config.model import Config
from kener_async.config.series import series_in_force
from kener_async.domain.incidents import Incident
from kener_async.domain.series import SHOWN_AHEAD, MaintenanceSeries, Occurrence, to_come
from kener_async.store import managed, series
from kener_async.store.interface import Session
from kener_async.store.managed import Managed
from kener_async.web.pages.page import PageRequest
from kener_async.web.pages.snapshot import IncidentView, visible

Stored = tuple[list[Managed], dict[str, set[str]]]  # the series, and the days of their occurrences


async def computed_views(page: PageRequest, tag: str | None = None) -> list[IncidentView]:
    """The occurrences to come within 400 days that are not stored, by their begin; of one monitor, or of all.

    Their numbers are negative: they have no page of their own yet.
    """
    stored, days = await page.app[keys.DATABASE].read(_stored, page.now)
    if not stored and not page.config.maintenance:
        return []
    incidents = await asyncio.to_thread(_computed, page.config, stored, days, page.now)
    views = visible([(incident, []) for incident in incidents], page.snapshot)
    return [view for view in views if tag is None or tag in view.tags]


def _stored(session: Session, now: int) -> Stored:
    return managed.list_of(session, "series"), series.stored_days(session, now)


def _computed(
    config: Config, stored: Iterable[Managed], days: dict[str, set[str]], now: int
) -> list[Incident]:
    found = series_in_force(config, ((each.name, each.body) for each in stored)).things
    pairs = [
        (each, occurrence)
        for each in found.values()
        for occurrence in to_come(each, days.get(each.name, set()), now)
    ]
    pairs.sort(key=lambda pair: (pair[1].start, pair[0].name))
    return [_incident(-number, *pair) for number, pair in enumerate(pairs, 1)]


def _incident(number: int, maintenance: MaintenanceSeries, occurrence: Occurrence) -> Incident:
    """One that was last edited when it came within sight, which stays so until it is stored."""
    seen_at = occurrence.start - SHOWN_AHEAD
    return Incident(
        number=number,
        title=maintenance.title,
        body=maintenance.text,
        tags=maintenance.tags,
        start=occurrence.start,
        end=occurrence.end,
        impact=None,
        is_maintenance=True,
        is_identified=False,
        is_resolved=False,
        created_at=seen_at,
        resolved_at=None,
        closed_at=None,
        ended_by_resolving=False,
        updated_at=seen_at,
        revision=0,
        series=maintenance.name,
        occurrence=occurrence.key,
    )
