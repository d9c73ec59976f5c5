"""Attempts in a process that has no file descriptor left; prints what each was not measured for.

python -m tests.rigs.without_files HOST:PORT
"""

import asyncio
import os
import resource
import sys
from contextlib import suppress

from kener_async.domain.checks import Attempt, CheckTiming
from kener_async.probes.attempt import attempt
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import (
    CheckSettings,
    DnsTarget,
    GreetingTarget,
    HttpTarget,
    PingTarget,
    Target,
    TcpTarget,
    TlsTarget,
    UdpTarget,
    WebSocketTarget,
)
from kener_async.probes.vantage import Vantage, VantageSettings


def targets(host: str, port: int) -> list[Target]:
    return [
        HttpTarget(f"http://{host}:{port}/"),
        HttpTarget(f"https://{host}:{port}/"),
        HttpTarget(f"http://localhost:{port}/"),
        HttpTarget("http://surely.gone.example/"),
        HttpTarget(f"http://{host}:{port}/", proxy=f"http://{host}:{port}"),
        WebSocketTarget(f"ws://{host}:{port}/"),
        TcpTarget(host, port),
        UdpTarget(host, port, b"a"),
        PingTarget(host, 1),
        TlsTarget(host, port),
        DnsTarget("example.org", "A", f"{host}:{port}"),
        GreetingTarget("smtp", host, port),
    ]


async def main(host: str, port: int) -> None:
    async with Vantage.opened(VantageSettings()) as vantage:
        checks = [CheckSettings("earth", each, CheckTiming(60, 2.0)) for each in targets(host, port)]
        probes = [probe_of(check, vantage) for check in checks]
        await attempt(checks[0], probes[0], 0, vantage)  # so that everything is loaded
        await vantage.names.resolve("localhost")
        made = await _without_files(checks, probes, vantage)
    for check, each in zip(checks, made, strict=True):
        print(f"{type(check.target).__name__} {each.status} {each.obstacle} {each.reason}")


async def _without_files(checks, probes, vantage) -> list[Attempt]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    taken: list[int] = []
    with suppress(OSError):
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    try:
        return [await attempt(check, probe, 0, vantage) for check, probe in zip(checks, probes, strict=True)]
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


if __name__ == "__main__":
    address, _, number = sys.argv[1].partition(":")
    asyncio.run(main(address, int(number)))
