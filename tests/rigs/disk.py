"""A small file system that tests fill, make read-only and free again."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def may_mount() -> bool:
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0


class SmallDisk:
    """A file system of its own in memory, seen by a namespace that lives until `close`."""

    def __init__(self, point: Path, size: str) -> None:
        point.mkdir()
        mount = f'mount -t tmpfs -o size={size} tmpfs "$0" && echo mounted && exec sleep 600'
        self._holder = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", mount, str(point)], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"mounted\n"
        self.within = ["nsenter", "-t", str(self._holder.pid), "-U", "-m", "--preserve-credentials"]
        self.point = point
        self.seen = Path(f"/proc/{self._holder.pid}/root{point}")  # the same files, from here
        self._ballast = self.seen / "ballast"

    def fill(self) -> None:
        with open(self._ballast, "ab", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(65536))
        with open(self._ballast, "ab", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(512))

    def free(self) -> None:
        self._ballast.unlink()

    def make_read_only(self) -> None:
        subprocess.run([*self.within, "mount", "-o", "remount,ro", str(self.point)], check=True)

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    disk = SmallDisk(folder / "disk", size)
    try:
        yield disk
    finally:
        disk.close()
