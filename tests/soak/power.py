"""Cut the power under load: with FULL no acknowledged sample is lost; with NORMAL the same rig loses some.

    python -m tests.soak.power --cuts 30 --proof 15 --upgrades 10

The server starts on a database of schema 7 with days of samples, which it seals meanwhile, and what the load
reports is soon older than what is sealed. Then the power is cut while a server upgrades such a database.

The database is on an ext4 image on a loop device. A cut stops the server, shuts the file system down without
writing back cached data, and mounts it again, which replays its journal. Needs root, ext4 and xfs_io (Debian:
xfsprogs). Disks that report a flush too early are not simulated.
"""

import argparse
import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.rigs import old_file
from tests.rigs.old_file import DAY, HASTY
from tests.rigs.process import MINUTE, Comparison, Senders, Sent, Server, a_config, compare, integrity

TAGS = [f"m{number:02d}" for number in range(40)]
OLD = 10  # of the monitors have samples of before the upgrade
DAYS = 12
IMAGE_SIZE = "256M"


@dataclass
class Report:
    synchronous: str
    cuts: int = 0
    acked: int = 0
    cuts_with_loss: int = 0
    lost: int = 0
    worst: int = 0
    phantom: int = 0
    odd: int = 0
    checks: list[str] = field(default_factory=list)

    def add(self, sent: Sent, comparison: Comparison, check: str) -> None:
        self.cuts += 1
        self.acked = len(sent.acked) + self.lost
        self.odd = len(sent.odd)
        for key in comparison.lost:
            del sent.acked[key]  # counted once
        self.cuts_with_loss += bool(comparison.lost)
        self.lost += len(comparison.lost)
        self.worst = max(self.worst, len(comparison.lost))
        self.phantom += len(comparison.phantom)
        self.checks.append(check)

    @property
    def is_ok(self) -> bool:
        return not self.phantom and not self.odd and set(self.checks) == {"ok"}

    def row(self) -> str:
        bad = sum(check != "ok" for check in self.checks)
        return (
            f"{self.synchronous:8} {self.cuts:6} {self.acked:9} {self.cuts_with_loss:10} "
            f"{self.lost:7} {self.worst:7} {self.phantom:8} {self.odd:5} {bad:8}"
        )


HEADING = "sync       cuts     acked  with loss    lost   worst  phantom   odd  damaged"


class Disk:
    """An ext4 image, mounted; whatever happens, nothing of it is left behind."""

    def __init__(self, image: Path, point: Path) -> None:
        self.image = image
        self.point = point

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self.image), str(self.point))

    def unmount(self) -> None:
        _run("umount", str(self.point))

    def cut_power(self) -> None:
        """From now on nothing reaches the image, neither data nor the journal."""
        _run("xfs_io", "-x", "-c", "shutdown", str(self.point))

    def restore_power(self) -> None:
        """Mount what has reached the image, copied: another mount namespace may still hold the first one."""
        self.unmount()
        copy = self.image.with_name(f"{self.image.name}-")
        _run("cp", "--sparse=always", str(self.image), str(copy))
        self.image.unlink()
        self.image = copy
        self.mount()


@contextmanager
def ext4(folder: Path) -> Iterator[Disk]:
    """A disk in memory; `folder` is where it is mounted."""
    with tempfile.TemporaryDirectory(prefix="kener-power-", dir="/dev/shm") as images:
        image = Path(images, "image")
        _run("truncate", "-s", IMAGE_SIZE, str(image))
        _run("mkfs.ext4", "-qF", str(image))
        folder.mkdir(exist_ok=True)
        disk = Disk(image, folder)
        disk.mount()
        try:
            yield disk
        finally:
            # The device goes with its mount; a lazy unmount is for what still holds the first one.
            with suppress(subprocess.CalledProcessError):
                disk.unmount()
            if folder.is_mount():
                _run("umount", "-l", str(folder))


def is_possible() -> bool:
    """Whether this machine has what the rig needs: root, ext4, a loop device, and xfs_io."""
    if os.geteuid() != 0 or shutil.which("xfs_io") is None or shutil.which("mkfs.ext4") is None:
        return False
    with tempfile.TemporaryDirectory(prefix="kener-power-") as folder:
        try:
            with ext4(Path(folder, "disk")):
                return True
        except (subprocess.SubprocessError, OSError):
            return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)


async def run(folder: Path, cuts: int, synchronous: str, chance: random.Random) -> Report:
    """Cut after cut on one disk: what was acknowledged before the first must be there after the last."""
    report = Report(synchronous)
    settings = {"database": {"synchronous": synchronous}, "rollups": {"interval_seconds": 1}}
    with ext4(folder / "disk") as disk:
        database = folder / "disk" / "kener.db"
        now = int(time.time())
        stored = old_file.make(database, TAGS[:OLD], DAYS, now)
        with Server(folder, a_config(settings, TAGS), database=database, fault=HASTY) as server:
            await asyncio.to_thread(server.start, 120)
            await asyncio.to_thread(server.stop, 120)
            token = server.add_token()
            # The monitors that have no older samples, so that each key is sent once.
            senders = Senders(
                server.port, token, TAGS[OLD:], clients=16, newest=now // DAY * DAY - 2 * DAY + 30 * MINUTE
            )
            senders.sent.acked |= stored
            for _ in range(cuts):
                await asyncio.to_thread(server.start, 120)
                await _load_until_cut(server, disk, senders, chance.uniform(0.5, 3))
                disk.restore_power()
                report.add(senders.sent, compare(database, senders.sent), integrity(database))
    return report


async def run_upgrades(folder: Path, cuts: int, chance: random.Random) -> Report:
    """Cut after cut while a server migrates a database of schema 7 and begins to seal its samples."""
    report = Report("upgrade")
    with ext4(folder / "disk") as disk:
        database = folder / "disk" / "kener.db"
        for _ in range(cuts):
            for left in database.parent.glob("kener.db*"):
                left.unlink()
            sent = Sent(acked=old_file.make(database, TAGS[:OLD], DAYS, int(time.time())))
            _run("sync")
            with Server(folder, a_config({}, TAGS[:OLD]), database=database, fault=HASTY) as server:
                server.launch()
                await asyncio.sleep(chance.uniform(0.3, 2.5))
                await asyncio.to_thread(server.freeze)
                disk.cut_power()
                server.kill()
                disk.restore_power()
                # A file just switched to a write-ahead log may have none yet, and only writers make one.
                with closing(sqlite3.connect(database)) as writer:
                    writer.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                    found = compare(database, sent)
                await asyncio.to_thread(server.start, 120)
                await asyncio.to_thread(server.stop, 120)
                after = compare(database, sent)
                report.add(sent, after if found.is_ok else found, integrity(database))
                report.checks += server.run("verify", "--quick").stdout.splitlines()
    return report


async def _load_until_cut(server: Server, disk: Disk, senders: Senders, seconds: float) -> None:
    async with senders.running():
        await asyncio.sleep(seconds)
        # Stopped first: a flush under way when the file system goes is neither done nor failed.
        await asyncio.to_thread(server.freeze)
        await asyncio.sleep(0.05)  # answers that were on their way arrive
        await asyncio.to_thread(disk.cut_power)
        await asyncio.to_thread(server.kill)


def _in_a_folder(cuts: int, synchronous: str, chance: random.Random) -> Report:
    with tempfile.TemporaryDirectory(prefix="kener-power-") as folder:
        return asyncio.run(run(Path(folder), cuts, synchronous, chance))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cuts", type=int, default=30, help="with FULL")
    parser.add_argument("--proof", type=int, default=15, help="with NORMAL, which must lose")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--upgrades", type=int, default=10, help="cuts while a database is upgraded")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(f"seed {options.seed}")
    print(HEADING)
    full = _in_a_folder(options.cuts, "FULL", chance)
    print(full.row(), flush=True)
    normal = _in_a_folder(options.proof, "NORMAL", chance)
    print(normal.row())
    with tempfile.TemporaryDirectory(prefix="kener-power-") as folder:
        upgrades = asyncio.run(run_upgrades(Path(folder), options.upgrades, chance))
    print(upgrades.row())
    if normal.lost == 0:
        print("FAILED: NORMAL lost nothing, so this rig shows nothing")
        return 1
    ok = full.lost == upgrades.lost == 0 and full.acked > 0 and full.is_ok and normal.is_ok and upgrades.is_ok
    print("OK" if ok else "FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
