"""The agent put in place on a device with systemd, and taken away again; the program is that of `install`.

Where a package has brought unit and program they are left to it, and only what is new about this device
is added.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kener_async.ops.install import (
    AGENT,
    SERVICE,
    InstallError,
    InstallStep,
    Places,
    command,
    file_step,
    nothing,
    systemctl,
    taken_away,
)
from kener_async.resources import shipped

SYSUSERS, USER = "systemd-sysusers", "kener-agent.conf"


@dataclass(frozen=True)
class InstalledAgent:
    """What is new about this device. `token` None: it has one already; without `servers` so has its file."""

    servers: Sequence[str]
    alive: Sequence[str]
    token: str | None


def configuration(places: Places) -> Path:
    return places.root / "etc/kener-agent/config.toml"


def credential(places: Places) -> Path:
    """The token, which root only can read; systemd passes it on."""
    return places.root / "etc/kener-agent/token"


def user(places: Places) -> Path:
    """What systemd-sysusers makes the agent's user by, now or at the next boot."""
    return places.root / "etc/sysusers.d" / USER


def folders(places: Places) -> tuple[Path, ...]:
    """The spool and the link to it, and the configuration."""
    data = "var/lib/private/kener-agent", "var/lib/kener-agent"
    return (*(places.root / name for name in data), configuration(places).parent)


def installation(places: Places, program: bytes, device: InstalledAgent, *, start: bool) -> list[InstallStep]:
    """What it takes to install, or to upgrade; what is as it should be is left alone.

    Raises InstallError when something is neither told nor there.
    """
    steps = [
        *_program_steps(places, program),
        _config_step(configuration(places), device),
        _token_step(credential(places), device.token),
    ]
    renewed = any(step.changes for step in steps)
    if places.has_systemd:
        if shutil.which(SYSUSERS):
            steps.append(command(SYSUSERS, USER))
        steps.append(systemctl("daemon-reload"))
        if start:
            steps += _starts(renewed=renewed)
    return steps


def _program_steps(places: Places, program: bytes) -> list[InstallStep]:
    if places.is_packaged(AGENT):
        return [_left_to_the_package(places)]
    return [
        file_step(places.program, program, 0o755),
        file_step(user(places), shipped("systemd/kener-agent.sysusers").encode(), 0o644),
        file_step(places.unit(AGENT), shipped(f"systemd/{AGENT}").encode(), 0o644),
    ]


def _left_to_the_package(places: Places) -> InstallStep:
    words = f"keep {places.packaged_unit(AGENT)} and its program, which are a package's"
    return InstallStep(words, nothing, changes=False)


def _starts(*, renewed: bool) -> Iterator[InstallStep]:
    if renewed:
        yield systemctl("try-restart", AGENT)
    yield systemctl("enable", "--now", AGENT)


def _config_step(path: Path, device: InstalledAgent) -> InstallStep:
    text = _text(device)
    if path.exists() and path.read_text() != text:
        return InstallStep(f"keep {path}, and whatever it says", nothing, changes=False)
    if not (device.servers and device.alive) and not path.exists():
        raise InstallError(f"{path}: is not there yet; say --server URL and --alive TAG, or write it first")
    return file_step(path, text.encode(), 0o644)


def _token_step(path: Path, token: str | None) -> InstallStep:
    if token is not None:
        return file_step(path, f"{token}\n".encode(), 0o600)
    if not path.exists():
        raise InstallError(f"{path}: is not there yet; say --token-file FILE")
    return InstallStep(f"keep {path}", nothing, changes=False)


def _text(device: InstalledAgent) -> str:
    checks = [f"\n[[agent.checks]]\ntag = {json.dumps(tag)}\nalive = true\n" for tag in device.alive]
    return "\n".join(
        [
            "# What the agent of this device does. After a change: systemctl restart kener-agent",
            "# `[agent]` of the reference has every setting and every kind of check.",
            "[agent]",
            f"servers = {json.dumps(list(device.servers))}",
            "".join(checks),
        ]
    )


def removal(places: Places, *, purge: bool) -> list[InstallStep]:
    """What takes the agent away; configuration, token and what was not sent stay unless purged."""
    packaged = places.is_packaged(AGENT)
    is_shared = packaged or places.unit(SERVICE).exists()
    steps = []
    if packaged and places.has_systemd:
        steps.append(systemctl("disable", "--now", AGENT))
    if packaged:
        steps.append(_left_to_the_package(places))
    steps += taken_away(places, [AGENT], folders(places), is_shared=is_shared, purge=purge)
    if user(places).exists():
        steps.append(InstallStep(f"remove {user(places)}; the user stays", user(places).unlink))
    return steps
