"""Structured logging: fixed event names with fields, one format for all libraries, no messages of foreign errors."""

import enum
import logging
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import PurePath
from traceback import walk_tb
from types import TracebackType
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from .invisible_characters import make_visible

_MAX_FRAMES = 20
_LINE_OF_KOPF: Final = re.compile(
    r"(?P<what>.*?\b(fail(s|ed)?|error|exception|unsupported event type)\b[^:]*):.*", re.IGNORECASE
)
"""What failed, without the text after the colon, which may be an error message or a watch event."""


class LogFormat(enum.StrEnum):
    """Format of log lines."""

    CONSOLE = "console"
    JSON = "json"


def configure(log_format: LogFormat, level: int = logging.INFO) -> None:
    """Write log lines of Keyturn and of all libraries to standard error, in one format.

    Libraries log one level less: their debug lines contain bodies of requests, and therefore values.
    """
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _write_plainly,
    ]
    renderer: Processor = _as_json
    if log_format is LogFormat.CONSOLE:
        shared.append(_show_what_is_hidden)
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_the_library, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level + 10, logging.INFO), force=True)
    # kopf logs every event that it passes to a handler.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    sys.excepthook = _log_the_end


def describe(error: BaseException) -> dict[str, Any]:
    """Return log fields for an error, without the messages of foreign errors.

    A library's error message may quote what it could not parse, encode or send; its type and frames cannot.
    """
    chain = list(_chain_of(error))
    found = (frame for each in chain for frame in walk_tb(each.__traceback__))
    frames = [
        f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-2:])}:{line} {frame.f_code.co_name}"
        for frame, line in found
    ]
    return {"error": " < ".join(_name(each) for each in chain), "frames": frames[-_MAX_FRAMES:]}


def _chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, the members of its group and its causes."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _chain_of(member)
    cause = error.__cause__ if error.__suppress_context__ else error.__context__
    if cause is not None:
        yield from _chain_of(cause)


def _name(error: BaseException) -> str:
    kind = type(error)
    is_ours = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    return ": ".join((kind.__name__, *map(str, error.args))) if is_ours else kind.__name__


def _write_plainly(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Processor that describes errors and formats times, so that both renderers can print all fields."""
    error = _error_of(event.pop("exc_info", None))
    for name, field in event.items():
        if isinstance(field, BaseException):
            event[name] = describe(field)["error"]
        elif isinstance(field, datetime):
            event[name] = field.isoformat()
    if error is not None:
        event.update(describe(error))
    return event


def _error_of(exc_info: object) -> BaseException | None:
    if exc_info is True:
        return sys.exception()
    candidate = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    return candidate if isinstance(candidate, BaseException) else None


_JSON: Final = structlog.processors.JSONRenderer(ensure_ascii=False)


def _as_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Render a line as JSON with invisible characters escaped, which parsers and terminals show alike."""
    return make_visible(str(_JSON(logger, method, event)))


def _show_what_is_hidden(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Processor that escapes invisible characters before the renderer adds colours, which are such characters."""
    for name, field in event.items():
        if isinstance(field, str):
            event[name] = make_visible(field).replace("\n", "\\n")
    return event


def _name_the_library(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = event["_record"].name
    # asyncio appends the repr of the failed task, which contains the message of its error.
    event["event"] = event["event"].partition("\n")[0]
    if event["logger"].partition(".")[0] == "kopf":
        event["event"] = _without_bodies(event["event"])
    return event


def _without_bodies(line: str) -> str:
    """Return a line of kopf with error type and status only; its message may be the API server's answer."""
    if line.startswith("Request attempt "):
        what, arrow, error = line.partition(" -> ")
        kind, status = re.match(r"\w*", error), re.search(r", status=\d+(?=\)$)", error)
        return what + arrow + "".join(match[0] for match in (kind, status) if match)
    match = _LINE_OF_KOPF.match(line)
    return match["what"] if match else line


def _log_the_end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    structlog.get_logger().critical("process failed", exc_info=error)
