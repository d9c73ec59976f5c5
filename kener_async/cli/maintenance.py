"""The commands that plan, list, move, end and cancel maintenance."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from kener_async.cli.common import aligned, message, on_database
from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.domain.durations import parse_duration
from kener_async.ops.installation import require_database


class LocalMoment(click.ParamType[Any]):
    """A date and time without an offset, or "now"."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, datetime) or value == "now":
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is not None or len(value) < len("2026-12-06 02:30"):
            self.fail('must be such as "2026-12-06 02:30", in the zone of --timezone', param, ctx)
        return moment


class Length(click.ParamType[Any]):
    """A duration such as "2h", in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        seconds = parse_duration(value) if isinstance(value, str) else value
        if not seconds:
            self.fail('must be such as "90m" or "2h"', param, ctx)
        return int(seconds)


class Zone(click.ParamType[Any]):
    """A time zone of the tz database."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ZoneInfo:
        try:
            return value if isinstance(value, ZoneInfo) else ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            self.fail(f"{value!r} is not a time zone", param, ctx)


ZONE = click.option("--timezone", type=Zone(), help="Zone of the times. Default: that of [site].")
LENGTH = click.option("--length", type=Length(), help='How long it takes, such as "2h".', required=True)
REPEAT = click.option("--repeat", default="", metavar="RRULE", help='Such as "FREQ=WEEKLY;BYDAY=SU".')
EXCEPT = click.option("--except", "excluded", multiple=True, metavar="DATE", help="A date without it.")


def begin_option(help_text: str) -> Callable[[Any], Any]:
    return click.option("--begin", type=LocalMoment(), required=True, help=help_text)


@click.group()
def maintenance() -> None:
    """Plan, move, end and cancel maintenance.

    The service may be running, and notices within seconds.
    """


@maintenance.command()
@click.argument("title")
@click.option("--monitor", "monitors", multiple=True, required=True, help="A tag; may be repeated.")
@begin_option('Such as "2026-12-06 02:30", or "now".')
@LENGTH
@ZONE
@click.option("--text", default="", help="What visitors read of it, Markdown.")
@click.option("--announce", multiple=True, type=Length(), help="How long before, such as 24h; repeatable.")
@REPEAT
@click.option("--name", default="", help="The name of the series, with --repeat.")
@EXCEPT
@on_database
def plan(config: Config, title: str, monitors: tuple[str, ...], **options: Any) -> None:
    """Plan a maintenance, once or repeating.

    With --repeat and --name it is a series, whose next occurrences are listed. A series of the same name is
    replaced.
    """
    from kener_async.ops import maintenance as ops

    require_database(config)
    zone = options["timezone"] or config.site.timezone
    if options["repeat"] or options["name"]:
        if not options["name"]:
            raise click.UsageError("--repeat needs --name, the name of the series")
        texts = {"title": title, "text": options["text"], "monitors": list(monitors)}
        body = {**texts, **_schedule(options), "announce": list(options["announce"])}
        done = ops.save_series(config, options["name"], body)
        message(f"saved the series {options['name']!r}; {len(done.made)} stored, {len(done.dropped)} dropped")
        found = ops.series_named(config, options["name"])
        _print_table(list(ops.preview_table(ops.next_of(found), found.zone)))
        return
    start = _instant(options["begin"], zone)
    fields = {
        "title": title,
        "body": options["text"],
        "tags": monitors,
        "start": start,
        "end": start + options["length"],
        "announce": options["announce"],
    }
    planned = ops.plan(config, fields)
    message(f"planned maintenance {planned.number}, {planned.title!r}")


@maintenance.command("list")
@click.option("--all", "with_over", is_flag=True, help="Also what is over.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, at most.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@on_database
def list_maintenance(config: Config, with_over: bool, limit: int, as_json: bool) -> None:
    """List maintenance by its begin.

    Of a series those are listed that are stored: the ones of the next 14 days, and at least two. Times are
    UTC.
    """
    from kener_async.ops import maintenance as ops

    require_database(config)
    now = system_clock()
    found = ops.search(config, limit, is_over=None if with_over else False)
    if as_json:
        click.echo(json.dumps([ops.as_json(each, now) for each in found], indent=2))
        return
    _print_table(list(ops.table(found, now)))


@maintenance.command()
@click.argument("number", type=click.IntRange(1))
@on_database
def end(config: Config, number: int) -> None:
    """End a maintenance that is in progress.

    From now on minutes are what was measured.
    """
    from kener_async.ops import maintenance as ops
    from kener_async.store import maintenance as store

    require_database(config)
    _, after = ops.act(config, store.end, number)
    message(f"ended maintenance {number}, {after.title!r}")


@maintenance.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--begin", type=LocalMoment(), help='Another begin, such as "2026-12-06 04:30".')
@click.option("--length", type=Length(), help="Another length.")
@ZONE
@on_database
def move(config: Config, number: int, begin: Any, length: int | None, timezone: ZoneInfo | None) -> None:
    """Move a maintenance, or change its length.

    One of a series does not follow it any more.
    """
    from kener_async.ops import maintenance as ops
    from kener_async.store import maintenance as store

    if begin is None and length is None:
        raise click.UsageError("give --begin or --length")
    require_database(config)
    start = ops.find(config, number).start
    fields: dict[str, int] = {}
    if begin is not None:
        fields["start"] = start = _instant(begin, timezone or config.site.timezone)
    if length is not None:
        fields["end"] = start + length
    work = store.change if "start" not in fields or "end" in fields else store.move_and_change
    _, after = ops.act(config, work, number, fields)
    message(f"moved maintenance {number}, {after.title!r}")
    _print_table(list(ops.table([after], system_clock())))


@maintenance.command()
@click.argument("number", type=click.IntRange(1))
@on_database
def cancel(config: Config, number: int) -> None:
    """Cancel a maintenance that has not begun.

    Visitors see that it was cancelled. One of a series is not made again.
    """
    from kener_async.ops import maintenance as ops
    from kener_async.store import maintenance as store

    require_database(config)
    _, after = ops.act(config, store.cancel, number)
    message(f"cancelled maintenance {number}, {after.title!r}")


@maintenance.command()
@click.argument("name", required=False)
@click.option("--begin", type=LocalMoment(), help='Such as "2026-12-06 02:30".')
@click.option("--length", type=Length(), default="1h", help="How long it takes.", show_default=True)
@ZONE
@REPEAT
@EXCEPT
@on_database
def preview(config: Config, name: str | None, **options: Any) -> None:
    """List the next ten occurrences of a series.

    NAME is a series that there is; or give the options of one that there is not, nothing is stored. What
    the clocks do to an occurrence is said beside it.
    """
    from kener_async.ops import maintenance as ops

    if (name is None) == (options["begin"] is None):
        raise click.UsageError("give the name of a series, or --begin and --repeat")
    if name is not None:
        require_database(config)
        found = ops.series_named(config, name)
    else:
        anything = {"title": "preview", "monitors": ["*"]}
        found = ops.preview(config, {**anything, **_schedule(options)})
    _print_table(list(ops.preview_table(ops.next_of(found), found.zone)))


@maintenance.command("delete-series")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@on_database
def delete_series(config: Config, name: str, yes: bool) -> None:
    """Delete a series and what is to come of it.

    What has begun, and what was cancelled, stays.
    """
    from kener_async.ops import maintenance as ops

    require_database(config)
    if not yes:
        click.confirm(f"Delete the series {name!r} and its maintenance to come?", abort=True, err=True)
    done = ops.delete_series(config, name)
    message(f"deleted the series {name!r}; {len(done.dropped)} to come were dropped")


def _schedule(options: dict[str, Any]) -> dict[str, Any]:
    """The keys of [[maintenance]] that say when."""
    begin = options["begin"]
    if begin == "now":
        raise click.UsageError('--begin of a series must be such as "2026-12-06 02:30"')
    zone = options["timezone"]
    return {
        "begin": begin.isoformat(timespec="seconds"),
        "length": options["length"],
        "rrule": options["repeat"],
        "except": list(options["excluded"]),
        **({} if zone is None else {"timezone": zone.key}),
    }


def _instant(begin: Any, zone: ZoneInfo) -> int:
    from kener_async.ops import maintenance as ops

    return system_clock() if begin == "now" else ops.instant(begin, zone)


def _print_table(rows: list[tuple[str, ...]]) -> None:
    for line in aligned(rows):
        click.echo(line)


COMMANDS = (maintenance,)
