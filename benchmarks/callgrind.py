"""The instructions that a server executes for each request, counted by callgrind (valgrind).

Unlike times they repeat to within one percent on a machine however busy. Only those of the program count,
not those of the kernel. Under callgrind a server is some 50 times slower, and starts within a minute or two.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.servers import Server, wrk

SECONDS = 10  # of load; what is under way at its end is below a hundredth


def command(folder: Path) -> Sequence[str]:
    """The command that executes a server; its counts go to the folder."""
    return ("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.%p")


def instructions(
    server: Server, folder: Path, what: str, monitors: int, begin: int, *, is_new_each: bool
) -> int:
    """Instructions for each request of such a load."""
    wrk(server, what, monitors, SECONDS // 2, begin, is_new_each=is_new_each)
    _control(server, "--zero")
    seen = wrk(server, what, monitors, SECONDS, begin + 86400, is_new_each=is_new_each)
    before = set(folder.glob("callgrind.*"))
    _control(server, "--dump")
    (dump,) = set(folder.glob("callgrind.*")) - before
    found = re.search(r"^totals: (\d+)", dump.read_text(), re.MULTILINE)
    assert found is not None, dump
    return int(found[1]) // (seen.answered + seen.failed)


def _control(server: Server, order: str) -> None:
    subprocess.run(
        ["callgrind_control", order, str(server.process.pid)], check=True, capture_output=True, text=True
    )
