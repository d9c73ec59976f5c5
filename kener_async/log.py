"""Structured logs on standard error: JSON, or readable lines on a terminal."""

import json
import logging
import sys
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from kener_async.config.model import LogConfig

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


def configure(settings: LogConfig) -> None:
    """Configure our logs and those of the libraries alike; once, at the start of the program."""
    level = getattr(logging, settings.level.upper())
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
    ]
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dump)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
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
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # APScheduler logs every tick; jobs log themselves what matters.
    logging.getLogger("apscheduler").setLevel(max(level, logging.WARNING))


def _add_request_id(_: Any, __: str, event: EventDict) -> EventDict:
    request_id = REQUEST_ID.get()
    if request_id:
        event["request_id"] = request_id
    return event


def _dump(event: EventDict, **_: Any) -> str:
    # Escaped to ASCII, because then no value can end a line or send control characters to a terminal.
    return json.dumps(event, default=str, ensure_ascii=True).replace("\x7f", "\\u007f")
