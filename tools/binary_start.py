"""Start the program in the single binary.

The binary runs as two processes: the parent unpacks to a temporary folder in $TMPDIR, waits, forwards
signals, and removes the folder; its child, this process, is Python. When the parent is killed, the child must
end and the folder must be removed too.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
MARK = "kener-async.running"  # locked while the process that uses its folder runs


def _mark_as_used(folder: Path) -> int:
    """The descriptor that holds the lock."""
    draft = folder / f".{MARK}"
    descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    draft.rename(folder / MARK)  # only now, so that it is never visible unlocked
    return descriptor


def _remove_unused(folders: Path) -> None:
    """What programs left that were killed."""
    for mark in folders.glob(f"_MEI*/{MARK}"):
        with suppress(OSError):
            if mark.parent.lstat().st_uid == os.getuid():
                with open(mark, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(mark.parent)


unpacked = Path(sys._MEIPASS)  # type: ignore[attr-defined]
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
held = _mark_as_used(unpacked)
_remove_unused(unpacked.parent)
sys.path.append(str(unpacked / "tzdata.zip"))  # the time zones, for a system that has none
