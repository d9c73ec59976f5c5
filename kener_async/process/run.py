"""One run of the service: loop, logs, app, exit status."""

import asyncio
import gc
import sys
from collections.abc import Callable

import structlog

from kener_async import log as logs
from kener_async.app import apply, create_app
from kener_async.config.load import ConfigError
from kener_async.config.model import Config
from kener_async.domain.errors import Unavailable
from kener_async.errors import FatalError
from kener_async.process.server import serve

log = structlog.get_logger(__name__)

# How long a thread may compute while another wants to: the writer must not wait 5 ms, Python's default, each
# time it needs the interpreter while the loop is busy with visitors.
SWITCH_SECONDS = 0.0005
# When the collector looks for cycles: rarely at all objects, which are many, long-lived and free of cycles.
# With thousands of monitors a look takes a third of a second, in which nobody is answered.
GARBAGE_THRESHOLDS = (2000, 20, 10_000)


def run(config: Config, read_again: Callable[[], Config]) -> int:
    """Serve until stopped; 1 when it could not start or had to give up, with one line that says why."""
    logs.configure(config.log)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_served(config, read_again))
    except (FatalError, Unavailable) as fault:
        log.critical("cannot start", reason=str(fault))
    except OSError as error:
        log.critical("cannot start", reason=f"{config.server.host}:{config.server.port}: {error.strerror}")
    return 1


async def _served(config: Config, read_again: Callable[[], Config]) -> int:
    app = create_app(config)

    async def reload() -> None:
        try:
            await apply(app, read_again())
            log.info("configuration reloaded")
        except ConfigError as fault:
            log.error("the new configuration is not used; the old one stays", faults=fault.problems)
        except Unavailable as error:
            log.error("the new configuration is not used; the old one stays", faults=[error.message])

    return await serve(app, config, reload)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
