"""What checks are compared to: the same GETs by bare aiohttp, each by a new connection.

Arguments: the port of the targets (benchmarks/check_targets.py) and the time-out in seconds; then the path of
each, which is asked for once a minute, until it is stopped.
"""

import asyncio
import sys
import time

import aiohttp
import uvloop


async def get(session: aiohttp.ClientSession, url: str) -> None:
    """One check, without a verdict."""
    try:
        async with session.get(url) as reply:
            reply.raise_for_status()
    except TimeoutError:
        return


async def main() -> None:
    port, seconds, *paths = sys.argv[1:]
    timeout = aiohttp.ClientTimeout(total=float(seconds))
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        due, under_way = time.monotonic(), set()
        while True:
            for path in paths:
                due += 60 / len(paths)
                await asyncio.sleep(due - time.monotonic())
                task = asyncio.create_task(get(session, f"http://127.0.0.1:{port}/{path}"))
                under_way.add(task)
                task.add_done_callback(under_way.discard)


if __name__ == "__main__":
    uvloop.run(main())
