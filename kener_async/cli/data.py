"""The commands that back up, restore, verify, export, import and upgrade the database."""

import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from kener_async.cli.audit import noted_end
from kener_async.cli.common import (
    config_option,
    config_path,
    environment,
    exit_on_error,
    message,
    on_database,
    on_restored_database,
    say_config_path,
)
from kener_async.clock import system_clock
from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.errors import FatalError, reason_of
from kener_async.ops.actor import command_actor
from kener_async.ops.installation import require_database

STREAM = "-"


class ProgressLine:
    """Shows the progress of the work on a terminal; elsewhere nothing."""

    def __init__(self) -> None:
        self._text = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        text = f"{what} {100 * done // total} %" if total else f"{what} {done // 10_000 * 10_000:,}"
        if text != self._text and sys.stderr.isatty():
            click.echo(f"\r\033[K{text}", err=True, nl=False)
            self._text = text

    def clear(self) -> None:
        if self._text:
            click.echo("\r\033[K", err=True, nl=False)


@contextmanager
def _progress_line() -> Iterator[ProgressLine]:
    progress = ProgressLine()
    try:
        yield progress
    finally:
        progress.clear()


@click.command()
@click.argument("dest")
@click.option("--keep", type=click.IntRange(1), help="Keep this many of the newest backups in the folder.")
@click.option("--with-key", is_flag=True, help="Include the signing key and the secrets of config.toml.")
@on_database
def backup(config: Config, dest: str, keep: int | None, with_key: bool) -> None:
    """Make a backup.

    The service may be running. DEST is a file, a folder, in which the backup is named after the time, or -
    for standard output. The name of the file is printed.
    """
    from kener_async.ops.backup_source import source_of
    from kener_async.store.admin import backup

    now, target = system_clock(), Path(dest)
    into_folder = target.is_dir() or dest.endswith("/")
    if keep is not None and not into_folder:
        raise click.BadParameter("DEST must be a folder", param_hint="--keep")
    require_database(config)
    source = source_of(config, with_key=with_key)
    with _progress_line() as progress:
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
    message(f"backed up {manifest.rows['samples']:,} samples, with {_listed(manifest.files)}")
    if manifest.left_out:
        message(f"not in it: {'; '.join(manifest.left_out)}")


def _listed(names: Collection[str]) -> str:
    """The files of a backup, those of the assets folder by their number."""
    plain = [name for name in names if not name.startswith("assets/")]
    assets = sum(name.startswith("assets/") for name in names)
    return ", ".join([*plain, *([f"{assets} assets"] if assets else [])])


def _standard_output() -> IO[bytes]:
    if sys.stdout.isatty():
        raise FatalError("standard output is a terminal: name a file, or pipe it somewhere")
    return sys.stdout.buffer


@click.command()
@click.argument("src")
@click.option("--force", is_flag=True, help="Replace an existing database, which is kept as a copy.")
@on_restored_database
def restore(config: Config, src: str, force: bool) -> None:
    """Verify a backup and restore it.

    The service must be stopped. SRC is a backup, a plain copy of a database, or - for standard input.
    """
    from kener_async.ops.backup_source import restore_key, restore_site
    from kener_async.store.admin import restore

    database, notes = config.database.path, list[str]()
    with _progress_line() as progress, _source(src, database.parent) as source:
        kept, key = restore.restore(
            source,
            database,
            system_clock(),
            force=force,
            actor=command_actor(),
            progress=progress,
            beside=lambda folder: notes.append(restore_site(config.site, folder)),
        )
    _report_place(database, kept)
    for note in [*notes, *([restore_key(config.auth, key)] if key is not None else [])]:
        if note:
            message(note)


@contextmanager
def _source(source: str, folder: Path) -> Iterator[Path]:
    """The file; standard input is copied into a temporary one below the folder first."""
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


def _report_place(database: Path, kept: Path | None) -> None:
    message(f"{database} is in place")
    if kept is not None:
        message(f"the previous database is kept as {kept}")


@click.command()
@click.argument("src", required=False)
@click.option("--quick", is_flag=True, help="Skip the indexes and the recount.")
@click.option("--days", type=click.IntRange(1), help="Recount only the newest days.")
@click.option("--audit-end", help="An end of the audit log noted before, which must be in it.")
@config_option
def verify(path: Path | None, src: str | None, quick: bool, days: int | None, audit_end: str | None) -> None:
    """Verify a backup or a database.

    Checks its bytes, its structure, the chain of the audit log, and all counts by a recount. SRC is a backup,
    a database, or - for standard input; the default is the configured database. Every problem is printed, a
    line each; then the exit status is 1.
    """
    from kener_async.store.admin import verify

    if quick and audit_end is not None:
        raise click.UsageError("--audit-end: is not checked with --quick")
    noted = None if audit_end is None else noted_end(audit_end)
    with exit_on_error():
        name = src or _configured_database()
        problems, scratch = 0, Path(tempfile.gettempdir())
        with _progress_line() as progress, _source(name, scratch) as source:
            for line in verify.verify(
                source, scratch, quick=quick, days=days, noted=noted, progress=progress
            ):
                progress.clear()
                click.echo(line)
                problems += 1
        if problems:
            raise FatalError(f"{name}: verification failed")
    message(f"{name}: OK")


def _configured_database() -> str:
    say_config_path()
    config = load(config_path(), environment())
    require_database(config)
    return str(config.database.path)


@click.command("export")
@click.argument("dest", default=STREAM)
@click.option("--with-people", is_flag=True, help="Include people and what they sign in with.")
@on_database
def export_data(config: Config, dest: str, with_people: bool) -> None:
    """Export all data as JSON Lines.

    The service may be running. DEST is a file, or - for standard output, which is the default. With people
    the file holds hashes of passwords and secrets of codes: keep it as secret as the database.
    """
    from kener_async.store.admin import export

    require_database(config)
    if dest == STREAM:
        export.write(config.database.path, sys.stdout.buffer, with_people=with_people)
    else:
        export.save(config.database.path, Path(dest), with_people=with_people)


@click.command("import")
@click.argument("src")
@click.option("--force", is_flag=True, help="Replace an existing database, which is kept as a copy.")
@on_database
def import_data(config: Config, src: str, force: bool) -> None:
    """Import an export into a new database.

    The service must be stopped. SRC is a file, or - for standard input.
    """
    from kener_async.store.admin import import_

    database, now = config.database.path, system_clock()
    with _progress_line() as progress, _opened(src) as lines:
        count, kept = import_.replace(
            lines, database, now, force=force, actor=command_actor(), progress=progress
        )
    _report_place(database, kept)
    message(f"imported {count:,} lines")


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    if source == STREAM:
        yield sys.stdin.buffer
        return
    try:
        file = open(source, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise FatalError(f"{source}: {reason_of(error)}") from error
    with file:
        yield file


@click.command()
@click.option("--dry-run", is_flag=True, help="Only print what would be done, and try it on a copy.")
@on_database
def migrate(config: Config, dry_run: bool) -> None:
    """Upgrade the database to the current schema.

    The service does so when it starts. A copy of the old file is kept. The service must be stopped, except
    for --dry-run.
    """
    from kener_async.store.sqlite import upgrade

    database = config.database.path
    require_database(config)
    plan = upgrade.plan(database)
    click.echo(f"schema version {plan.current}, this program needs {plan.target}")
    for number, title in plan.steps:
        click.echo(f"step {number}: {title}")
    if dry_run and plan.steps:
        with _progress_line() as progress:
            rehearsal = upgrade.rehearse(database, system_clock(), progress)
        click.echo(f"the upgrade of a copy succeeded and changed {rehearsal.rows:,} rows")
        if rehearsal.unsealed_days:
            click.echo(f"then the service packs {rehearsal.unsealed_days:,} days of monitors while it runs")
    elif plan.steps:
        upgrade.run(database)
        message(f"{database} is upgraded")


COMMANDS = (backup, restore, verify, export_data, import_data, migrate)
