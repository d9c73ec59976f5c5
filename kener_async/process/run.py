"""Run the service: event loop, logs, app, exit status."""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress

import structlog

from kener_async import log as logs
from kener_async.app import apply, create_app
from kener_async.config.load import ConfigError
from kener_async.config.model import Config
from kener_async.domain.errors import Unavailable
from kener_async.errors import FatalError
from kener_async.process.server import serve

log = structlog.get_logger(__name__)

# How long a thread keeps the interpreter while another waits for it: the writer must not wait 5 ms, Python's
# default, each time it needs it while the loop renders pages.
SWITCH_SECONDS = 0.0005
# How often the garbage collector runs: rarely over all objects, which are many, long-lived, without cycles,
# because with thousands of monitors a full run stops the loop for a third of a second.
GARBAGE_THRESHOLDS = (2000, 20, 10_000)
# The arenas of malloc. Without a bound each thread gets one of its own, and memory freed in one is not
# used by another: the holes in six of them took 120 MB with 1,000 monitors.
ARENAS = 2
M_ARENA_MAX = -8  # malloc.h of glibc


def run(config: Config, read_again: Callable[[], Config], announce: Callable[[int], None]) -> int:
    """Serve until stopped; returns 1, and logs why, when it could not start or stop in order.

    `announce` is called with the port once connections are accepted.
    """
    logs.configure(config.log)
    if config.ignored_variables:
        log.warning("environment variables are ignored, they set nothing", names=config.ignored_variables)
    _warn(config)
    _share_arenas()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(config, read_again, announce))
    except (FatalError, Unavailable) as fault:
        log.critical("cannot start", reason=str(fault))
    except OSError as error:
        log.critical("cannot start", reason=f"{config.server.host}:{config.server.port}: {error.strerror}")
    return 1


def _share_arenas() -> None:
    """Bound the arenas of malloc before the first thread gets one; C libraries other than glibc have none."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def _warn(config: Config) -> None:
    for text in config.warnings:
        log.warning("the configuration is valid and hardly meant", setting=text)


async def _serve(config: Config, read_again: Callable[[], Config], announce: Callable[[int], None]) -> int:
    app = create_app(config)

    async def reload() -> None:
        try:
            # In a thread: because validating thousands of monitors would stop the loop for a second.
            new = await asyncio.to_thread(read_again)
            await apply(app, new)
            log.info("configuration reloaded")
            _warn(new)
        except ConfigError as fault:
            log.error("the new configuration is not used; the old one stays", problems=fault.problems)
        except Unavailable as error:
            log.error("the new configuration is not used; the old one stays", problems=[error.message])

    return await serve(app, config, reload, announce)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
