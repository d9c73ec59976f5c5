"""Rules between the settings of alerts, channels, templates and mail, as those in `config.rules`."""

import json
import re
import ssl
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kener_async.config.alert_fields import CATEGORY
from kener_async.config.channels import CHANNELS, PagerChannel
from kener_async.config.checks import KINDS
from kener_async.config.fields import describe, suggestion
from kener_async.config.problems import ConfigProblem, Place, Values, duplicates, in_circles, table_at, within
from kener_async.domain.calendar import MINUTE
from kener_async.domain.placeholders import PLACEHOLDERS, unknown_placeholders

CONDITIONS = ("when", "latency_above", "uptime_below", "burn_rate", "certificate_within")
WINDOWS = {"uptime_below": ("24h", "7d", "30d", "90d"), "burn_rate": ("1h", "6h", "24h", "3d")}
FIGURES = (
    *WINDOWS,
    "certificate_within",
)  # conditions that are no status of minutes, so that nothing is there to be counted

STATE_KEEPERS = [name for name, kind in CHANNELS.items() if issubclass(kind, PagerChannel)]

# What can be mentioned, by the kind of channel.
MENTIONS = {
    "slack": r"[@!]?(here|channel|everyone|[UWS][A-Z0-9]+)",
    "discord": r"here|everyone|(user|role):\d+",
}


def alert_problems(
    values: Values, written: Mapping[str, object], folder: Path | None
) -> Iterator[ConfigProblem]:
    """What is wrong between them; `folder` None: files are not looked at."""
    yield from _channel_rules(values, folder)
    yield from within(("mail",), _mail_rules(values.get("mail", {})))
    yield from duplicates(values, "templates", "name")
    yield from _names_a_channel(values, ("notifications", "last_resort"))
    yield from _parent_rules(values)
    yield from _own_alert_rules(values)
    yield from duplicates(values, "alerts", "name")
    for index, alert in enumerate(values.get("alerts", ())):
        place = ("alerts", index)
        table = table_at(written, *place)
        yield from within(place, _condition_rules(alert, table))
        yield from within(place, _threshold_rules(alert, table))
        yield from within(place, _incident_rules(alert, values))
        yield from within(place, _receiver_rules(alert, values))
        yield from within(place, _monitor_rules(alert, values))
        yield from within(place, _objective_rules(alert, values))
        yield from within(place, _certificate_rules(alert, values))


def _names_in(values: Values, tables: str, key: str = "name") -> Collection[str] | None:
    """The names of an array of tables; None where one is invalid itself, and may be the one meant."""
    names = dict.fromkeys(table.get(key) for table in values.get(tables, ()))
    return None if None in names else names


def _unknown(name: str, names: Collection[str] | None, what: str) -> Iterator[str]:
    """The text of the problem of a name that must be one of the names."""
    if names is not None and name not in names:
        yield f"{describe(name)} is not {what}{suggestion(name, names)}"


def _repeated(texts: Iterable[str]) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for index, text in enumerate(texts):
        if text in seen:
            yield index, f"{describe(text)} is used twice"
        seen.add(text)


# Channels and mail


def _channel_rules(values: Values, folder: Path | None) -> Iterator[ConfigProblem]:
    yield from duplicates(values, "channels", "name")
    mail = values.get("mail", {})
    for index, channel in enumerate(values.get("channels", ())):
        place: Place = ("channels", index)
        if channel.get("kind") == "mail" and mail.get("host") == "":
            yield ConfigProblem((*place, "kind"), "mail needs host in [mail]")
        if ca_file := channel.get("ca_file"):
            yield from within((*place, "ca_file"), _authority_rules(channel, ca_file, folder))
        yield from within(place, _own_text_rules(channel))
        if channel.get("kind") in STATE_KEEPERS and "maintenance" in channel.get("tell", ()):
            text = f"maintenance is not for {channel['kind']}, which keeps what it is told open"
            yield ConfigProblem((*place, "tell"), text)


def _own_text_rules(channel: Values) -> Iterator[ConfigProblem]:
    """The placeholders of a body, and the forms of mentions that a kind knows."""
    if channel.get("kind") == "webhook" and (body := channel.get("body")):
        for name in unknown_placeholders(json.loads(body)):
            nearest = suggestion(name, PLACEHOLDERS)
            yield ConfigProblem(("body",), f"{{{name}}} stands for nothing{nearest}; a brace is written {{{{")
    form = MENTIONS.get(channel.get("kind", ""))
    if form and (mention := channel.get("mention")) and not re.fullmatch(form, mention):
        yield ConfigProblem(("mention",), f"{describe(mention)} mentions nobody (docs/alerts.md)")


def _authority_rules(channel: Values, ca_file: Path, folder: Path | None) -> Iterator[ConfigProblem]:
    if channel.get("verify") is False:
        yield ConfigProblem((), "is not used with verify = false")
    elif folder is not None:
        name = describe(str(ca_file))
        try:
            ssl.create_default_context(cafile=folder / ca_file)
        except ssl.SSLError:
            yield ConfigProblem((), f"{name} holds no certificates (PEM)")
        except OSError as error:
            yield ConfigProblem((), f"{name} cannot be read: {error.strerror}")


def _mail_rules(mail: Values) -> Iterator[ConfigProblem]:
    match mail:
        case {"host": host, "sender": ""} if host:
            yield ConfigProblem(("from",), "is missing, host needs it")
    match mail:
        case {"user": "", "password": password} if password:
            yield ConfigProblem(("password",), "needs user")
        case {"user": user, "password": ""} if user:
            yield ConfigProblem(("user",), "needs password")


def _names_a_channel(values: Values, place: tuple[str, str]) -> Iterator[ConfigProblem]:
    section, key = place
    if name := values.get(section, {}).get(key):
        names = _names_in(values, "channels")
        yield from (ConfigProblem(place, text) for text in _unknown(name, names, "a channel"))


# Monitors


def _parent_rules(values: Values) -> Iterator[ConfigProblem]:
    """What a monitor depends on exists, and not in a circle."""
    monitors = values.get("monitors", ())
    tags = _names_in(values, "monitors", "tag")
    parents = {monitor.get("tag"): monitor.get("depends_on", ()) for monitor in monitors}
    entangled = in_circles(parents)
    for index, monitor in enumerate(monitors):
        place: Place = ("monitors", index, "depends_on")
        for at, text in _repeated(monitor.get("depends_on", ())):
            yield ConfigProblem((*place, at), text)
        for at, tag in enumerate(monitor.get("depends_on", ())):
            yield from (ConfigProblem((*place, at), text) for text in _unknown(tag, tags, "a monitor"))
        circle = _circle(monitor.get("tag"), parents) if monitor.get("tag") in entangled else []
        if circle and monitor.get("tag") == min(circle):  # each circle once
            yield ConfigProblem(place, f"is a circle: {' needs '.join([*circle, circle[0]])}")


def _circle(tag: str | None, parents: Mapping[str | None, Sequence[str]]) -> list[str]:
    """The shortest way from a monitor over what it depends on back to it; empty: there is none."""
    if tag is None:
        return []
    came_from: dict[str, str] = {}
    ends = [tag]
    for end in ends:
        for parent in parents.get(end, ()):
            if parent == tag:
                way = [end]
                while way[-1] != tag:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if parent not in came_from:
                came_from[parent] = end
                ends.append(parent)
    return []


def _own_alert_rules(values: Values) -> Iterator[ConfigProblem]:
    names = _names_in(values, "alerts")
    burning = {alert.get("name") for alert in values.get("alerts", ()) if alert.get("burn_rate") is not None}
    for index, monitor in enumerate(values.get("monitors", ())):
        place: Place = ("monitors", index, "alerts")
        own = monitor.get("alerts") or ()
        for at, text in _repeated(own):
            yield ConfigProblem((*place, at), text)
        for at, name in enumerate(own):
            yield from (ConfigProblem((*place, at), text) for text in _unknown(name, names, "an alert rule"))
            if name in burning and monitor.get("objective", ()) is None:
                text = f"{describe(name)} has a burn_rate, which needs an objective"
                yield ConfigProblem((*place, at), text)


# Alerts


def _condition_rules(alert: Values, written: Mapping[str, object]) -> Iterator[ConfigProblem]:
    conditions = [key for key in CONDITIONS if key in written]
    for key in conditions[1:]:
        yield ConfigProblem((key,), f"contradicts {conditions[0]}, set one of them")
    condition = conditions[0] if conditions else "when"
    windows = WINDOWS.get(condition)
    window = alert.get("window")
    if window is not None and windows is None:
        yield ConfigProblem(("window",), f"needs {' or '.join(WINDOWS)}")
    elif window is not None and window not in (windows or ()):
        choices = ", ".join(windows or ())
        yield ConfigProblem(("window",), f"must be one of {choices} with {condition}, not {describe(window)}")
    percent, recover_at = alert.get("uptime_below"), alert.get("recover_at")
    if "recover_at" in written and "uptime_below" not in written:
        yield ConfigProblem(("recover_at",), "needs uptime_below")
    elif percent is not None and recover_at is not None and recover_at < percent:
        text = f"must be at least uptime_below, {percent:g}, not {recover_at:g}"
        yield ConfigProblem(("recover_at",), text)


def _threshold_rules(alert: Values, written: Mapping[str, object]) -> Iterator[ConfigProblem]:
    for figure in FIGURES:
        for key in ("count", "recover_count"):
            if figure in written and key in written:
                yield ConfigProblem((key,), f"is not used with {figure}, which counts no reports")
    remind_every = alert.get("remind_every")
    if remind_every is not None and 0 < remind_every < MINUTE:
        yield ConfigProblem(("remind_every",), f"must be 0 or at least {MINUTE} s, not {remind_every} s")


def _incident_rules(alert: Values, values: Values) -> Iterator[ConfigProblem]:
    template = alert.get("template")
    if template and alert.get("incident") == "":
        yield ConfigProblem(("template",), "needs incident")
    elif template:
        names = _names_in(values, "templates")
        yield from (ConfigProblem(("template",), text) for text in _unknown(template, names, "a template"))


def _receiver_rules(alert: Values, values: Values) -> Iterator[ConfigProblem]:
    names = _names_in(values, "channels")
    receivers = alert.get("to", ())
    for index, text in _repeated(receivers):
        yield ConfigProblem(("to", index), text)
    for index, name in enumerate(receivers):
        yield from (ConfigProblem(("to", index), text) for text in _unknown(name, names, "a channel"))


def _monitor_rules(alert: Values, values: Values) -> Iterator[ConfigProblem]:
    """A pattern without * and ? names a monitor or a category that exists."""
    tags, categories = _names_in(values, "monitors", "tag"), _names_in(values, "categories")
    for index, pattern in enumerate(alert.get("monitors", ())):
        if pattern.startswith(CATEGORY):
            problems = _unknown(pattern.removeprefix(CATEGORY), categories, "a category")
        elif "*" in pattern or "?" in pattern:
            continue
        else:
            problems = _unknown(pattern, tags, "a monitor")
        yield from (ConfigProblem(("monitors", index), text) for text in problems)


def _objective_rules(alert: Values, values: Values) -> Iterator[ConfigProblem]:
    """A monitor that a rule with a burn rate names has an objective; others that match may have none."""
    if alert.get("burn_rate") is None:
        return
    without = {each.get("tag") for each in values.get("monitors", ()) if each.get("objective", ()) is None}
    for index, pattern in enumerate(alert.get("monitors", ())):
        if pattern in without:
            yield ConfigProblem(("monitors", index), f"{describe(pattern)} has no objective")


def _certificate_rules(alert: Values, values: Values) -> Iterator[ConfigProblem]:
    """A monitor that a rule about certificates names can see one; others that match may see none."""
    if alert.get("certificate_within") is None:
        return
    blind = {each.get("tag") for each in values.get("monitors", ()) if not _may_see_certificates(each)}
    for index, pattern in enumerate(alert.get("monitors", ())):
        if pattern in blind:
            text = f"{describe(pattern)} has no check that sees a certificate"
            yield ConfigProblem(("monitors", index), text)


def _may_see_certificates(monitor: Values) -> bool:
    check = monitor.get("check", {})  # left out where it is invalid itself
    if not isinstance(check, Mapping):
        return False
    return not check or any(
        "certificate" in KINDS[kind].values for kind in KINDS if check.get(kind) is not None
    )
