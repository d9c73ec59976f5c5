"""Texts that an incident or an update begins with: those of templates, and some of our own without any.

They are for visitors, so they are in the language of the site, and not in that of the person who writes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kener_async.config.model import Config
from kener_async.domain.automatic_incidents import Affected, filled
from kener_async.domain.durations import format_duration
from kener_async.domain.incident_updates import IncidentState
from kener_async.domain.incidents import Incident
from kener_async.domain.samples import Status
from kener_async.locales.locale import locale
from kener_async.web.manage.attention import BadMonitor

STATES = {
    "investigating": IncidentState.INVESTIGATING,
    "identified": IncidentState.IDENTIFIED,
    "monitoring": IncidentState.MONITORING,
    "resolved": IncidentState.RESOLVED,
}
IMPACTS: Mapping[str, Status | None] = {"DOWN": Status.DOWN, "DEGRADED": Status.DEGRADED, "": None}
OTHER = "-"  # the name of no template: something else


@dataclass(frozen=True, slots=True)
class Beginning:
    """What an incident can begin with: a title and a text, as they would be now, with state and impact.

    `name` is that of its template, OTHER for nothing prefilled. `impact` None: that of the monitors.
    """

    name: str
    title: str
    text: str
    state: str = "investigating"
    impact: str | None = None


def beginnings(config: Config, bad: Sequence[BadMonitor], now: int) -> list[Beginning]:
    """What an incident about these monitors can begin with: each template, then something else."""
    return [*_of_templates(config, bad, now), Beginning(OTHER, "", "")]


def _of_templates(config: Config, bad: Sequence[BadMonitor], now: int) -> Iterator[Beginning]:
    site = config.site
    names = [one.monitor.name for one in bad if not one.because] or [one.monitor.name for one in bad]
    since = min((one.since for one in bad if one.since is not None), default=now)
    first = bad[0] if bad else None
    affected = Affected(
        tag=first.monitor.tag if first else "",
        name=first.monitor.name if first else "",
        category=first.monitor.category if first else "",
        words=first.status.name if first else "",
    )
    for name, title, text, state, impact in _templates(config):
        if not bad and "{" in title + text:
            continue
        texts = [filled(each, affected, names, since, now, site.timezone) for each in (title, text)]
        yield Beginning(name, texts[0], texts[1], state, impact)


def _templates(config: Config) -> Iterator[tuple[str, str, str, str, str | None]]:
    """Name, title, text, state and impact of each template; our own where none is configured."""
    for template in config.templates:
        yield template.name, template.title, template.text, "investigating", None
    if config.templates:
        return
    _ = locale(config.site.locale).gettext
    yield (
        "down",
        _("{monitors} not working"),
        _("We know of the problem since {since} and are looking for the cause."),
        "investigating",
        None,
    )
    yield (
        "degraded",
        _("Some requests to {monitors} fail"),
        _("We know of the problem since {since} and are looking for the cause."),
        "investigating",
        "DEGRADED",
    )


def update_text(config: Config, incident: Incident, state: str, now: int) -> str:
    """What an update that gives an incident this state begins with."""
    _ = locale(config.site.locale).gettext
    texts = {
        "investigating": _("We are still looking for the cause."),
        "identified": _("The cause is known, and we are working on it."),
        "monitoring": _("It works again, and we keep watching it."),
        "resolved": _("This is resolved. It lasted {for}."),
    }
    lasted = format_duration(max(0, (incident.end or now) - incident.start))
    return texts.get(state, "").replace("{for}", lasted)
