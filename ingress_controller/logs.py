"""Log lines, as text for people or JSON for machines, on standard error.

In: events of structlog and of libraries that use the standard ``logging``. Out: one line each, of one form.
Control characters are escaped in both forms: events quote what users wrote and what clients sent, which must
neither forge a line nor reach a terminal.
"""

import logging
import sys
import unicodedata
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

QUIET = {
    # At debug level these write about their own inner life, and again and again.
    "asyncio": logging.INFO,
    "grpc": logging.INFO,
    "watchfiles": logging.WARNING,
}
"""The least severe messages taken from some libraries, whatever ``--log-level`` says."""

TRACEBACK = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
"""Tracebacks for machines, without the values of variables: they may be secret."""


def configure(form: Literal["text", "json"], level: str, stream: TextIO | None = None) -> None:
    """Send every log of this process to ``stream`` (standard error), from ``level`` (debug, info...) on."""
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers(form, stream)],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(least, logging.getLogger().level))


def renderers(form: Literal["text", "json"], stream: TextIO) -> list[Processor]:
    """The last steps: an event to its line."""
    if form == "json":
        return [TRACEBACK, structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
    return [escape_controls, console]


def escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape what is not printable in an event's texts."""
    return {key: escaped(value) if isinstance(value, str) else value for key, value in event.items()}


def escaped(text: str) -> str:
    r"""Text with control characters (and lone surrogates) as ``\n``, ``\x1b``..."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else character
        for character in text
    )
