"""Simulated devices report over HTTP while the demo runs, as real devices do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import click
from aiohttp import ClientError, ClientSession, ClientTimeout, web

from kener_async import keys
from kener_async.clock import system_clock
from kener_async.demo.devices import DemoDevice, SimulatedDevice
from kener_async.domain.calendar import DAY, minute_of
from kener_async.domain.samples import Status
from kener_async.worker.background import background


def reporting(
    devices: Sequence[SimulatedDevice], url: str, token: str, welcome: str
) -> Callable[[web.Application], AbstractAsyncContextManager[None]]:
    """A cleanup context in which the devices report from when the service responds until it stops."""

    @asynccontextmanager
    async def reporting(app: web.Application) -> AsyncIterator[None]:
        await app[keys.LOADER].roll()  # count the generated history before the first visitor comes
        async with background(_report_all(devices, url, token, welcome), "devices"):
            yield

    return reporting


async def _report_all(devices: Sequence[SimulatedDevice], url: str, token: str, welcome: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with ClientSession(url, headers=headers, timeout=ClientTimeout(total=10)) as session:
        while not await _is_listening(session):  # noqa: ASYNC110 - a request is the only way to find out
            await asyncio.sleep(0.1)
        click.echo(welcome)
        await asyncio.gather(*(_keep_reporting(session, device) for device in devices))


async def _is_listening(session: ClientSession) -> bool:
    try:
        async with session.get("/healthz") as reply:
            return reply.status == 200
    except (ClientError, TimeoutError):
        return False


async def _keep_reporting(session: ClientSession, device: SimulatedDevice) -> None:
    await asyncio.sleep(_first_pause(device.profile))
    while True:
        await _send(session, device)
        missed = device.rng.choice((0, 0, 0, 0, 0, 9)) if device.is_flaky else 0
        await asyncio.sleep(device.profile.recent_every * (1 + missed))


def _first_pause(device: DemoDevice) -> int:
    """The seconds until the first report: a daily device waits for its hour."""
    return (device.offset - system_clock()) % DAY if device.recent_every >= DAY else 0


async def _send(session: ClientSession, device: SimulatedDevice) -> None:
    """Send the current measurement; a failed request is not repeated before the next report."""
    report = device.measure(minute_of(system_clock()))
    if report is None:
        return
    status, latency = report
    if device.is_flaky and device.rng.random() < 0.2:
        status, latency = Status.DEGRADED, latency * 10
    body = {"tag": device.profile.tag, "status": status.name, "latency": round(latency, 3)}
    with suppress(ClientError, TimeoutError):
        async with session.post("/api/status", json=body) as reply:
            await reply.read()
