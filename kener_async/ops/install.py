"""The program put in place on a machine with systemd, and taken away again, step by step.

A plan is made first and says in words what each step does; whoever only wants to know does not carry it out.
"""

import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile

from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.errors import FatalError
from kener_async.resources import shipped

SERVICE, SOCKET = "kener-async.service", "kener-async.socket"
BACKUP, TIMER = "kener-async-backup.service", "kener-async-backup.timer"
UNITS = (SERVICE, SOCKET, BACKUP, TIMER)
AGENT = "kener-agent.service"  # which runs the same program, alone or beside the service
STARTED = (SOCKET, SERVICE, TIMER)
DATABASE = "/var/lib/kener-async/kener.db"
# The unit hides them from the service, or shows it others in their place.
OUT_OF_REACH = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - names, not files


class InstallError(FatalError):
    """It cannot be installed, or not be taken away, and why."""


@dataclass(frozen=True)
class Places:
    """Where everything goes below `root`; only a `root` of / has a systemd that is told of it."""

    root: Path = Path("/")

    @property
    def program(self) -> Path:
        return self.root / "usr/local/bin/kener-async"

    @property
    def config(self) -> Path:
        return self.root / "etc/kener-async/config.toml"

    @property
    def data(self) -> tuple[Path, Path]:
        """Where a dynamic user's folder is, and the link to it; without systemd it is one plain folder."""
        return self.root / "var/lib/private/kener-async", self.root / "var/lib/kener-async"

    def unit(self, name: str) -> Path:
        return self.root / "etc/systemd/system" / name

    def packaged_unit(self, name: str) -> Path:
        """Where a unit lies that came with a package."""
        return self.root / "usr/lib/systemd/system" / name

    def is_packaged(self, name: str) -> bool:
        """Whether the unit and its program are a package's; a unit that we put in place goes before it."""
        return self.packaged_unit(name).exists() and not self.unit(name).exists()

    @property
    def has_systemd(self) -> bool:
        return self.root == Path("/")


@dataclass(frozen=True)
class InstallStep:
    """What is done, in words, and how; `changes`: whether anything is different afterwards."""

    words: str
    do: Callable[[], object]
    changes: bool = True


def carry_out(steps: Iterable[InstallStep], say: Callable[[str], None], *, only_say: bool) -> None:
    """Raises InstallError at the first step that fails; those before it are done, and may be repeated."""
    for step in steps:
        say(step.words)
        if not only_say:
            try:
                step.do()
            except OSError as error:
                raise InstallError(f"{error.filename or step.words}: {error.strerror}") from error


def check_machine(places: Places) -> None:
    """Raises InstallError when nothing could come of it."""
    if not places.has_systemd:
        return
    if not Path("/run/systemd/system").is_dir():
        raise InstallError("this machine does not run systemd")
    if os.geteuid() != 0:
        raise InstallError("must be run by root: sudo kener-async ...")


# Installing


def installation(places: Places, program: bytes, *, start: bool) -> list[InstallStep]:
    """What it takes to install, or to upgrade; what is as it should be is left alone.

    Raises InstallError when a package has done so.
    """
    _check_unpackaged(places)
    config = _config_step(places)
    programs = file_step(places.program, program, 0o755)
    units = {name: file_step(places.unit(name), text.encode(), 0o644) for name, text in _units(places)}
    steps = [programs, config, *units.values()]
    if places.has_systemd:
        steps.append(systemctl("daemon-reload"))
        if start:
            steps += starts(moved=units[SOCKET].changes, renewed=programs.changes or units[SERVICE].changes)
    return steps


def _check_unpackaged(places: Places) -> None:
    if places.is_packaged(SERVICE):
        raise InstallError(f"{places.packaged_unit(SERVICE)}: came with a package, and goes with it")


def starts(*, moved: bool, renewed: bool) -> Iterator[InstallStep]:
    """What systemd is told: the address has changed, or what runs at it."""
    if moved:  # a socket's address can only be changed while the service is down
        yield systemctl("stop", SERVICE, SOCKET)
    elif renewed:
        yield systemctl("try-restart", SERVICE)
    yield systemctl("enable", "--now", *STARTED)


def program(places: Places) -> bytes:
    """This very program: the single binary, or a script that runs the checkout or environment it runs from.

    Raises InstallError when the service could not reach that.
    """
    if getattr(sys, "frozen", False):
        return Path(sys.executable).read_bytes()
    python, script = Path(sys.executable).absolute(), Path(sys.argv[0]).absolute()
    for path in (python, script, python.resolve()):
        if places.has_systemd and any(path.is_relative_to(folder) for folder in OUT_OF_REACH):
            raise InstallError(f"{path}: out of the service's reach; have it in /opt, for instance")
    if script.name == "__main__.py":  # `python -m`, which finds the package by the folder it is in
        folder = shlex.quote(str(script.parent.parent))
        words = f"env PYTHONPATH={folder} {shlex.quote(str(python))} -m {script.parent.name}"
    else:
        words = shlex.join([str(python), str(script)])
    return f'#!/bin/sh\nexec {words} "$@"\n'.encode()


def _units(places: Places) -> Iterator[tuple[str, str]]:
    """Each unit's name and text; the socket has the address of the configuration."""
    for name in UNITS:
        text = shipped(f"systemd/{name}")
        if name == SOCKET and places.config.exists():
            text = text.replace("127.0.0.1:3000", _address(load(places.config, {})))
        yield name, text


def _address(config: Config) -> str:
    """Of the server, as ListenStream= wants it: in numbers."""
    server = config.server
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InstallError(f"server.host: {server.host}: {error.strerror}") from error
    host = found[0][4][0]
    return f"[{host}]:{server.port}" if ":" in str(host) else f"{host}:{server.port}"


def _config_step(places: Places) -> InstallStep:
    if places.config.exists():
        return InstallStep(f"keep {places.config}", nothing, changes=False)
    text = shipped("config.toml").replace('#path = "data/kener.db"', f'path = "{DATABASE}"')
    return file_step(places.config, text.encode(), 0o644)


def file_step(path: Path, content: bytes, mode: int) -> InstallStep:
    if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
        return InstallStep(f"keep {path}, which is the same", nothing, changes=False)
    verb = "replace" if path.exists() else "write"
    return InstallStep(f"{verb} {path}", partial(_write, path, content, mode))


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all; a program that runs is not written into, its name goes to another file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as draft:
        try:
            draft.write(content)
            draft.flush()
            os.fsync(draft.fileno())
            os.fchmod(draft.fileno(), mode)
            os.replace(draft.name, path)
        except BaseException:
            os.unlink(draft.name)
            raise


# Taking away


def removal(places: Places, *, purge: bool) -> list[InstallStep]:
    """What takes the program away; configuration and data stay unless purged.

    Raises InstallError when it came with a package.
    """
    _check_unpackaged(places)
    folders = (*places.data, places.config.parent)
    return taken_away(places, UNITS, folders, is_shared=places.unit(AGENT).exists(), purge=purge)


def taken_away(
    places: Places, names: Iterable[str], folders: Iterable[Path], *, is_shared: bool, purge: bool
) -> list[InstallStep]:
    """Units, folders if they are to be purged, and the program unless it `is_shared`."""
    units = [places.unit(name) for name in names if places.unit(name).exists()]
    files = units if is_shared else [*units, places.program]
    steps = []
    if units and places.has_systemd:
        steps.append(systemctl("disable", "--now", *(path.name for path in units)))
    steps += [InstallStep(f"remove {path}", path.unlink) for path in files if path.exists()]
    if units and places.has_systemd:
        steps.append(systemctl("daemon-reload"))
    for folder in folders:
        if purge and os.path.lexists(folder):
            steps.append(InstallStep(f"remove {folder} and all that is in it", partial(_remove, folder)))
        elif folder.exists():
            steps.append(InstallStep(f"keep {folder}", nothing, changes=False))
    return steps


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def nothing() -> None:
    pass


# systemd


def systemctl(*words: str) -> InstallStep:
    return command("systemctl", *words)


def command(*words: str) -> InstallStep:
    return InstallStep(f"run {shlex.join(words)}", partial(_run, words))


def _run(words: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            words, capture_output=True, text=True, env=environment(), check=False
        )
    except OSError as error:
        raise InstallError(f"{words[0]}: {error.strerror}") from error
    if done.returncode:
        raise InstallError(f"{shlex.join(words)} failed: {done.stderr.strip()}")


def environment() -> dict[str, str]:
    """Ours, for other programs: without the libraries that the single binary brought for itself."""
    environment = dict(os.environ)
    if not getattr(sys, "frozen", False):
        return environment
    before = environment.pop("LD_LIBRARY_PATH_ORIG", None)
    environment.pop("LD_LIBRARY_PATH", None)
    return environment if before is None else environment | {"LD_LIBRARY_PATH": before}
