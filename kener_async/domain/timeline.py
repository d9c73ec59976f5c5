"""The status of every minute, as a pure function of the stored layers; see docs/uptime.md.

A timeline is a sequence of runs: spans of minutes that have one status for one reason. The status can change
at edges only (a sample, the start or end of an incident, of a gap, of a settings version, a deadline), so the
rule is applied once for each span between two edges.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from math import fsum
from sys import float_info

from kener_async.domain.calendar import MINUTE, QUARTER, minute_end, minute_from, minute_of, quarter_of
from kener_async.domain.groups import GroupSettings, Steps, counts_of, downs, folded
from kener_async.domain.heartbeats import (
    Deadlines,
    Expectation,
    Gap,
    MonitorSettings,
    OnChange,
    Version,
    merged,
    settings_within,
)
from kener_async.domain.incidents import Overlay
from kener_async.domain.samples import Sample, Status
from kener_async.domain.uptime import Counts


class Reason(StrEnum):
    """Why a minute has its status."""

    MAINTENANCE = "maintenance"
    INCIDENT = "incident"
    SAMPLE = "sample"
    HELD = "held"
    DEADLINE = "deadline"
    STALE = "stale"
    NOT_MEASURED = "not measured"
    NOT_OBSERVED = "not observed"
    AFTER_MAINTENANCE = "awaiting the first report after a maintenance"
    AFTER_CHANGE = "awaiting the first report after a change of settings"
    DEFAULT = "default"
    MEMBERS = "members"
    PARENT_DOWN = "parent down"
    NO_SAMPLE = "no sample"
    NOT_KNOWN = "not known yet"


@dataclass(frozen=True, slots=True)
class Layers:
    """The stored facts about one monitor and a span of minutes, from which its statuses follow.

    `samples` are those of the span by minute, `earlier` is the newest sample before the span. `versions`,
    `gaps` and `overlays` may reach beyond it. Versions and gaps are ordered, oldest first; gaps are disjoint.
    `starts` are the instants at which the monitor's job said that it began, oldest first. `related` are the
    layers, by tag, of the members and parents that the versions in force within the span name. Without
    `excuses` a parent that is DOWN excuses nothing. `monitor` is its id. `offline` are those of the gaps in
    which the server ran and was offline.
    """

    samples: Mapping[int, Sample]
    earlier: Sample | None
    overlays: Sequence[Overlay]
    versions: Sequence[Version]
    gaps: Sequence[Gap]
    starts: Sequence[int] = ()
    related: Mapping[str, "Layers"] = field(default_factory=dict)
    excuses: bool = True
    monitor: int = 0
    offline: Sequence[Gap] = ()

    def begun_by(self, instant: int) -> "Layers":
        """The layers without overlays that begin after an instant, also those that begin in its minute."""
        return replace(
            self,
            overlays=[overlay for overlay in self.overlays if overlay.start <= instant],
            related={tag: layers.begun_by(instant) for tag, layers in self.related.items()},
        )

    def measured(self) -> "Layers":
        """The layers without what people say of incidents, and without excuses; maintenance stays."""
        return replace(self._without_incidents(), excuses=False)

    def _without_incidents(self) -> "Layers":
        return replace(
            self,
            overlays=[overlay for overlay in self.overlays if overlay.maintenance],
            related={tag: layers._without_incidents() for tag, layers in self.related.items()},
        )


UNKNOWN = Layers({}, None, (), (), ())  # of a monitor of which nothing is stored


@dataclass(frozen=True, slots=True)
class Run:
    """Minutes `[start, end)` of one status for one reason; `incident` is the incident's number, if any."""

    start: int
    end: int
    status: Status
    reason: Reason
    incident: int | None = None
    degraded_is_downtime: bool = False


@dataclass(frozen=True, slots=True)
class RelatedMinutes:
    """The statuses of a monitor that others follow from.

    `downs` are its steps as one that others depend on: there it is DOWN also where its own parent excuses it.
    """

    steps: Steps
    downs: Steps


def related_minutes(timeline: Iterable[Run]) -> RelatedMinutes:
    """The minutes of these runs, as others follow from them."""
    steps: list[tuple[int, Status]] = []
    down: list[tuple[int, Status]] = []
    for run in timeline:
        if not steps or steps[-1][1] is not run.status:
            steps.append((run.start, run.status))
        status = Status.DOWN if run.reason is Reason.PARENT_DOWN else run.status
        if not down or down[-1][1] is not status:
            down.append((run.start, status))
    return RelatedMinutes(steps, down)


Related = Mapping[str, RelatedMinutes]  # by tag


class Followed:
    """What a monitor's minutes follow from, besides its own layers, by minute.

    `groups` says from which minutes on it has which status as a group, None: it is none. `excuses` says from
    which minutes on one of the parents that excuse it is DOWN.
    """

    def __init__(
        self, groups: Sequence[tuple[int, Status | None]] = (), excuses: Sequence[tuple[int, bool]] = ()
    ) -> None:
        self._groups = groups
        self._excuses = excuses

    def edges(self) -> Iterator[int]:
        return (minute for minute, _ in chain(self._groups, self._excuses))

    def status_at(self, minute: int) -> Status | None:
        place = bisect_right(self._groups, minute, key=_minute)
        return self._groups[place - 1][1] if place else None

    def is_excused_at(self, minute: int) -> bool:
        place = bisect_right(self._excuses, minute, key=_minute)
        return place > 0 and self._excuses[place - 1][1]


def _minute(step: tuple[int, object]) -> int:
    return step[0]


FOLLOWS_NOTHING = Followed()


def _followed(layers: Layers, related: Related, start: int, end: int) -> Followed:
    groups: list[tuple[int, Status | None]] = []
    excuses: list[tuple[int, bool]] = []
    for first, last, settings in settings_within(layers.versions, start, end):
        if settings.group is not None:
            members = [related[tag].steps for tag in settings.group.members if tag in related]
            groups += folded(settings.group, members, first, last)
        elif groups:
            groups.append((first, None))
        if settings.excused_by and layers.excuses:
            parents = [related[tag].downs for tag in settings.excused_by if tag in related]
            excuses += downs(parents, first, last)
        elif excuses:
            excuses.append((first, False))
    return Followed(groups, excuses)


def runs(layers: Layers, start: int, end: int, related: Related | None = None) -> Iterator[Run]:
    """The runs of `[start, end)`, both on the minute, in order and without gaps between them.

    `related` are the minutes of the related monitors, which are computed where they are not given.
    """
    followed = FOLLOWS_NOTHING
    if layers.related:
        if related is None:
            related = {tag: related_minutes(runs(one, start, end)) for tag, one in layers.related.items()}
        followed = _followed(layers, related, start, end)
    before = max((minute for minute in layers.samples if minute < start), default=None)
    newest = layers.earlier if before is None else layers.samples[before]
    edges = _edges(layers, followed, start, end)
    for position, edge in enumerate(edges):
        newest = layers.samples.get(edge, newest)
        until = edges[position + 1] if position + 1 < len(edges) else end
        version = version_at(layers.versions, edge)
        status, reason, incident = _status_of(layers, edge, newest, version, followed)
        degraded_is_downtime = version is not None and version.settings.include_degraded_in_downtime
        yield Run(edge, until, status, reason, incident, degraded_is_downtime)


def _edges(layers: Layers, followed: Followed, start: int, end: int) -> list[int]:
    """The minutes of `[start, end)` at which the status may differ from that of the minute before."""
    edges = {start}
    for overlay in layers.overlays:
        edges.add(minute_of(overlay.start))
        if overlay.end is not None:
            edges.add(minute_from(overlay.end))
    for gap in (*layers.gaps, *layers.offline):
        edges.update((minute_of(gap.start), minute_from(gap.end)))
    edges.update(minute_of(version.since) for version in layers.versions)
    edges.update(layers.samples)
    edges.update(minute + MINUTE for minute in layers.samples)
    edges.update(_deadline_edges(layers, start, end))
    edges.update(followed.edges())
    return sorted(edge for edge in edges if start <= edge < end)


def _deadline_edges(layers: Layers, start: int, end: int) -> Iterator[int]:
    """The deadlines after each sample, and those that begin anew, from which a silence may begin."""
    expectations = {v.settings.expectation for v in layers.versions if v.settings.expectation is not None}
    if not expectations:
        return
    reports = [minute for minute in layers.samples if minute + MINUTE not in layers.samples]
    if layers.earlier is not None:
        reports.append(layers.earlier.minute)
    first = min(reports, default=start)
    restarts = [pause.end for pause, _ in _pauses(layers) if first <= pause.end < end]
    restarts += [version.since for version in layers.versions if first <= version.since < end]
    for expectation in expectations:
        found = [expectation.after_report(minute) for minute in reports]
        found += [expectation.deadlines(instant) for instant in restarts]
        begun = (expectation.after_start(instant) for instant in layers.starts)
        found += [deadlines for deadlines in begun if deadlines is not None]
        for deadlines in found:
            yield minute_from(deadlines.late_at)
            if deadlines.down_at is not None:
                yield minute_from(deadlines.down_at)


def _pauses(layers: Layers) -> list[tuple[Gap, Reason]]:
    """The observer gaps and the spans of maintenance that have an end, by their start."""
    spans = [
        Gap(overlay.start, overlay.end)
        for overlay in layers.overlays
        if overlay.maintenance and overlay.end is not None and overlay.start < overlay.end
    ]
    pauses = [(gap, Reason.NOT_OBSERVED) for gap in layers.gaps]
    pauses += [(span, Reason.AFTER_MAINTENANCE) for span in merged(spans)]
    return sorted(pauses, key=lambda pause: pause[0].start)


def version_at(versions: Sequence[Version], minute: int) -> Version | None:
    """The settings in force: the newest loaded before the minute's end; None before the first."""
    for version in reversed(versions):
        if minute_of(version.since) <= minute:
            return version
    return None


def _status_of(
    layers: Layers, minute: int, newest: Sample | None, version: Version | None, followed: Followed
) -> tuple[Status, Reason, int | None]:
    """The status of a minute, by the first rule that applies; `newest` is the newest sample up to it."""
    covering = [overlay for overlay in layers.overlays if overlay.covers(minute)]
    effect = _effect_of(covering)
    if effect is not None:
        return effect
    as_group = followed.status_at(minute)
    if as_group is not None:
        status, reason = as_group, Reason.MEMBERS
    else:
        status, reason = _measured_status(layers, minute, newest, version)
    if status is Status.DOWN and followed.is_excused_at(minute):
        return Status.NO_DATA, Reason.PARENT_DOWN, None
    return status, reason, None


def _effect_of(overlays: Sequence[Overlay]) -> tuple[Status, Reason, int | None] | None:
    """The status that incidents give to their monitors; None: they leave what was measured."""
    for overlay in overlays:
        if overlay.maintenance:
            return Status.MAINTENANCE, Reason.MAINTENANCE, overlay.number
    impacts = [(overlay.impact, overlay.number) for overlay in overlays if overlay.impact is not None]
    if not impacts:
        return None
    impact, number = max(impacts, key=lambda pair: pair[0])
    return impact, Reason.INCIDENT, number


def _measured_status(
    layers: Layers, minute: int, newest: Sample | None, version: Version | None
) -> tuple[Status, Reason]:
    """The status of a minute apart from incidents; `newest` is the newest sample up to it."""
    if newest is not None and newest.minute == minute:
        return newest.status, Reason.SAMPLE
    if version is None:
        return Status.NO_DATA, Reason.NOT_KNOWN
    settings = version.settings
    if settings.expectation is not None and newest is not None:
        return _silent_status(layers, minute, newest, settings.expectation)
    if is_in_gap(layers.gaps, minute):
        return Status.NO_DATA, Reason.NOT_OBSERVED
    if settings.default_status is not None:
        return settings.default_status, Reason.DEFAULT
    return Status.NO_DATA, Reason.NO_SAMPLE


def _silent_status(
    layers: Layers, minute: int, newest: Sample, expectation: Expectation
) -> tuple[Status, Reason]:
    """The status of a minute without a sample, of a monitor that should have reported.

    Silence never looks better than the last word: what was DOWN stays DOWN.
    """
    counted_from = newest.minute + MINUTE
    held = _or_sooner(layers, minute, expectation, counted_from, expectation.after_report(newest.minute))
    is_check = isinstance(expectation, OnChange) and expectation.is_check
    if is_check and is_in_gap(layers.offline, minute):
        return Status.NO_DATA, Reason.NOT_OBSERVED
    if minute < held.late_at:
        return newest.status, Reason.HELD
    if is_in_gap(layers.gaps, minute):
        return Status.NO_DATA, Reason.NOT_OBSERVED
    if held.down_at is None:
        return Status.NO_DATA, Reason.NOT_MEASURED if is_check else Reason.STALE
    deadlines, began_anew = _deadlines_at(layers, minute, newest, expectation)
    if minute < deadlines.late_at and began_anew is not None:
        return Status.NO_DATA, began_anew
    is_down = deadlines.down_at is not None and minute >= deadlines.down_at
    return Status.DOWN if is_down else max(newest.status, Status.DEGRADED), Reason.DEADLINE


def _deadlines_at(
    layers: Layers, minute: int, newest: Sample, expectation: Expectation
) -> tuple[Deadlines, Reason | None]:
    """The deadlines that hold in a minute, and why they began anew since the sample, if so.

    They begin anew when the expectation comes into force, at the end of each observer gap, because a report
    may have been missed in it, and at the end of a maintenance in which a report was due or a deadline ended.
    """
    counted_from, reason = newest.minute + MINUTE, None
    deadlines = expectation.after_report(newest.minute)
    deadlines = _or_sooner(layers, minute, expectation, counted_from, deadlines)
    in_force_since = _in_force_since(layers.versions, minute)
    if in_force_since > counted_from:
        counted_from, reason = in_force_since, Reason.AFTER_CHANGE
        deadlines = _or_sooner(layers, minute, expectation, counted_from, expectation.deadlines(counted_from))
    for pause, why in _pauses(layers):
        if not counted_from < pause.end < minute + MINUTE:
            continue
        if why is Reason.NOT_OBSERVED or _is_in(pause, deadlines.due) or _is_in(pause, deadlines.late_at):
            counted_from, reason = pause.end, why
            deadlines = expectation.deadlines(counted_from)
            deadlines = _or_sooner(layers, minute, expectation, counted_from, deadlines)
        elif deadlines.down_at is not None and _is_in(pause, deadlines.down_at):
            deadlines = replace(deadlines, down_at=expectation.deadlines(pause.end).down_at)
    return deadlines, reason


def _or_sooner(
    layers: Layers, minute: int, expectation: Expectation, counted_from: int, deadlines: Deadlines
) -> Deadlines:
    """These deadlines, or sooner ones if a job began since the instant from which they count."""
    place = bisect_left(layers.starts, counted_from)
    if place == len(layers.starts) or layers.starts[place] >= minute + MINUTE:
        return deadlines
    started = expectation.after_start(layers.starts[place])
    if started is None or started.down_at is None or deadlines.down_at is None:
        return deadlines
    if started.late_at >= deadlines.late_at:
        return deadlines
    return replace(started, down_at=min(started.down_at, deadlines.down_at))


def _in_force_since(versions: Sequence[Version], minute: int) -> int:
    """When the expectation of a minute came into force: the oldest of the newest versions that share it."""
    begun = [version for version in versions if minute_of(version.since) <= minute]
    since = begun[-1].since
    for version in reversed(begun):
        if version.settings.expectation != begun[-1].settings.expectation:
            break
        since = version.since
    return since


def _is_in(span: Gap, instant: int) -> bool:
    """Whether the minute of an instant overlaps a span."""
    return span.start < minute_of(instant) + MINUTE and minute_of(instant) < span.end


def is_in_gap(gaps: Sequence[Gap], minute: int) -> bool:
    """Whether the minute overlaps one of these gaps, which are ordered and disjoint."""
    begun = bisect_right(gaps, minute + MINUTE - 1, key=lambda gap: gap.start)
    return begun > 0 and gaps[begun - 1].end > minute


def count(timeline: Iterable[Run], samples: Iterable[Sample] = ()) -> Counts:
    """Count the minutes of the runs by status, and sum up the latencies of the samples."""
    minutes = dict.fromkeys(Status, 0)
    degraded_as_downtime = 0
    for run in timeline:
        length = (run.end - run.start) // MINUTE
        minutes[run.status] += length
        if run.status is Status.DEGRADED and run.degraded_is_downtime:
            degraded_as_downtime += length
    latencies = [sample.latency for sample in samples]
    return Counts(
        minutes[Status.UP],
        minutes[Status.DEGRADED],
        degraded_as_downtime,
        minutes[Status.DOWN],
        minutes[Status.MAINTENANCE],
        len(latencies),
        total_of(latencies),
        min(latencies, default=None),
        max(latencies, default=None),
    )


def total_of(latencies: Sequence[float]) -> float:
    """The exact sum, rounded once; at most the largest float, because JSON has no infinity."""
    try:
        return fsum(latencies)
    except OverflowError:
        return float_info.max


def count_span(layers: Layers, start: int, end: int) -> Counts:
    """The counts of `[start, end)`, both on the minute."""
    samples = [layers.samples[minute] for minute in sorted(layers.samples) if start <= minute < end]
    return count(runs(layers, start, end), samples)


def count_quarters(layers: Layers, start: int, end: int) -> dict[int, Counts]:
    """The counts by quarter of `[start, end)`, both on the quarter; quarters without data are left out."""
    pieces: dict[int, list[Run]] = {}
    for run in runs(layers, start, end):
        if run.status is not Status.NO_DATA:
            for piece in _by_quarter(run):
                pieces.setdefault(quarter_of(piece.start), []).append(piece)
    samples: dict[int, list[Sample]] = {}
    for minute in sorted(layers.samples):
        if start <= minute < end:
            samples.setdefault(quarter_of(minute), []).append(layers.samples[minute])
    return {
        quarter: count(pieces.get(quarter, ()), samples.get(quarter, ()))
        for quarter in sorted(pieces.keys() | samples.keys())
    }


def _by_quarter(run: Run) -> Iterator[Run]:
    start = run.start
    while start < run.end:
        end = min(quarter_of(start) + QUARTER, run.end)
        yield Run(start, end, run.status, run.reason, run.incident, run.degraded_is_downtime)
        start = end


@dataclass(frozen=True, slots=True)
class CurrentStatus:
    """The status of a monitor at an instant, and why.

    `status` may be MAINTENANCE or NO_DATA; `kener_status` is one of the contract's three values, or None
    without data. `newest` is the newest sample, and `held` the same while it still speaks for the monitor:
    only then is its latency current. From `fresh_until` on the status may be another.
    """

    status: Status
    kener_status: Status | None
    newest: Sample | None
    fresh_until: int
    reason: Reason
    held: Sample | None


def current_status(
    layers: Layers, now: int, related: Mapping[str, CurrentStatus] | None = None
) -> CurrentStatus:
    """The current status: an active maintenance or incident, else what the current minute measures.

    `related` are the current statuses of the related monitors, which are computed where they are not given.
    """
    if related is None:
        related = {tag: current_status(one, now) for tag, one in layers.related.items()}
    version = version_at(layers.versions, minute_of(now))
    settings = version.settings if version is not None else MonitorSettings()
    active = [overlay for overlay in layers.overlays if overlay.active_at(now)]
    newest = None if settings.group is not None else newest_sample(layers, now)
    last_known = newest.status if newest is not None else settings.default_status
    if settings.group is not None:
        members = [related[tag] for tag in settings.group.members if tag in related]
        measured = settings.group.status_of(counts_of(one.status for one in members)), Reason.MEMBERS
        last_known = _known_of(settings.group, members)
    else:
        measured = _measured_now(layers, minute_of(now), newest, version)
    shown = measured
    if measured[0] is Status.DOWN and _is_excused(layers, settings, related):
        shown = Status.NO_DATA, Reason.PARENT_DOWN
    status, reason, _ = _effect_of(active) or (*shown, None)
    if reason is Reason.PARENT_DOWN:
        last_known = Status.DOWN
    return CurrentStatus(
        status,
        _kener_status(status, last_known, active),
        newest,
        min([_fresh_until(layers.overlays, now), *(one.fresh_until for one in related.values())]),
        reason,
        newest if measured[1] in (Reason.SAMPLE, Reason.HELD) else None,
    )


def _kener_status(status: Status, last_known: Status | None, active: Sequence[Overlay]) -> Status | None:
    """The status as one of the contract's three values."""
    if status is Status.MAINTENANCE:
        return max((overlay.impact for overlay in active if overlay.impact is not None), default=last_known)
    return last_known if status is Status.NO_DATA else status


def _known_of(group: GroupSettings, members: Sequence[CurrentStatus]) -> Status | None:
    """What a group is by what the contract's route says of its members; None: nothing of any."""
    status = group.status_of(counts_of(one.kener_status for one in members if one.kener_status is not None))
    return None if status is Status.NO_DATA else status


def _is_excused(layers: Layers, settings: MonitorSettings, related: Mapping[str, CurrentStatus]) -> bool:
    """Whether one of the parents that excuse it is DOWN now, or excused itself."""
    parents = [related[tag] for tag in settings.excused_by if tag in related]
    return layers.excuses and any(
        parent.status is Status.DOWN or parent.reason is Reason.PARENT_DOWN for parent in parents
    )


def newest_sample(layers: Layers, now: int) -> Sample | None:
    """The newest sample up to `now`: later ones exist when the clock was set back."""
    minutes = [minute for minute in layers.samples if minute <= now]
    return layers.samples[max(minutes)] if minutes else layers.earlier


def _measured_now(
    layers: Layers, minute: int, newest: Sample | None, version: Version | None
) -> tuple[Status, Reason]:
    """The status of the current minute apart from incidents.

    Where no report is expected the newest one holds until it is stale, though past minutes without a report
    have no data: there it is not known yet whether one will come.
    """
    status, reason = _measured_status(layers, minute, newest, version)
    settings = version.settings if version is not None else MonitorSettings()
    if newest is None or newest.minute == minute or settings.expectation is not None:
        return status, reason
    if minute <= newest.minute + settings.stale_after:
        return newest.status, Reason.HELD
    return status, Reason.STALE if status is Status.NO_DATA else reason


def _fresh_until(overlays: Sequence[Overlay], now: int) -> int:
    """When the current status may next change without new data: at a new minute or an edge of an overlay."""
    edges = [minute_end(now)]
    for overlay in overlays:
        edges.append(overlay.start)
        if overlay.end is not None:
            edges.append(overlay.end)
    return min(edge for edge in edges if edge > now)
