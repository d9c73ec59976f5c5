"""The templates in force: those of config.toml, and those made in the browser or by the API."""

from collections.abc import Iterable

from kener_async.config.beside_file import InForce, in_force_with
from kener_async.config.json_tables import Body, require_lengths, require_name, table_of
from kener_async.config.model import Config, TemplateConfig, matches
from kener_async.domain.errors import Invalid
from kener_async.domain.incident_updates import IncidentState
from kener_async.domain.samples import Status
from kener_async.domain.templates import TextTemplate

KEYS = ("title", "text", "state", "impact", "monitors")


def templates_in_force(config: Config, stored: Iterable[tuple[str, Body]]) -> InForce[TextTemplate]:
    """The templates of a configuration together with the stored ones, each a name and its keys."""
    of_file = {table.name: template_of(config, table) for table in config.templates}
    return in_force_with(of_file, stored, lambda name, body: template_of(config, template_table(name, body)))


def template_of(config: Config, table: TemplateConfig) -> TextTemplate:
    """The template of a table, with the tags of the monitors that it means."""
    tags = [
        monitor.tag
        for monitor in config.monitors
        if any(matches(pattern, monitor) for pattern in table.monitors)
    ]
    return TextTemplate(
        name=table.name,
        title=table.title,
        text=table.text,
        state=IncidentState[table.state.upper()] if table.state else None,
        impact=Status[table.impact] if table.impact else None,
        monitors=tuple(tags),
    )


def template_table(name: str, body: Body) -> TemplateConfig:
    """The table of JSON with its keys; raises Invalid, which names the key.

    A name in the body must be that of the template. A monitor that there is not is no fault.
    """
    require_name(name)
    if body.get("name", name) != name:
        raise Invalid("Invalid name: must be that of the address")
    require_lengths(body)
    return table_of(TemplateConfig, {**body, "name": name})


def template_body(table: TemplateConfig) -> dict[str, object]:
    """The JSON of a table: its keys, without those that are empty."""
    values = {key: getattr(table, key) for key in KEYS}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value}
