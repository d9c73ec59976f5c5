"""Install the program as a service of systemd, and uninstall it, step by step.

The steps are computed first, each with a description, so that a dry run can print them without running them.
"""

import grp
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
from kener_async.errors import FatalError, reason_of
from kener_async.resources import shipped

SERVICE, SOCKET = "kener-async.service", "kener-async.socket"
BACKUP, TIMER = "kener-async-backup.service", "kener-async-backup.timer"
UNITS = (SERVICE, SOCKET, BACKUP, TIMER)
SYSUSERS, GROUPS, GROUP = "systemd-sysusers", "kener-async.conf", "kener-config"
AGENT = "kener-agent.service"  # the same program, with or without the service
ENABLED_UNITS = (SOCKET, SERVICE, TIMER)
DATABASE = "/var/lib/kener-async/kener.db"
# The unit hides these folders from the service, or replaces them by its own.
HIDDEN_FOLDERS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - names, not files


class InstallError(FatalError):
    """The program cannot be installed or uninstalled."""


@dataclass(frozen=True)
class Places:
    """The paths of an installation below `root`; systemd is called only if `root` is /."""

    root: Path = Path("/")

    @property
    def program(self) -> Path:
        return self.root / "usr/local/bin/kener-async"

    @property
    def config(self) -> Path:
        return self.root / "etc/kener-async/config.toml"

    @property
    def group(self) -> Path:
        """What systemd-sysusers makes the group by that may read config.toml."""
        return self.root / "etc/sysusers.d" / GROUPS

    @property
    def data(self) -> tuple[Path, Path]:
        """The state folder of a dynamic user and the link to it, which is a plain folder without systemd."""
        return self.root / "var/lib/private/kener-async", self.root / "var/lib/kener-async"

    def unit(self, name: str) -> Path:
        return self.root / "etc/systemd/system" / name

    def packaged_unit(self, name: str) -> Path:
        """The path of a unit that a package installs."""
        return self.root / "usr/lib/systemd/system" / name

    def is_packaged(self, name: str) -> bool:
        """Whether the unit and its program come from a package, and no unit of ours overrides it."""
        return self.packaged_unit(name).exists() and not self.unit(name).exists()

    @property
    def has_systemd(self) -> bool:
        return self.root == Path("/")


@dataclass(frozen=True)
class InstallStep:
    """A step, with its description for the operator; `changes` is False if it changes nothing."""

    text: str
    run: Callable[[], object]
    changes: bool = True


def run_steps(steps: Iterable[InstallStep], echo: Callable[[str], None], *, dry_run: bool) -> None:
    """Print and run the steps; raises InstallError at the first failure. They may be repeated after that."""
    for step in steps:
        echo(step.text)
        if not dry_run:
            try:
                step.run()
            except OSError as error:
                raise InstallError(f"{error.filename or step.text}: {reason_of(error)}") from error


def places_below(root: Path, *, dry_run: bool) -> Places:
    """The places below a folder; raises InstallError for / without systemd or root, unless for a dry run."""
    places = Places(root)
    if places.has_systemd and not dry_run:
        if not Path("/run/systemd/system").is_dir():
            raise InstallError("this machine does not run systemd")
        if os.geteuid() != 0:
            raise InstallError("must be run as root: sudo kener-async ...")
    return places


# Installing


def installation(places: Places, program: bytes, *, start: bool) -> list[InstallStep]:
    """The steps that install or upgrade; files that are up to date are kept.

    Raises InstallError if a package has installed the service.
    """
    _check_unpackaged(places)
    config = _config_step(places)
    programs = file_step(places.program, program, 0o755)
    group = file_step(places.group, shipped("systemd/kener-async.sysusers").encode(), 0o644)
    units = {name: file_step(places.unit(name), text.encode(), 0o644) for name, text in _units(places)}
    steps = [programs, group, config, *units.values()]
    if places.has_systemd:
        if not has_group():
            made = (SYSUSERS, GROUPS) if shutil.which(SYSUSERS) else ("groupadd", "--system", GROUP)
            steps.append(command(*made))
        steps.append(_closed_config_step(places.config))
        steps.append(systemctl("daemon-reload"))
        if start:
            steps += start_steps(
                moved=units[SOCKET].changes, renewed=programs.changes or units[SERVICE].changes
            )
    return steps


def _check_unpackaged(places: Places) -> None:
    if places.is_packaged(SERVICE):
        raise InstallError(f"{places.packaged_unit(SERVICE)}: installed by a package, and is managed by it")


def start_steps(*, moved: bool, renewed: bool) -> Iterator[InstallStep]:
    """Restart what has changed and enable the units; `moved`: the socket has another address."""
    if moved:  # the address of a socket can be changed only while the service is stopped
        yield systemctl("stop", SERVICE, SOCKET)
    elif renewed:
        yield systemctl("try-restart", SERVICE)
    yield systemctl("enable", "--now", *ENABLED_UNITS)


def program(places: Places) -> bytes:
    """The executable to install: the single binary, or a script that runs this checkout or environment.

    Raises InstallError if the service could not access them.
    """
    if getattr(sys, "frozen", False):
        return Path(sys.executable).read_bytes()
    python, script = Path(sys.executable).absolute(), Path(sys.argv[0]).absolute()
    for path in (python, script, python.resolve()):
        if places.has_systemd and any(path.is_relative_to(folder) for folder in HIDDEN_FOLDERS):
            raise InstallError(f"{path}: the service cannot access this path; use another, such as /opt")
    if script.name == "__main__.py":  # `python -m`, which finds the package by the folder it is in
        folder = shlex.quote(str(script.parent.parent))
        words = f"env PYTHONPATH={folder} {shlex.quote(str(python))} -m {script.parent.name}"
    else:
        words = shlex.join([str(python), str(script)])
    return f'#!/bin/sh\nexec {words} "$@"\n'.encode()


def _units(places: Places) -> Iterator[tuple[str, str]]:
    """The names and texts of the units; the socket listens on the configured address."""
    for name in UNITS:
        text = shipped(f"systemd/{name}")
        if name == SOCKET and places.config.exists():
            text = text.replace("127.0.0.1:3000", _address(load(places.config, {})))
        yield name, text


def _address(config: Config) -> str:
    """The address of the server in numeric form, as ListenStream= needs it."""
    server = config.server
    try:
        addresses = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InstallError(f"server.host: {server.host}: {error.strerror}") from error
    host = addresses[0][4][0]
    return f"[{host}]:{server.port}" if ":" in str(host) else f"{host}:{server.port}"


def _config_step(places: Places) -> InstallStep:
    if places.config.exists():
        return InstallStep(f"keep {places.config}", no_action, changes=False)
    text = shipped("config.toml").replace('#path = "data/kener.db"', f'path = "{DATABASE}"')
    return file_step(places.config, text.encode(), 0o644)


def _closed_config_step(path: Path) -> InstallStep:
    """Open config.toml, which may hold secrets, to the service and to no other user."""
    if has_group() and is_closed(path):
        return InstallStep(f"keep {path} closed to other users", no_action, changes=False)
    return InstallStep(f"let only root and the group {GROUP} read {path}", partial(close_config, path))


def has_group() -> bool:
    """Whether there is the group that may read config.toml."""
    return any(entry.gr_name == GROUP for entry in grp.getgrall())


def is_closed(path: Path) -> bool:
    """Whether the file belongs to the group and no other user may open it."""
    if not path.exists():
        return False
    status = path.stat()
    return status.st_mode & 0o777 == 0o640 and status.st_gid == grp.getgrnam(GROUP).gr_gid


def close_config(path: Path) -> None:
    """Let root write the file, the members of the group read it, and no other user open it."""
    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        raise InstallError(f"there is no group {GROUP}") from None
    os.chown(path, -1, group)
    path.chmod(0o640)


def file_step(path: Path, content: bytes, mode: int) -> InstallStep:
    if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
        return InstallStep(f"keep {path} (unchanged)", no_action, changes=False)
    verb = "replace" if path.exists() else "write"
    return InstallStep(f"{verb} {path}", partial(_write, path, content, mode))


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file atomically by a rename, which also works for the executable of a running program."""
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


# Uninstalling


def removal(places: Places, *, purge: bool) -> list[InstallStep]:
    """The steps that uninstall; configuration and data are kept unless `purge`.

    Raises InstallError if a package has installed the service.
    """
    _check_unpackaged(places)
    folders = (*places.data, places.config.parent)
    steps = removal_steps(places, UNITS, folders, is_shared=places.unit(AGENT).exists(), purge=purge)
    if places.group.exists():
        steps.append(InstallStep(f"remove {places.group} (the group is kept)", places.group.unlink))
    return steps


def removal_steps(
    places: Places, names: Iterable[str], folders: Iterable[Path], *, is_shared: bool, purge: bool
) -> list[InstallStep]:
    """Remove units, the program unless it `is_shared`, and the folders if `purge`."""
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
            steps.append(InstallStep(f"remove {folder} and its contents", partial(_remove, folder)))
        elif folder.exists():
            steps.append(InstallStep(f"keep {folder}", no_action, changes=False))
    return steps


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def no_action() -> None:
    pass


# systemd


def systemctl(*words: str) -> InstallStep:
    return command("systemctl", *words)


def command(*words: str) -> InstallStep:
    return InstallStep(f"run {shlex.join(words)}", partial(_run, words))


def _run(words: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - constant arguments
            words, capture_output=True, text=True, env=environment(), check=False
        )
    except OSError as error:
        raise InstallError(f"{words[0]}: {error.strerror}") from error
    if done.returncode:
        raise InstallError(f"{shlex.join(words)} failed: {done.stderr.strip()}")


def environment() -> dict[str, str]:
    """The environment for other programs, without the library path of the single binary."""
    environment = dict(os.environ)
    if not getattr(sys, "frozen", False):
        return environment
    original = environment.pop("LD_LIBRARY_PATH_ORIG", None)
    environment.pop("LD_LIBRARY_PATH", None)
    return environment if original is None else environment | {"LD_LIBRARY_PATH": original}
