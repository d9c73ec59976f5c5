"""Structured logs on standard error: JSON, or readable lines on a terminal."""

import json
import logging
import re
import sys
from collections.abc import Callable
from contextvars import ContextVar
from time import monotonic
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from kener_async.config.model import LogConfig

# Libraries that log each of their steps at debug, or at info what our own lines say.
CHATTY = ("aiosqlite", "apscheduler", "asyncio", "aiohttp")
MAX_VALUE = 2000  # characters of a value; a traceback may have more
# What can end a line or is taken as a command by a terminal.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


def configure(settings: LogConfig) -> None:
    """Configure our logs and those of the libraries alike; once, at the start of the program."""
    level = getattr(logging, settings.level.upper())
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
        _shorten,
    ]
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dump)]
        if as_json
        else [
            structlog.processors.format_exc_info,
            _escape,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    handler.addFilter(LibraryLimit())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class LineRate:
    """A rate of lines a second with a burst, by the generic cell rate algorithm."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._full_at = 0.0  # when the whole burst is available again

    def admits(self) -> bool:
        """Count a line, if it is within the rate."""
        now = self._clock()
        if self._full_at - now > (self._burst - 1) / self._rate:
            return False
        self._full_at = max(self._full_at, now) + 1 / self._rate
        return True


class LibraryLimit(logging.Filter):
    """Limit the lines of libraries, such as asyncio's while there are no file descriptors left."""

    def __init__(self) -> None:
        super().__init__()
        self._rates: dict[str, LineRate] = {}
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        name = record.name.partition(".")[0]
        if name == "kener_async":
            return True
        if not self._rates.setdefault(name, LineRate(1, 20)).admits():
            self._left_out[name] = self._left_out.get(name, 0) + 1
            return False
        if left_out := self._left_out.pop(name, 0):
            record.msg, record.args = f"{record.getMessage()} ({left_out} lines before were left out)", ()
        return True


def _shorten(_: Any, __: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str) and len(value) > MAX_VALUE and name != "exception":
            event[name] = f"{value[:MAX_VALUE]}... ({len(value)} characters)"
    return event


def _escape(_: Any, __: str, event: EventDict) -> EventDict:
    """Escape what could end a line or control a terminal; a traceback keeps its lines."""
    return {
        name: _escaped_lines(value) if name == "exception" else _escaped(value)
        for name, value in event.items()
    }


def _escaped(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value))


def _escaped_lines(text: str) -> str:
    return "\n".join(map(_escaped, text.split("\n")))


def _add_request_id(_: Any, __: str, event: EventDict) -> EventDict:
    request_id = REQUEST_ID.get()
    if request_id:
        event["request_id"] = request_id
    return event


def _dump(event: EventDict, **_: Any) -> str:
    # Escaped to ASCII, because then no value can end a line or send control characters to a terminal.
    return json.dumps(event, default=str, ensure_ascii=True).replace("\x7f", "\\u007f")
