"""Hostile targets: each kind ends in time, holds neither the loop nor memory, and nothing is left open.

`--checks N` looks at good and bad targets N times more, and compares files, memory and tasks.
"""

import argparse
import asyncio
import ctypes
import gc
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import uvloop

from kener_async.domain.checks import Obstacle
from kener_async.probes.vantage import Vantage, VantageSettings
from tests.rigs.hostile_targets import KINDS, Outcome, hostile_process, looked_at

TIMEOUT = 1.0
LATE = 0.1  # seconds that an attempt may end after its time
HELD = 0.02  # seconds
MORE_MEMORY = 5 << 20  # bytes
QUICK = (
    "only-418",
    "chunks-0",
    "reset-at-50",
    "close-at-99",
    "redirect-3",
    "nothing",
    "length-_b__1__",
    "ok",
)
FIRST = (
    "ok",
    "gzip-bomb",
    "endless-body",
    "megabyte-of-digits",
    "redirect-20",
    "redirect-22",
    "status-b_abc_",
)
AT_ONCE = 16


def faults_of(outcome: Outcome, late: float = LATE) -> list[str]:
    """What is wrong with an outcome; `late` are the seconds that it may end after its time."""
    faults = []
    if outcome.seconds > TIMEOUT + late:
        faults.append(f"took {outcome.seconds:.2f} s")
    if outcome.held > HELD:
        faults.append(f"held the loop for {outcome.held * 1000:.0f} ms")
    if outcome.attempt.obstacle is Obstacle.DEFECT:
        faults.append(outcome.attempt.reason)
    return faults


async def every_kind() -> int:
    """Look at every kind; returns how many faults there are."""
    async with hostile_process() as port, Vantage.opened(VantageSettings()) as vantage:
        await looked_at(FIRST, port, vantage, TIMEOUT)  # so that everything is loaded
        before = settled_memory()
        outcomes = await looked_at(KINDS, port, vantage, TIMEOUT)
        grown = settled_memory() - before
    for status, count in Counter(str(each.attempt.status) for each in outcomes).items():
        print(f"  {count:4d} {status}")
    faults = [f"{each.kind}: {fault}" for each in outcomes for fault in faults_of(each)]
    if grown > MORE_MEMORY:
        faults.append(f"took {grown >> 20} MB")
    print(f"{len(outcomes)} kinds, {grown / (1 << 20):.1f} MB more, {len(faults)} faults")
    print(f"  longest held: {max(each.held for each in outcomes) * 1000:.1f} ms")
    for fault in faults:
        print(f"  {fault}")
    return len(faults)


async def leaks(count: int) -> int:
    """Look at a few kinds very often; returns how many faults there are."""
    async with hostile_process() as port, Vantage.opened(VantageSettings()) as vantage:
        share = [QUICK] * -(-count // (AT_ONCE * len(QUICK) * 10))
        await many(share[:1], port, vantage)
        files, tasks, before = open_files(), len(asyncio.all_tasks()), memory()
        began = time.monotonic()
        for _ in range(10):
            await many(share, port, vantage)
        made = len(share) * len(QUICK) * AT_ONCE * 10
        gc.collect()
        await asyncio.sleep(0.5)
        grown, left = memory() - before, len(asyncio.all_tasks()) - tasks
        opened = open_files() - files
    print(
        f"{made} checks in {time.monotonic() - began:.0f} s: "
        f"{opened:+d} files, {left:+d} tasks, {grown >> 10:+d} KB"
    )
    return (abs(opened) > 5) + (left != 0) + (grown > MORE_MEMORY)


async def many(kinds: Sequence[Sequence[str]], port: int, vantage: Vantage) -> None:
    async def one() -> None:
        for each in kinds:
            await looked_at(each, port, vantage, TIMEOUT)

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def memory() -> int:
    """The bytes of memory in use now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def settled_memory() -> int:
    """The bytes of memory in use when what is free has been given back."""
    gc.collect()
    with suppress(AttributeError, OSError):  # of another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    return memory()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=0)
    arguments = parser.parse_args()
    faults = uvloop.run(every_kind())
    if arguments.checks:
        faults += uvloop.run(leaks(arguments.checks))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
