"""Install the agent as a service of systemd on a device, and uninstall it; the program is that of `install`.

If a package has installed the unit and the program they are kept, and only the configuration and the token
are added.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kener_async.ops.install import (
    AGENT,
    SERVICE,
    SYSUSERS,
    InstallError,
    InstallStep,
    Places,
    command,
    file_step,
    no_action,
    removal_steps,
    systemctl,
)
from kener_async.resources import shipped

USER = "kener-agent.conf"


@dataclass(frozen=True)
class InstalledAgent:
    """The settings of a device. `token` None: keep the present one; no `servers`: keep the configuration."""

    servers: Sequence[str]
    alive: Sequence[str]
    token: str | None


def configuration(places: Places) -> Path:
    return places.root / "etc/kener-agent/config.toml"


def credential(places: Places) -> Path:
    """The file of the token, readable by root only; systemd passes it on as a credential."""
    return places.root / "etc/kener-agent/token"


def user(places: Places) -> Path:
    """What systemd-sysusers makes the agent's user by, now or at the next boot."""
    return places.root / "etc/sysusers.d" / USER


def folders(places: Places) -> tuple[Path, ...]:
    """The folders of the spool, the link to it, and the configuration."""
    data = "var/lib/private/kener-agent", "var/lib/kener-agent"
    return (*(places.root / name for name in data), configuration(places).parent)


def installation(places: Places, program: bytes, device: InstalledAgent, *, start: bool) -> list[InstallStep]:
    """The steps that install or upgrade; files that are up to date are kept.

    Raises InstallError if an option is missing and its file does not exist.
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
            steps += _start_steps(renewed=renewed)
    return steps


def _program_steps(places: Places, program: bytes) -> list[InstallStep]:
    if places.is_packaged(AGENT):
        return [_packaged_step(places)]
    return [
        file_step(places.program, program, 0o755),
        file_step(user(places), shipped("systemd/kener-agent.sysusers").encode(), 0o644),
        file_step(places.unit(AGENT), shipped(f"systemd/{AGENT}").encode(), 0o644),
    ]


def _packaged_step(places: Places) -> InstallStep:
    text = f"keep {places.packaged_unit(AGENT)} and its program (installed by a package)"
    return InstallStep(text, no_action, changes=False)


def _start_steps(*, renewed: bool) -> Iterator[InstallStep]:
    if renewed:
        yield systemctl("try-restart", AGENT)
    yield systemctl("enable", "--now", AGENT)


def _config_step(path: Path, device: InstalledAgent) -> InstallStep:
    text = _text(device)
    if path.exists() and path.read_text() != text:
        return InstallStep(f"keep {path} (edited)", no_action, changes=False)
    if not (device.servers and device.alive) and not path.exists():
        raise InstallError(f"{path}: does not exist; give --server URL and --alive TAG, or create it")
    return file_step(path, text.encode(), 0o644)


def _token_step(path: Path, token: str | None) -> InstallStep:
    if token is not None:
        return file_step(path, f"{token}\n".encode(), 0o600)
    if not path.exists():
        raise InstallError(f"{path}: does not exist; give --token-file FILE")
    return InstallStep(f"keep {path}", no_action, changes=False)


def _text(device: InstalledAgent) -> str:
    checks = [f"\n[[agent.checks]]\ntag = {json.dumps(tag)}\nalive = true\n" for tag in device.alive]
    return "\n".join(
        [
            "# The agent of this device. After a change: systemctl restart kener-agent",
            "# `[agent]` of the reference has every setting and every kind of check.",
            "[agent]",
            f"servers = {json.dumps(list(device.servers))}",
            "".join(checks),
        ]
    )


def removal(places: Places, *, purge: bool) -> list[InstallStep]:
    """The steps that uninstall; configuration, token and spool are kept unless `purge`."""
    packaged = places.is_packaged(AGENT)
    is_shared = packaged or places.unit(SERVICE).exists()
    steps = []
    if packaged and places.has_systemd:
        steps.append(systemctl("disable", "--now", AGENT))
    if packaged:
        steps.append(_packaged_step(places))
    steps += removal_steps(places, [AGENT], folders(places), is_shared=is_shared, purge=purge)
    if user(places).exists():
        steps.append(InstallStep(f"remove {user(places)} (the user is kept)", user(places).unlink))
    return steps
