"""The commands that look after what is stored: backups, the way back, upgrades, exports."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from kener_async.cli.common import config_option, config_path, configured, faults_named
from kener_async.clock import system_clock
from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.errors import FatalError

STREAM = "-"


class Watched:
    """Tells on a terminal how far the work is; elsewhere nothing."""

    def __init__(self) -> None:
        self._shown = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        words = f"{what} {100 * done // total} %" if total else f"{what} {done // 10_000 * 10_000:,}"
        if words != self._shown and sys.stderr.isatty():
            click.echo(f"\r\033[K{words}", err=True, nl=False)
            self._shown = words

    def done(self) -> None:
        if self._shown:
            click.echo("\r\033[K", err=True, nl=False)


@contextmanager
def _watched() -> Iterator[Watched]:
    progress = Watched()
    try:
        yield progress
    finally:
        progress.done()


@click.command()
@click.argument("dest")
@click.option("--keep", type=click.IntRange(1), help="Of the backups in the folder keep the newest so many.")
@click.option("--with-key", is_flag=True, help="Put the signing key in: whoever has it can make tokens.")
@configured
def backup(config: Config, dest: str, keep: int | None, with_key: bool) -> None:
    """Make a backup; also while the service runs.

    DEST is a file, a folder, in which it is named after the time, or - for standard output. The name of the
    file is printed.
    """
    from kener_async.ops.backup_source import source_of
    from kener_async.store.admin import backup

    source, now, target = source_of(config, with_key=with_key), system_clock(), Path(dest)
    into_folder = target.is_dir() or dest.endswith("/")
    if keep is not None and not into_folder:
        raise click.BadParameter("goes with a folder", param_hint="--keep")
    with _watched() as progress:
        if dest == STREAM:
            out = _standard_output()
            manifest = backup.write(source, out, config.database.path.parent, now, progress)
            out.flush()
        elif into_folder:
            target, manifest = backup.add(source, target, now, keep, progress)
        else:
            manifest = backup.save(source, target, now, progress)
    if dest != STREAM:
        click.echo(target)
    click.echo(f"backed up {manifest.rows['samples']:,} samples", err=True)


def _standard_output() -> IO[bytes]:
    if sys.stdout.isatty():
        raise FatalError("standard output is a terminal: name a file, or pipe it somewhere")
    return sys.stdout.buffer


@click.command()
@click.argument("src")
@click.option("--force", is_flag=True, help="Although there is a database: it is kept beside.")
@configured
def restore(config: Config, src: str, force: bool) -> None:
    """Verify a backup and put it in place; the service must be stopped.

    SRC is a backup, a plain copy of a database, or - for standard input.
    """
    from kener_async.ops.backup_source import put_key_back
    from kener_async.store.admin import restore

    database = config.database.path
    with _watched() as progress, _named(src, database.parent) as source:
        kept, key = restore.restore(source, database, system_clock(), force=force, progress=progress)
    _say_where(database, kept)
    if key is not None:
        click.echo(put_key_back(config.auth, key), err=True)


@contextmanager
def _named(source: str, folder: Path) -> Iterator[Path]:
    """The file; standard input is put into one first, in a folder of its own within the given one."""
    from kener_async.store.sqlite import files

    if source != STREAM:
        yield Path(source)
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    with files.workspace(folder) as work:
        received = work / "standard input"
        with open(received, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield received


def _say_where(database: Path, kept: Path | None) -> None:
    click.echo(f"{database} is in place", err=True)
    if kept is not None:
        click.echo(f"the database before is kept as {kept}", err=True)


@click.command()
@click.argument("src", required=False)
@click.option("--quick", is_flag=True, help="Leave out the indexes and the recount.")
@click.option("--days", type=click.IntRange(1), help="Recount only the newest days.")
@config_option
def verify(path: Path | None, src: str | None, quick: bool, days: int | None) -> None:
    """Check a backup or a database: its bytes, its structure, and a recount of all that is counted.

    SRC is a backup, a database, or - for standard input; left out, it is the configured database. What is
    wrong is printed, a line each, and ends with status 1.
    """
    from kener_async.store.admin import verify

    with faults_named():
        named = src or str(load(config_path(), os.environ).database.path)
        found = 0
        with _watched() as progress, _named(named, _scratch()) as source:
            for line in verify.verify(source, _scratch(), quick=quick, days=days, progress=progress):
                progress.done()
                click.echo(line)
                found += 1
        if found:
            raise FatalError(f"{named}: not sound")
    click.echo(f"{named}: sound", err=True)


def _scratch() -> Path:
    return Path(tempfile.gettempdir())


@click.command("export")
@click.argument("dest", default=STREAM)
@configured
def export_data(config: Config, dest: str) -> None:
    """Write everything that is stored as JSON Lines; also while the service runs.

    DEST is a file, or - for standard output, which is the default.
    """
    from kener_async.store.admin import export

    if dest == STREAM:
        export.write(config.database.path, sys.stdout.buffer)
    else:
        export.save(config.database.path, Path(dest))


@click.command("import")
@click.argument("src")
@click.option("--force", is_flag=True, help="Although there is a database: it is kept beside.")
@configured
def import_data(config: Config, src: str, force: bool) -> None:
    """Read an export into a new database; the service must be stopped.

    SRC is a file, or - for standard input.
    """
    from kener_async.store.admin import import_, restore

    database = config.database.path
    with _watched() as progress, _opened(src) as lines, restore.alone_with(database, force=force) as work:
        count = import_.load(lines, work / database.name, progress)
        kept = restore.place(work / database.name, database, system_clock())
    _say_where(database, kept)
    click.echo(f"imported {count:,} lines", err=True)


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    if source == STREAM:
        yield sys.stdin.buffer
        return
    try:
        file = open(source, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise FatalError(f"{source}: {error.strerror}") from error
    with file:
        yield file


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would happen; rehearsed on a copy.")
@configured
def migrate(config: Config, dry_run: bool) -> None:
    """Upgrade the database to this program's schema, as the service does when it starts.

    A copy of the old file is kept. The service must be stopped, save for --dry-run.
    """
    from kener_async.store.sqlite import upgrade

    database = config.database.path
    if not database.exists():
        raise FatalError(f"{database}: there is no database yet")
    plan = upgrade.plan(database)
    click.echo(f"schema {plan.found}; this program's is {plan.target}")
    for number, title in plan.steps:
        click.echo(f"step {number}: {title}")
    if dry_run and plan.steps:
        with _watched() as progress:
            changed = upgrade.rehearse(database, progress)
        click.echo(f"on a copy it went well and changed {changed:,} rows")
    elif plan.steps:
        upgrade.run(database)
        click.echo(f"{database} is upgraded", err=True)


COMMANDS = (backup, restore, verify, export_data, import_data, migrate)
