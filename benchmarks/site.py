"""A realistic site: monitors with names in categories, outages, incidents with comments.

Everything is generated from seeds, so that runs differ only in the instant at which the history ends.
"""

import random
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.servers import SECRET
from kener_async.config.load import load
from kener_async.domain.calendar import DAY, HOUR, QUARTER, quarter_of
from kener_async.domain.samples import Status
from kener_async.store import incidents

DAYS = 90
PAST_INCIDENTS = 40
A_CATEGORY = 12  # monitors
WORDS = (
    *("account", "archive", "billing", "cache", "catalogue", "checkout", "delivery", "export", "gateway"),
    *("image", "import", "invoice", "ledger", "login", "mail", "message", "metrics", "order", "payment"),
    *("planner", "queue", "report", "scheduler", "search", "session", "storage", "stream", "upload"),
)
PLACES = ("Amsterdam", "Dublin", "Frankfurt", "Helsinki", "Madrid", "Milan", "Paris", "Warsaw")


def configure(folder: Path, monitors: int) -> Path:
    """A config.toml for so many monitors, which may be silent for half an hour; its path."""
    lines = [
        f'[auth]\nsecret_key = "{SECRET}"\n[database]\npath = "kener.db"\n[log]\nformat = "text"\n',
        "[ingest]\ntoken_rate = 0\n",
    ]
    lines += [
        f'[[categories]]\nname = "{name}"\ndescription = "What runs in {name}"\n'
        for name in dict.fromkeys(_category(number) for number in range(monitors))
    ]
    for number in range(monitors):
        dice = random.Random(f"name {number}")
        word, other = dice.sample(WORDS, 2)
        lines.append(
            f'[[monitors]]\ntag = "monitor-{number}"\nname = "{word.title()} {other} {number}"\n'
            f'description = "Takes {word} requests and hands them to the {other}"\n'
            f'category = "{_category(number)}"\n'
            '[monitors.heartbeat]\ninterval = "15m"\ngrace = "15m"\ndown_after = "2h"\n'
        )
    path = folder / "config.toml"
    path.write_text("".join(lines))
    return path


def _category(number: int) -> str:
    round_, place = divmod(number // A_CATEGORY, len(PLACES))
    return PLACES[place] + (f" {round_ + 1}" if round_ else "")


def go_wrong(connection: sqlite3.Connection, now: int, until: int) -> None:
    """Store outages that end by `until`, and make every tenth monitor younger than 90 days."""
    begin = quarter_of(now) - DAYS * DAY
    for (monitor,) in connection.execute("SELECT id FROM monitors").fetchall():
        dice = random.Random(f"outages {monitor}")
        connection.executemany(
            """
            UPDATE quarters SET up = 15 - :lost, degraded = :degraded, down = :lost - :degraded
             WHERE monitor_id = :monitor AND quarter = :quarter
            """,
            [
                {"monitor": monitor, "quarter": quarter, "lost": lost, "degraded": degraded}
                for quarter, lost, degraded in _outages(dice, begin, until)
            ],
        )
        if monitor % 10 == 0:
            born = begin + dice.randrange(80) * DAY
            connection.execute("DELETE FROM quarters WHERE monitor_id = ? AND quarter < ?", (monitor, born))


def _outages(dice: random.Random, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Quarters of outages: their start, the minutes not up, and those of them degraded."""
    for _ in range(dice.randrange(12)):
        first = begin + dice.randrange((end - begin) // QUARTER) * QUARTER
        is_slow = dice.random() < 0.5
        for number in range(dice.randrange(1, 12)):
            lost = 15 if number else dice.randrange(1, 16)
            yield first + number * QUARTER, lost, lost if is_slow else 0


def add_incidents(connection: sqlite3.Connection, config: Path, now: int) -> None:
    """Store past incidents, on whole quarters; an ongoing one, and a planned maintenance."""
    tags = [monitor.tag for monitor in load(config, {}).monitors]
    dice = random.Random("incidents")
    starts = sorted(
        dice.randrange(2, DAYS - 1) * DAY + dice.randrange(24) * HOUR for _ in range(PAST_INCIDENTS)
    )
    for before in reversed(starts):
        start = quarter_of(now) - before
        end = start + dice.randrange(1, 12) * QUARTER
        is_maintenance = dice.random() < 0.25
        impact = None if is_maintenance else dice.choice((Status.DEGRADED, Status.DOWN))
        fields = {
            "start": start,
            "end": end,
            "is_maintenance": is_maintenance,
            "impact": impact,
            "is_resolved": not is_maintenance,
        }
        _add_incident(connection, dice, tags, fields, end)
    _add_incident(connection, dice, tags, {"start": now - 2 * HOUR, "impact": Status.DEGRADED}, now)
    soon = quarter_of(now) + 2 * DAY
    _add_incident(connection, dice, tags, {"start": soon, "end": soon + HOUR, "is_maintenance": True}, now)


def _add_incident(
    connection: sqlite3.Connection,
    dice: random.Random,
    tags: list[str],
    fields: Mapping[str, object],
    created_at: int,
) -> None:
    word = dice.choice(WORDS)
    described = {
        **fields,
        "title": f"The {word} answers slowly or not at all",
        "body": f"Requests to the **{word}** end in a timeout. What was sent before *is not lost*.",
        "tags": tuple(dice.sample(tags, min(len(tags), dice.randrange(1, 5)))),
    }
    number = incidents.add(connection, described, created_at).number
    for minutes, text in (
        (20, "We look for the cause."),
        (9, f"A full disk held the {word} up."),
        (1, "Watched."),
    ):
        incidents.remark(connection, number, text, created_at - minutes * 60)
