"""Texts that an incident or an update begins with: those of templates, and some of our own without any.

They are for visitors, so they are in the language of the site, and not in that of the person who writes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kener_async.config.model import Config
from kener_async.domain.incident_updates import IncidentState
from kener_async.domain.incidents import Incident
from kener_async.domain.samples import Status
from kener_async.domain.templates import Circumstances, TextTemplate, filled
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

    `name` is that of its template, OTHER for nothing prefilled. `impact` None: that of the monitors;
    `monitors` are the tags that it suggests.
    """

    name: str
    title: str
    text: str
    state: str = "investigating"
    impact: str | None = None
    monitors: tuple[str, ...] = ()


def beginnings(
    config: Config, templates: Collection[TextTemplate], bad: Sequence[BadMonitor], now: int
) -> list[Beginning]:
    """What an incident about these monitors can begin with: each template in force, then something else."""
    return [
        *_of_templates(config, templates or _own_templates(config), bad, now),
        Beginning(OTHER, "", ""),
    ]


def _of_templates(
    config: Config, templates: Iterable[TextTemplate], bad: Sequence[BadMonitor], now: int
) -> Iterator[Beginning]:
    worst = [one for one in bad if one.status is bad[0].status]  # the others are named by their impact
    causes = [one for one in worst if not one.because] or worst
    since = min((one.since for one in worst if one.since is not None), default=now)
    status = bad[0].status.name if bad else ""
    names = [one.monitor.name for one in causes]
    about = Circumstances(names, status, since, now, config.site.timezone)
    for one in templates:
        if not bad and "{" in one.title + one.text:
            continue
        yield Beginning(
            one.name,
            filled(one.title, about),
            filled(one.text, about),
            (one.state or IncidentState.INVESTIGATING).name.lower(),
            one.impact.name if one.impact else None,
            one.monitors,
        )


def _own_templates(config: Config) -> Iterator[TextTemplate]:
    """Our own, where none is configured."""
    _ = locale(config.site.locale).gettext
    text = _("We know of the problem since {since} and are looking for the cause.")
    yield TextTemplate("down", _("{monitors} not working"), text)
    yield TextTemplate("degraded", _("Some requests to {monitors} fail"), text, impact=Status.DEGRADED)


def update_text(config: Config, incident: Incident, state: str, now: int) -> str:
    """What an update that gives an incident this state begins with."""
    language = locale(config.site.locale)
    _ = language.gettext
    texts = {
        "investigating": _("We are still looking for the cause."),
        "identified": _("The cause is known, and we are working on it."),
        "monitoring": _("It works again, and we keep watching it."),
        "resolved": _("This is resolved. It lasted {for}."),
    }
    lasted = language.duration(max(0, (incident.end or now) - incident.start))
    return texts.get(state, "").replace("{for}", lasted)
