"""The commands that open, update, resolve, list, publish, merge and delete incidents."""

import json
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import click

from kener_async.cli.common import aligned, message, on_database
from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.domain.durations import LONGEST, parse_duration
from kener_async.domain.incident_updates import Impact, IncidentState
from kener_async.domain.samples import Status
from kener_async.ops.installation import require_database

STATES = {state.name.lower(): state for state in IncidentState}
IMPACTS = {"DOWN": Status.DOWN, "DEGRADED": Status.DEGRADED, "none": None}
OWN_IMPACTS: Mapping[str, Impact | None] = {
    **{impact.name: impact for impact in Impact},
    "INCIDENT": None,
}
TITLE_LENGTH = 500  # as the API has it


class MomentOption(click.ParamType[int]):
    """An instant: ISO 8601 with an offset, or how long ago, such as 10m. UTC seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        seconds = parse_duration(value)
        if seconds is not None and seconds <= LONGEST:
            return system_clock() - seconds
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail(f"{value} is neither how long ago, such as 10m, nor 2025-12-31T12:00Z", param, ctx)
        return int(moment.timestamp())


def _own_impacts(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, Impact | None]:
    impacts = {}
    for value in values:
        tag, _, name = value.partition("=")
        if name.upper() not in OWN_IMPACTS:
            raise click.BadParameter(f"{value}: must be TAG=DOWN, =DEGRADED, =NONE or =INCIDENT")
        impacts[tag] = OWN_IMPACTS[name.upper()]
    return impacts


state_option = click.option("--state", type=click.Choice(list(STATES)), help="The state from then on.")
json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
impacts_option = click.option(
    "--impact-on",
    "impacts",
    multiple=True,
    metavar="TAG=IMPACT",
    callback=_own_impacts,
    help="The impact on one monitor: DOWN, DEGRADED, NONE (what was measured) or INCIDENT (as the others).",
)


@click.group()
def incident() -> None:
    """Open, update, resolve, delete incidents.

    The service may be running; it follows within seconds.
    """


@incident.command("open")
@click.argument("title")
@click.option("--monitor", "tags", multiple=True, required=True, help="Its tag; may be repeated.")
@click.option("--text", default="", help="What happened, in Markdown; - reads standard input.")
@click.option(
    "--impact",
    type=click.Choice(list(IMPACTS)),
    default="DOWN",
    show_default=True,
    help="The status of its monitors while it lasts.",
)
@impacts_option
@state_option
@click.option("--since", type=MomentOption(), help="When it began: 10m ago, or ISO 8601 with an offset.")
@click.option("--draft", is_flag=True, help="Do not show it to visitors before it is published.")
@json_option
@on_database
def open_incident(
    config: Config,
    title: str,
    tags: tuple[str, ...],
    text: str,
    impact: str,
    impacts: dict[str, Impact | None],
    state: str | None,
    since: int | None,
    draft: bool,
    as_json: bool,
) -> None:
    """Open an incident.

    It is on the page, in the feeds and in the figures within seconds.
    """
    from kener_async.ops import incidents

    if not 0 < len(title.strip()) <= TITLE_LENGTH:
        raise click.BadParameter(f"must be 1 to {TITLE_LENGTH} characters", param_hint="TITLE")
    require_database(config)
    fields: dict[str, Any] = {
        "title": title,
        "body": _text(text),
        "tags": tuple(dict.fromkeys(tags)),
        "impact": IMPACTS[impact],
        "impacts": {tag: one for tag, one in impacts.items() if one is not None},
        "is_draft": draft,
    }
    fields |= {} if since is None else {"start": since}
    fields |= {} if state is None else {"state": STATES[state]}
    opened = incidents.open_incident(config, fields)
    if as_json:
        click.echo(json.dumps(incidents.as_json(opened, system_clock()), indent=2))
        return
    message(f"{'drafted' if draft else 'opened'} incident {opened.number}, {opened.title!r}")


def _posting(command: Callable[..., Any]) -> Callable[..., Any]:
    at = click.option(
        "--at", type=MomentOption(), help="The time it stands at, if not now: as --since of open."
    )
    for option in (json_option, at, impacts_option):
        command = option(command)
    return command


@incident.command()
@click.argument("number", type=click.IntRange(1))
@click.argument("text", default="")
@state_option
@_posting
@on_database
def comment(config: Config, number: int, text: str, state: str | None, **options: Any) -> None:
    """Post an update.

    It has a TEXT in Markdown (- reads standard input), a state, or impacts.
    """
    _post(config, number, text, None if state is None else STATES[state], **options)


@incident.command()
@click.argument("number", type=click.IntRange(1))
@click.argument("text", default="")
@_posting
@on_database
def resolve(config: Config, number: int, text: str, **options: Any) -> None:
    """Resolve an incident.

    TEXT is what is said about it, in Markdown; - reads standard input. Without an end of its own the incident
    ends now, or with --at then.
    """
    _post(config, number, text, IncidentState.RESOLVED, **options)


def _post(
    config: Config,
    number: int,
    text: str,
    state: IncidentState | None,
    impacts: dict[str, Impact | None],
    at: int | None,
    as_json: bool,
) -> None:
    from kener_async.ops import incidents

    require_database(config)
    fields: dict[str, Any] = {"body": _text(text), "impacts": impacts}
    fields |= {} if state is None else {"state": state}
    fields |= {} if at is None else {"at": at}
    after, posted = incidents.comment(config, number, fields)
    if as_json:
        click.echo(json.dumps(incidents.as_json(after, system_clock()) | {"updateId": posted.id}, indent=2))
        return
    done = "resolved" if state is IncidentState.RESOLVED else "updated"
    message(f"{done} incident {number}, {after.title!r}")


def _text(text: str) -> str:
    return (sys.stdin.read() if text == "-" else text).strip()


@incident.command()
@click.argument("number", type=click.IntRange(1))
@json_option
@on_database
def show(config: Config, number: int, as_json: bool) -> None:
    """Show an incident with its updates.

    The oldest update first; times are UTC.
    """
    from kener_async.ops import incidents

    require_database(config)
    (found, updates), now = incidents.thread(config, number), system_clock()
    if as_json:
        click.echo(json.dumps(incidents.thread_as_json(found, updates, now), indent=2))
        return
    for line in (*aligned(list(incidents.table([found], now))), *incidents.story(found, updates)):
        click.echo(line)


@incident.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, at most.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@on_database
def list_incidents(config: Config, limit: int, as_json: bool) -> None:
    """List incidents, newest first.

    Open and closed ones, drafts, and maintenance. Times are UTC.
    """
    from kener_async.ops import incidents

    require_database(config)
    found, now = incidents.newest(config, limit), system_clock()
    if as_json:
        click.echo(json.dumps([incidents.as_json(each, now) for each in found], indent=2))
        return
    for line in aligned(list(incidents.table(found, now))):
        click.echo(line)


@incident.command()
@click.argument("number", type=click.IntRange(1))
@on_database
def publish(config: Config, number: int) -> None:
    """Make a draft public.

    It appears on page, feeds and calendar. The alert rule that made it no longer resolves it: you do.
    """
    from kener_async.ops import incidents

    require_database(config)
    found = incidents.get(config, number)
    if not found.is_draft:
        message(f"incident {number}, {found.title!r}, is public already")
        return
    incidents.publish(config, number)
    message(f"published incident {number}, {found.title!r}")


@incident.command()
@click.argument("number", type=click.IntRange(1))
@on_database
def unpublish(config: Config, number: int) -> None:
    """Make a draft of an incident.

    It disappears from page, feeds and calendar, and the minutes that it covered count as they were measured,
    until it is published again.
    """
    from kener_async.ops import incidents

    require_database(config)
    if incidents.get(config, number).is_draft:
        message(f"incident {number} is a draft already")
        return
    draft = incidents.unpublish(config, number)
    message(f"made a draft of incident {number}, {draft.title!r}")


@incident.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--into", "target", type=click.IntRange(1), required=True, help="The number of the other one.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@on_database
def merge(config: Config, number: int, target: int, yes: bool) -> None:
    """Merge an incident into another one.

    Its monitors and updates join the other one, which keeps its texts, times and state. It is deleted itself;
    the audit log keeps it.
    """
    from kener_async.ops import incidents

    require_database(config)
    found, other = incidents.get(config, number), incidents.get(config, target)
    if not yes:
        question = f"Merge incident {number}, {found.title!r}, into {target}, {other.title!r}, for good?"
        click.confirm(question, abort=True, err=True)
    incidents.merge(config, found, other)
    message(f"merged incident {number}, {found.title!r}, into {target}, {other.title!r}")


@incident.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@on_database
def delete(config: Config, number: int, yes: bool) -> None:
    """Delete an incident and its updates.

    It disappears from page, feeds and calendar, and the minutes that it covered count as they were measured.
    To end an incident, resolve it instead.
    """
    from kener_async.ops import incidents

    require_database(config)
    found = incidents.get(config, number)
    if not yes:
        click.confirm(f"Delete incident {number}, {found.title!r}, for good?", abort=True, err=True)
    deleted = incidents.delete(config, number)
    message(f"deleted incident {number}, {deleted.title!r}")


COMMANDS = (incident,)
