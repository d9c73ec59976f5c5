"""The series of maintenance in force: those of config.toml, and those made in the browser or by the API."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from kener_async.config.beside_file import InForce, in_force_with
from kener_async.config.json_tables import Body, invalid
from kener_async.config.maintenance import MaintenanceTable, pattern_problems, rule_problems, rule_text
from kener_async.config.model import Config, matches
from kener_async.config.schema import built, fields_by_key, schema_of
from kener_async.domain.errors import Invalid
from kener_async.domain.recurrence import parse_rule
from kener_async.domain.series import MaintenanceSeries

SCHEMA = schema_of(MaintenanceTable)()


def series_in_force(config: Config, stored: Iterable[tuple[str, Body]]) -> InForce[MaintenanceSeries]:
    """The series of a configuration together with the stored ones, each a name and its keys."""
    of_file = {table.name: series_of(config, table) for table in config.maintenance}
    return in_force_with(of_file, stored, lambda name, body: series_of(config, table_of(config, name, body)))


def series_of(config: Config, table: MaintenanceTable) -> MaintenanceSeries:
    """The series of a table, with the tags of the monitors that it means."""
    return MaintenanceSeries(
        name=table.name,
        title=table.title,
        text=table.text,
        tags=tags_of(config, table),
        begin=table.begin,
        zone=table.timezone or config.site.timezone,
        length=table.length,
        rule=parse_rule(rule_text(table)),
        rule_text=table.rrule,
        excluded=frozenset(table.excluded),
        announce=table.announce,
    )


def tags_of(config: Config, table: MaintenanceTable) -> tuple[str, ...]:
    """The monitors that a table means, in the order of the file; groups with their members if it says so."""
    meant = {
        monitor.tag
        for monitor in config.monitors
        if any(matches(pattern, monitor) for pattern in table.monitors)
    }
    if table.members:
        meant |= _members_of(config, meant)
    return tuple(monitor.tag for monitor in config.monitors if monitor.tag in meant)


def _members_of(config: Config, tags: Iterable[str]) -> set[str]:
    """The members of groups, and theirs."""
    found: set[str] = set()
    left = [*tags]
    while left:
        monitor = config.by_tag.get(left.pop())
        group = None if monitor is None else monitor.settings.group
        new = set(group.members if group else ()) - found
        found |= new
        left.extend(new)
    return found


def table_of(config: Config, name: str, body: Body) -> MaintenanceTable:
    """The table of JSON with its keys; raises Invalid, which names the key.

    A name in the body must be that of the series. A monitor that there is not is no fault: that part is idle.
    """
    if body.get("name", name) != name:
        raise Invalid("Invalid name: must be that of the address")
    try:
        values = SCHEMA.load({**body, "name": name})
    except ValidationError as error:
        raise invalid(error) from None
    for text in rule_problems(values, config.site.timezone):
        raise Invalid(f"Invalid rrule: {text}")
    return built(MaintenanceTable, values, Path())


def checked_table(config: Config, name: str, body: Body, known: Sequence[str]) -> MaintenanceTable:
    """The table of JSON that is to be stored; raises Invalid, also for monitors that there are not.

    `known` are patterns that may stay: what they named is gone.
    """
    table = table_of(config, name, body)
    unknown = unknown_monitors(config, [each for each in table.monitors if each not in known])
    if unknown:
        raise Invalid(f"Invalid monitors: {'; '.join(unknown)}")
    return table


def unknown_monitors(config: Config, patterns: Sequence[str]) -> list[str]:
    """What is wrong with patterns that name a monitor or a category that there is not."""
    tags = [monitor.tag for monitor in config.monitors]
    categories = [category.name for category in config.categories]
    return [text for pattern in patterns for text in pattern_problems(pattern, tags, categories)]


def body_of(table: MaintenanceTable) -> dict[str, Any]:
    """The JSON of a table: its keys that are not at their defaults."""
    body: dict[str, Any] = {}
    for key, declared in fields_by_key(SCHEMA).items():
        value = getattr(table, declared.name or key)
        if declared.required or value != declared.load_default:
            body[key] = _json(value)
    return body


def _json(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat(timespec="seconds")
        case date():
            return value.isoformat()
        case tuple():
            return [_json(each) for each in value]
        case str() | int() | bool():
            return value
    return value.key  # of a time zone
