"""Probes that are cancelled at any instant leave no socket and no task."""

import asyncio
import os
import random
import ssl
from contextlib import suppress
from pathlib import Path

from kener_async.probes.probe import NoAnswer, NotMeasured, Trace
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import (
    DnsTarget,
    GreetingTarget,
    PingTarget,
    Target,
    TcpTarget,
    TlsTarget,
    UdpTarget,
)
from kener_async.probes.vantage import Vantage, VantageSettings
from tests.rigs.certificates import Authority
from tests.rigs.icmp import may_ping
from tests.rigs.looks import a_check
from tests.rigs.name_server import name_server
from tests.rigs.scripted_server import UPGRADE, Step, scripted_server

ROUNDS = 60  # of each target
ANSWERS: dict[bytes, list[Step]] = {
    b"EHLO": [b"250-mail\r\n250 STARTTLS\r\n"],
    b"STARTTLS": [b"220 go\r\n", UPGRADE],
    b"QUIT": [b"221 bye\r\n"],
}


async def settled(before: int) -> int:
    """The open files, once there are no more than before, or after a while."""
    for _ in range(100):
        if len(os.listdir("/proc/self/fd")) <= before:
            break
        await asyncio.sleep(0.02)
    return len(os.listdir("/proc/self/fd"))


async def test_nothing_is_left_open(tmp_path: Path):
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.certificate())
    instants = random.Random(7)
    async with (
        scripted_server([b"220 ready\r\n"], ANSWERS, context) as mail,
        name_server() as names,
        Vantage.opened(VantageSettings()) as vantage,
    ):
        server = f"127.0.0.1:{names.port}"
        targets: list[Target] = [
            TcpTarget("127.0.0.1", mail.port, b"EHLO\r\n"),
            UdpTarget("127.0.0.1", names.port, b"\0" * 12),
            DnsTarget("example.org", "MX", server),
            DnsTarget("example.org", "MX", f"tls://{server}"),
            TlsTarget("127.0.0.1", mail.port, "smtp"),  # whose certificate is looked at once more
            GreetingTarget("smtp", "127.0.0.1", mail.port),
        ]
        if may_ping(4):
            targets.append(PingTarget("127.0.0.1"))
        for target in targets:  # what is made once: contexts, threads
            await looked(target, vantage, 0.1)
        before = await settled(0)
        for target in targets:
            for _ in range(ROUNDS):
                await looked(target, vantage, instants.random() ** 3 * 0.03)
        assert await settled(before) <= before
        tasks = {task for task in asyncio.all_tasks() if "look" in repr(task)} - {asyncio.current_task()}
        assert not tasks


async def looked(target: Target, vantage: Vantage, seconds: float) -> None:
    """Look until the time is over."""
    check = a_check(target, expect=['answer contains "never"'])
    with suppress(TimeoutError, NoAnswer, NotMeasured, OSError):
        async with asyncio.timeout(seconds):
            await probe_of(check, vantage).look(Trace())
