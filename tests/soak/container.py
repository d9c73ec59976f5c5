"""Test the Containerfile without an engine: execute its steps in Debian trees, and run the result.

python -m tests.soak.container

The result runs as the image specifies: its user, its environment, its command; a read-only file system but
for the volume, no capabilities. Needs root. Only the instructions that the file uses are supported.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError

from tests.rigs.process import ROOT, a_free_port
from tests.soak.binary import bare_debian

BASE = "docker.io/library/debian:bookworm-slim"
# How the network is reached from inside, by the place in the tree.
SHARED = {
    "etc/resolv.conf": "/etc/resolv.conf",
    "etc/pip.conf": "/etc/pip.conf",
    "root/pip.crt": os.environ.get("PIP_CERT", ""),
}


@dataclass
class Stage:
    """One FROM, and what the instructions after it say."""

    root: Path
    workdir: str = "/"
    user: str = "0:0"
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    volumes: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)

    def inside(self, path: str) -> Path:
        return self.root / str(Path(self.workdir, path))[1:]

    def run(self, line: str) -> None:
        enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" env -i -C "$@"'
        given = [f"{name}={value}" for name, value in self.environment.items()]
        if (self.root / "root/pip.crt").exists():
            given.append("PIP_CERT=/root/pip.crt")
        words = [str(self.root), self.workdir, *given, "DEBIAN_FRONTEND=noninteractive", "sh", "-c", line]
        subprocess.run(
            ["unshare", "--mount", "sh", "-c", enter, *words], check=True, stdout=subprocess.DEVNULL
        )

    def copy(self, words: list[str], stages: dict[str, "Stage"]) -> None:
        source = stages[words.pop(0).partition("=")[2]].root if words[0].startswith("--from=") else ROOT
        *names, target = words
        for name in names:
            path = source / name.lstrip("/")
            place = self.inside(f"{target}{path.name}" if target.endswith("/") else target)
            place.parent.mkdir(parents=True, exist_ok=True)
            command = [
                "cp",
                "-a",
                "--no-preserve=ownership",
                f"{path}/." if path.is_dir() else path,
                place,
            ]
            subprocess.run(command, check=True)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each with what follows it."""
    for line in text.replace("\\\n", " ").splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def built(folder: Path) -> Stage:
    """The last stage, carried out."""
    stages: dict[str, Stage] = {}
    stage = Stage(folder)
    for word, rest in instructions((ROOT / "Containerfile").read_text()):
        print("      ", word, rest[:90], flush=True)
        match word:
            case "FROM":
                base, _, name = rest.partition(" AS ")
                stage = stages[name] = Stage(folder / (name or "image"))
                if base != BASE:
                    raise ValueError(f"unknown: {base}")
                subprocess.run(["cp", "-a", bare_debian("bookworm"), stage.root], check=True)
                for place, shared in SHARED.items():
                    if os.path.exists(shared):
                        shutil.copy(shared, stage.root / place)
            case "RUN":
                stage.run(rest)
            case "COPY":
                stage.copy(shlex.split(rest), stages)
            case "ENV":
                name, _, value = rest.partition("=")
                stage.environment[name] = value
            case "WORKDIR":
                stage.workdir = rest
                stage.inside("").mkdir(parents=True, exist_ok=True)
            case "USER":
                stage.user = rest
            case "VOLUME":
                stage.volumes.append(rest)
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "CMD":
                stage.cmd = json.loads(rest)
            case "EXPOSE":
                pass
            case _:
                raise ValueError(f"unknown: {word}")
    return stage


def command(stage: Stage, words: list[str], port: int) -> list[str]:
    """As the image's user, without capabilities, on a file system that is read-only but for its volumes."""
    writable = " && ".join(f'mount --bind ".{volume}" ".{volume}"' for volume in stage.volumes)
    enter = (
        f'mount --bind "$0" "$0" && cd "$0" && {writable} && mount -t proc proc proc '
        '&& mount -o remount,bind,ro . && exec chroot . setpriv "$@"'
    )
    user, _, group = stage.user.partition(":")
    drop = [f"--reuid={user}", f"--regid={group}", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]
    given = [
        f"{name}={value}" for name, value in (stage.environment | {"KENER_SERVER_PORT": str(port)}).items()
    ]
    inside = ["env", "-i", "-C", stage.workdir, *given, *stage.entrypoint, *words]
    return ["unshare", "--mount", "sh", "-c", enter, str(stage.root), *drop, *inside]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="kener-container-", dir=ROOT / "build") as name:
        stage = built(Path(name))
        port = a_free_port()
        server = subprocess.Popen(command(stage, stage.cmd, port), stderr=subprocess.PIPE, text=True)
        try:
            page = _page(server, port)
        finally:
            server.terminate()
            log = server.communicate()[1]
    ok = "<html" in page and server.returncode == 0
    print(log if not ok else "OK: it serves as its user on a read-only file system, and stops on SIGTERM")
    return 0 if ok else 1


def _page(server: "subprocess.Popen[str]", port: int) -> str:
    while server.poll() is None:
        with suppress(URLError), urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            return str(answer.read().decode())
        time.sleep(0.05)
    return ""


if __name__ == "__main__":
    sys.exit(main())
