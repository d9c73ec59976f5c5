"""The devices of the demo while it runs: they report over HTTP, as any device does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import click
from aiohttp import ClientError, ClientSession, ClientTimeout, web

from kener_async import keys
from kener_async.clock import system_clock
from kener_async.demo.devices import DemoDevice, DemoReport
from kener_async.domain.calendar import DAY, minute_of
from kener_async.domain.samples import Status


def reporting(
    lines: Sequence[DemoReport], url: str, token: str, welcome: str
) -> Callable[[web.Application], AbstractAsyncContextManager[None]]:
    """The devices, which report from when the service answers until it stops."""

    @asynccontextmanager
    async def reporting(app: web.Application) -> AsyncIterator[None]:
        await app[keys.LOADER].roll()  # all of the past is counted before the first visitor comes
        task = asyncio.create_task(_report_all(lines, url, token, welcome), name="devices")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return reporting


async def _report_all(lines: Sequence[DemoReport], url: str, token: str, welcome: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with ClientSession(url, headers=headers, timeout=ClientTimeout(total=10)) as session:
        while not await _is_listening(session):  # noqa: ASYNC110 - only an answer tells that it listens
            await asyncio.sleep(0.1)
        click.echo(welcome)
        await asyncio.gather(*(_keep_reporting(session, line) for line in lines))


async def _is_listening(session: ClientSession) -> bool:
    try:
        async with session.get("/healthz") as reply:
            return reply.status == 200
    except (ClientError, TimeoutError):
        return False


async def _keep_reporting(session: ClientSession, line: DemoReport) -> None:
    await asyncio.sleep(_first_pause(line.device))
    while True:
        await _send(session, line)
        missed = line.dice.choice((0, 0, 0, 0, 0, 9)) if line.is_flaky else 0
        await asyncio.sleep(line.device.often * (1 + missed))


def _first_pause(device: DemoDevice) -> int:
    """One that reports once a day waits for its hour."""
    return (device.offset - system_clock()) % DAY if device.often >= DAY else 0


async def _send(session: ClientSession, line: DemoReport) -> None:
    """Send what the device measures now; if the server cannot be reached, the next report is the next try."""
    report = line.report(minute_of(system_clock()))
    if report is None:
        return
    status, latency = report
    if line.is_flaky and line.dice.random() < 0.2:
        status, latency = Status.DEGRADED, latency * 10
    body = {"tag": line.device.tag, "status": status.name, "latency": round(latency, 3)}
    with suppress(ClientError, TimeoutError):
        async with session.post("/api/status", json=body) as reply:
            await reply.read()
