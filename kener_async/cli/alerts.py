"""The commands that list, acknowledge and snooze alerts, and back-test rules."""

import json
from socket import gethostname

import click

from kener_async.cli.common import aligned, message, on_database
from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.domain.alert_documents import alert_document
from kener_async.domain.back_test_results import DEFAULT_DAYS, MAX_DAYS
from kener_async.domain.durations import LONGEST, format_duration, parse_duration
from kener_async.ops.installation import require_database

by_option = click.option("--by", help="The person who does it. Default: the user at this terminal.")


@click.group()
def alert() -> None:
    """List, acknowledge, snooze, back-test alerts.

    The service may be running.
    """


@alert.command("list")
@click.option("--all", "with_closed", is_flag=True, help="Closed ones, too.")
@click.option("--monitor", "tag", help="Only those of the monitor of this tag.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many, at most.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@on_database
def list_alerts(config: Config, with_closed: bool, tag: str | None, limit: int, as_json: bool) -> None:
    """List open alerts, newest first.

    A quiet one was told to nobody: a monitor that it depends on was bad, or it was acknowledged before. Times
    are UTC.
    """
    from kener_async.ops import alerts

    require_database(config)
    found = alerts.find(config, is_open=None if with_closed else True, tag=tag, limit=limit)
    now = system_clock()
    if as_json:
        documents = [alert_document(each, found.tags, now) for each in found.alerts]
        click.echo(json.dumps(documents, indent=2))
        return
    for line in aligned(list(alerts.table(found, now))):
        click.echo(line)


@alert.command()
@click.argument("id_or_tag")
@by_option
@on_database
def ack(config: Config, id_or_tag: str, by: str | None) -> None:
    """Acknowledge the open alerts of a monitor.

    Nobody is reminded of them any more, and what opens later in the same streak is not told. Channels that
    are told of it hear by whom.
    """
    _perform(config, id_or_tag, by, None)


@alert.command()
@click.argument("id_or_tag")
@click.option("--for", "duration", default="1h", show_default=True, help="How long, such as 30m or 8h.")
@by_option
@on_database
def snooze(config: Config, id_or_tag: str, duration: str, by: str | None) -> None:
    """Keep the open alerts of a monitor quiet.

    After that time reminders go on. It replaces an acknowledgement.
    """
    seconds = parse_duration(duration)
    if seconds is None or not 0 < seconds <= LONGEST:
        raise click.UsageError(f"--for: {duration} is no duration such as 30m or 8h")
    _perform(config, id_or_tag, by, seconds)


@alert.command("back-test")
@click.argument("rule")
@click.option(
    "--days", type=click.IntRange(1, MAX_DAYS), default=DEFAULT_DAYS, show_default=True, help="Up to now."
)
@click.option("--monitor", "tags", multiple=True, help="Only the monitor of this tag; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
@on_database
def back_test(config: Config, rule: str, days: int, tags: tuple[str, ...], as_json: bool) -> None:
    """Show what a rule would have told.

    The rule as the configuration has it now, over the stored minutes of the last days, beside the alerts that
    it had then. Reports are taken as if none had come late; acknowledgements and snoozes are left out. Times
    are UTC.
    """
    from kener_async.ops import back_tests

    require_database(config)
    tested = back_tests.run(config, rule, tags, days, system_clock())
    if as_json:
        click.echo(json.dumps(back_tests.as_json(tested), indent=2))
        return
    for line in aligned(list(back_tests.table(tested))):
        click.echo(line)
    message(back_tests.summary(tested[0]))


def _perform(config: Config, id_or_tag: str, by: str | None, seconds: int | None) -> None:
    from kener_async.ops import alerts
    from kener_async.ops.actor import command_actor
    from kener_async.store.alert_acts import AlertAct

    require_database(config)
    now = system_clock()
    until = None if seconds is None else now + seconds
    found = alerts.perform(config, id_or_tag, AlertAct(command_actor(by, gethostname()), now, until))
    done = "acknowledged" if seconds is None else f"snoozed for {format_duration(seconds)}"
    for each in found.alerts:
        message(f"{done}: alert {each.id}, {each.rule} of {found.tags[each.monitor]}")


COMMANDS = (alert,)
