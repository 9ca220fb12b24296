"""Structured logs on stderr: for people on a terminal, one JSON object a line for machines.

Both looks go through the same processors, and the standard library's loggers (aiohttp, asyncio) go through them too, so
nothing is written that was not scrubbed. Tracebacks never show local variables.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from keeper.core.codec import json_hook
from keeper.observe.scrub import DROPPED, is_secret_name, redacted, scrubbed

_PASSED_ON = frozenset({"_record", "_from_structlog"})
"""What structlog hands to its own formatter, which takes it out before anything is rendered."""
LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure_logging(
    stream: TextIO, look: LogFormat = "auto", level: LogLevel = "info", environ: Mapping[str, str] = os.environ
) -> None:
    """Send every log line of the process to ``stream``.

    Args:
        stream: Where lines go; stderr in the programs.
        look: ``"auto"`` is console on a terminal, JSON elsewhere.
        level: The least level that is written.
        environ: ``NO_COLOR`` in it switches colours off.
    """
    console = look == "console" or (look == "auto" and stream.isatty())
    renderer = _console(stream, environ) if console else _json()
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = _Handler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; of one that cannot be made it names the logger alone.

    The standard library would print the arguments as they are, past everything that scrubs.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """Say that a line is missing."""
        self.stream.write(f'{{"level":"error","event":"a log line of {record.name} could not be written"}}\n')


def log_context(**names: str) -> AbstractContextManager[object]:
    """Bind names such as ``chain`` and ``venue`` to every line logged within the context, by any logger."""
    return structlog.contextvars.bound_contextvars(**names)


def scrub(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop the values of key-like names, and cut URLs down to their host (a structlog processor)."""
    return {
        key if key in _PASSED_ON else redacted(key): value if key in _PASSED_ON else _shown(key, value)
        for key, value in event.items()
    }


def _shown(key: str, value: object) -> object:
    return DROPPED if is_secret_name(key) else scrubbed(value)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        scrub,
    ]


def _console(stream: TextIO, environ: Mapping[str, str]) -> Processor:
    colors = stream.isatty() and not environ.get("NO_COLOR")
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


def _json() -> Processor:
    return structlog.processors.JSONRenderer(serializer=_encode)


def _encode(event: object, **_options: object) -> str:
    return msgspec.json.encode(event, enc_hook=_printable).decode()


def _printable(value: object) -> object:
    try:
        return json_hook(value)
    except NotImplementedError:
        return str(scrubbed(str(value)))
