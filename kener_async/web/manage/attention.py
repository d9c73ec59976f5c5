"""What needs attention now: bad monitors, incidents without news, faults of the service itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from kener_async import __version__, keys
from kener_async.api.manage.owned import owned_announcements
from kener_async.config.model import MonitorConfig
from kener_async.config.series import series_in_force
from kener_async.config.templates import templates_in_force
from kener_async.domain.alerts import Alert
from kener_async.domain.calendar import DAY, HOUR
from kener_async.domain.incidents import Incident, IncidentStage
from kener_async.domain.people import Act
from kener_async.domain.samples import Status
from kener_async.store import attention as stored
from kener_async.store.attention import StoredAttention
from kener_async.store.devices import DeviceSummary
from kener_async.store.incident_lists import IncidentThread
from kener_async.store.managed import Managed
from kener_async.web.manage.frame import ManagePage
from kener_async.web.pages import labels
from kener_async.web.pages.snapshot import STATUS_SINCE, MonitorNow

SHOWN = 30  # bad monitors
SILENT_AFTER = HOUR  # of a device
NAMED = 5
UPCOMING_WITHIN = DAY
BAD = (Status.DOWN, Status.DEGRADED)
IDLE_PATHS = {"template": "/templates", "announcement": "/announcements", "series": "/maintenance"}


@dataclass(frozen=True, slots=True)
class BadMonitor:
    """A monitor that is DOWN or DEGRADED: in words since when and why, and what people did about it.

    `because` is the name of a parent that is bad. `alert` is the oldest open alert of it that is told;
    `incidents` are the open public ones that name it.
    """

    monitor: MonitorConfig
    status: Status
    since: int | None
    words: str
    reason: str
    because: str = ""
    alert: Alert | None = None
    incidents: Sequence[Incident] = ()

    @property
    def acknowledged_by(self) -> str:
        return "" if self.alert is None or self.alert.acknowledged_at is None else self.alert.acknowledged_by

    def snoozed_until(self, now: int) -> int | None:
        until = None if self.alert is None else self.alert.snoozed_until
        return None if until is None or until <= now else until


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An open incident or a draft; `said_at` is when visitors were last told something of it."""

    incident: Incident
    names: Sequence[str]
    said_at: int


@dataclass(frozen=True, slots=True)
class ServiceFault:
    """Something that is wrong with the service itself; `path` is the screen that says more."""

    text: str
    path: str
    is_grave: bool = False


@dataclass(frozen=True, slots=True)
class Attention:
    """All of it, for one person. `counts` are the monitors by status, `unacknowledged` those with an alert.

    `bad` are the worst SHOWN of `bad_count`. `drafts` are those that a rule opened and no person published.
    """

    counts: Mapping[Status, int]
    bad: Sequence[BadMonitor]
    bad_count: int
    unacknowledged: int
    incidents: Sequence[OpenIncident]
    drafts: Sequence[OpenIncident]
    under_way: Sequence[Incident]
    upcoming: Sequence[Incident]
    faults: Sequence[ServiceFault] = field(default_factory=list)
    version: str = __version__

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def untold(self) -> bool:
        """Whether something is bad of which visitors are not told."""
        return any(not one.incidents for one in self.bad)

    @property
    def worst(self) -> Status:
        """The status that the headline has: the worst one, else UP, or NO_DATA if nothing is known."""
        found = next((status for status in (*BAD, Status.MAINTENANCE) if self.counts.get(status)), None)
        return found or (Status.UP if self.counts.get(Status.UP) else Status.NO_DATA)


async def attention(page: ManagePage) -> Attention:
    """What needs attention now, of the monitors that the person may see."""
    app, now = page.app, page.now
    monitors = [one for one in page.config.monitors if one.tag in page.tags]
    nows = await monitors_now(page, monitors)
    facts = await app[keys.DATABASE].read(stored.load, now)
    counts = dict.fromkeys(Status, 0)
    for one in nows:
        counts[one.status] += 1
    bad = sorted((one for one in nows if one.status in BAD), key=lambda one: labels.SEVERITY[one.status])
    open_alerts = [one for one in facts.alerts if facts.tags[one.monitor] in page.tags]
    names = {one.tag: one.name for one in monitors}
    return Attention(
        counts=counts,
        bad=await _bad(page, bad[:SHOWN], facts, names),
        bad_count=len(bad),
        unacknowledged=len({one.monitor for one in open_alerts if one.acknowledged_at is None}),
        incidents=list(_open_incidents(page, facts.incidents, names)),
        drafts=list(_drafts(page, facts, names)),
        under_way=_maintenance(page, facts.incidents, is_under_way=True),
        upcoming=_maintenance(page, facts.incidents, is_under_way=False),
        faults=list(_faults(page, facts, names)),
    )


async def bad_monitors(page: ManagePage, most: int = 200) -> list[BadMonitor]:
    """The monitors that are bad now, at most so many, the worst first."""
    monitors = [one for one in page.config.monitors if one.tag in page.tags]
    bad = [one for one in await monitors_now(page, monitors) if one.status in BAD]
    bad.sort(key=lambda one: labels.SEVERITY[one.status])
    facts = await page.app[keys.DATABASE].read(stored.load, page.now)
    return await _bad(page, bad[:most], facts, {one.tag: one.name for one in monitors})


async def monitors_now(page: ManagePage, monitors: Sequence[MonitorConfig]) -> list[MonitorNow]:
    """The current status of monitors, hidden ones too, without a query of each."""
    states = page.app[keys.STATES].of(one.tag for one in monitors)
    loaded = await page.app[keys.LOADER].current(states)
    return [
        MonitorNow(one, state, state.current(page.now)) for one, state in zip(monitors, loaded, strict=True)
    ]


async def _bad(
    page: ManagePage, bad: Sequence[MonitorNow], facts: StoredAttention, names: Mapping[str, str]
) -> list[BadMonitor]:
    """The bad monitors with what is known of each, those that are bad for longest first of their status."""
    beginnings = await page.app[STATUS_SINCE].of(bad, page.now)
    alerts = _told_first(facts)
    found = [
        BadMonitor(
            monitor=one.monitor,
            status=one.status,
            since=since,
            words=labels.status_for(page.locale, one.current, since, page.now),
            reason=_reason(page, one),
            because=_because(page, one, alerts.get(one.monitor.tag), facts, names),
            alert=alerts.get(one.monitor.tag),
            incidents=[
                incident
                for incident, _ in facts.incidents
                if one.monitor.tag in incident.tags
                and not incident.is_maintenance
                and incident.stage(page.now).is_ongoing
            ],
        )
        for one, since in zip(bad, beginnings, strict=True)
    ]
    return sorted(found, key=lambda one: (labels.SEVERITY[one.status], bool(one.because), one.since or 0))


def _told_first(facts: StoredAttention) -> dict[str, Alert]:
    """The alert of each monitor that says most of it: one that was told, else the oldest."""
    found: dict[str, Alert] = {}
    for alert in facts.alerts:
        tag = facts.tags[alert.monitor]
        if tag not in found or (found[tag].told_at is None and alert.told_at is not None):
            found[tag] = alert
    return found


def _reason(page: ManagePage, one: MonitorNow) -> str:
    """Why a monitor is bad: what its check saw last, else how its status follows."""
    attempts = page.app[keys.CHECKS].last_attempts(one.monitor.tag)
    seen = next((each.reason for each in reversed(attempts) if each.status in BAD), "")
    return seen or labels.reason_now(page.locale, one.current)


def _because(
    page: ManagePage, one: MonitorNow, alert: Alert | None, facts: StoredAttention, names: Mapping[str, str]
) -> str:
    """The name of a parent that is bad too; empty without one."""
    if alert is not None and alert.because is not None:
        bad = [facts.tags.get(alert.because, "")]
    else:
        parents = [page.app[keys.STATES].find(tag) for tag in one.monitor.depends_on]
        bad = [each.tag for each in parents if each is not None and each.current(page.now).status in BAD]
    return names.get(bad[0], page.locale.gettext("another monitor")) if bad else ""


def _is_visible(page: ManagePage, incident: Incident) -> bool:
    return page.grant.tags is None or any(tag in page.tags for tag in incident.tags)


def _open_incidents(
    page: ManagePage, threads: Sequence[IncidentThread], names: Mapping[str, str]
) -> Iterator[OpenIncident]:
    for incident, updates in threads:
        is_open = incident.stage(page.now).is_ongoing and not incident.is_maintenance
        if is_open and _is_visible(page, incident):
            said = [update.at for update in updates if update.body and update.at <= page.now]
            yield OpenIncident(incident, _named(page, incident, names), max([incident.created_at, *said]))


def _drafts(page: ManagePage, facts: StoredAttention, names: Mapping[str, str]) -> Iterator[OpenIncident]:
    for incident in facts.drafts:
        if not incident.is_maintenance and not incident.is_resolved and _is_visible(page, incident):
            yield OpenIncident(incident, _named(page, incident, names), incident.created_at)


def _named(page: ManagePage, incident: Incident, names: Mapping[str, str]) -> list[str]:
    """The names of its monitors that the person may see."""
    return [names.get(tag, tag) for tag in incident.tags if page.grant.tags is None or tag in page.tags]


def _maintenance(
    page: ManagePage, threads: Sequence[IncidentThread], *, is_under_way: bool
) -> list[Incident]:
    """The maintenance under way; or that which begins within a day, at least the next one."""
    visible = [one for one, _ in threads if one.is_maintenance and _is_visible(page, one)]
    visible.sort(key=lambda incident: (incident.start, incident.number))
    if is_under_way:
        return [one for one in visible if one.stage(page.now).is_ongoing]
    planned = [one for one in visible if one.stage(page.now) is IncidentStage.SCHEDULED]
    return [one for one in planned if one.start <= page.now + UPCOMING_WITHIN] or planned[:1]


# What is wrong with the service itself


def _faults(page: ManagePage, facts: StoredAttention, names: Mapping[str, str]) -> Iterator[ServiceFault]:
    _, database = page.locale.gettext, page.app[keys.DATABASE]
    for text in (database.fault, database.damage, database.refuses):
        if text:
            yield ServiceFault(text, "/settings", is_grave=True)
    yield from _channel_faults(page, facts)
    yield from _device_faults(page, facts.devices)
    unmeasured = [tag for tag in names if page.app[keys.CHECKS].not_measured(tag)]
    if unmeasured:
        text = _("Checks that could not be measured: %(names)s") % {"names": _listed(names, unmeasured)}
        reason = page.app[keys.CHECKS].not_measured(unmeasured[0])
        yield ServiceFault(f"{text} ({reason})", f"/monitors/{unmeasured[0]}")
    if page.may(Act.WRITE_TEXTS):
        yield from _idle_faults(page, facts.managed)
    if page.may(Act.SEE_SETTINGS):
        yield from _backup_faults(page)


def _channel_faults(page: ManagePage, facts: StoredAttention) -> Iterator[ServiceFault]:
    _, ngettext = page.locale.gettext, page.locale.ngettext
    configured = {channel.name for channel in page.config.channels}
    for name, state in facts.channels.items():
        if state.paused_at is not None and name in configured:
            words = _("The channel %(name)s is paused: %(fault)s")
            yield ServiceFault(
                words % {"name": name, "fault": state.last_fault},
                f"/channels/{quote(name, safe='')}",
                is_grave=True,
            )
    failed = sum(facts.failed.values())
    if failed and page.grant.tags is None:
        text = ngettext(
            "%(count)s message could not be delivered in the last day (%(channels)s)",
            "%(count)s messages could not be delivered in the last day (%(channels)s)",
            failed,
        )
        yield ServiceFault(
            text % {"count": failed, "channels": ", ".join(sorted(facts.failed))}, "/deliveries?state=failed"
        )


def _device_faults(page: ManagePage, devices: Sequence[DeviceSummary]) -> Iterator[ServiceFault]:
    _ = page.locale.gettext
    visible = [one for one in devices if one.is_visible(page.grant) and not one.is_revoked]
    silent = [one for one in visible if one.last_heard < page.now - SILENT_AFTER]
    tolerance = page.config.ingest.clock_skew_seconds
    wrong = [one for one in visible if one.offset is not None and abs(one.offset) > tolerance]
    for found, text in (
        (silent, _("Devices that have been silent for an hour: %(names)s")),
        (wrong, _("Devices with a wrong clock: %(names)s")),
    ):
        if found:
            names = {str(one.id): one.name or one.sender for one in found}
            yield ServiceFault(text % {"names": _listed(names, list(names))}, "/devices")


def _idle_faults(page: ManagePage, stored: Sequence[Managed]) -> Iterator[ServiceFault]:
    """Templates, announcements and series that were made here and have no effect."""
    _, config = page.locale.gettext, page.config
    if not stored:
        return
    of_kind = {kind: [one for one in stored if one.kind == kind] for kind in IDLE_PATHS}
    templates = templates_in_force(config, [(one.name, one.body) for one in of_kind["template"]])
    series = series_in_force(config, [(one.name, one.body) for one in of_kind["series"]])
    announcements = owned_announcements(config, of_kind["announcement"])
    shadowed = {"template": templates.shadowed, "series": series.shadowed}
    faulty = {
        "template": templates.faulty,
        "announcement": [one.name for one in announcements if one.fault],
        "series": series.faulty,
    }
    for found, text in (
        (
            shadowed,
            _("Made here, and without effect because config.toml has one of the same name: %(names)s"),
        ),
        (faulty, _("Made here, and without effect because it is not valid any more: %(names)s")),
    ):
        for kind, names in found.items():
            if names:
                listed = _listed({name: name for name in names}, sorted(names))
                yield ServiceFault(text % {"names": listed}, IDLE_PATHS[kind])


def _backup_faults(page: ManagePage) -> Iterator[ServiceFault]:
    """An overdue backup; nothing where none is configured, because another program may make them."""
    _, backup = page.locale.gettext, page.config.backup
    if backup.folder is None:
        return
    newest = page.app[keys.BACKUPS].newest
    if newest is None:
        yield ServiceFault(_("There is no backup yet."), "/settings")
    elif page.now - newest > 2 * backup.every:
        age = page.locale.duration(page.now - newest)
        yield ServiceFault(_("The newest backup is %(age)s old.") % {"age": age}, "/settings", is_grave=True)


def _listed(names: Mapping[str, str], found: Sequence[str]) -> str:
    """The first names, and how many there are beyond them."""
    more = [f"+{len(found) - NAMED}"] if len(found) > NAMED else []
    return ", ".join([names[one] for one in found[:NAMED]] + more)
