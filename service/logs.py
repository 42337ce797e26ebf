"""Logs: one line of JSON an event on standard error, whoever speaks, without bodies, tokens and addresses."""

import json
import logging
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, Final

import structlog

LINE_BYTES_MAX: Final = 4_000
"""What several processes write to one pipe is not mixed up as long as a line is shorter than 4,096 bytes."""

SHORT: Final = 100

TEXT_MAX: Final = 65_536
"""Of a longer text only the beginning is looked at, and told."""

# Every repetition is bounded: unbounded ones take quadratic time for a long word that is none of these.
_MAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,8}")
_KEY: Final = re.compile(r"\b([sp]k)_[A-Za-z0-9_-]{8,}")
_JWT: Final = re.compile(r"\beyJ[A-Za-z0-9_-]{1,1000}\.[A-Za-z0-9_-]{1,4000}(\.[A-Za-z0-9_-]{1,1000})?")
_TOKEN: Final = re.compile(r"\b[A-Za-z0-9_-]{10,64}:[A-Za-z0-9_-]{60,}")
_PASSWORD: Final = re.compile(r"://[^\s/@]{1,300}@")
# PostgreSQL tells the row it refused, whatever that holds.
_ROW: Final = re.compile(r"DETAIL:.*?(?=\nHINT:|\n\nDuring handling|\n\nThe above exception|\Z)", re.DOTALL)
_HIDDEN: Final = (
    (_ROW, "DETAIL: […]"),
    (_PASSWORD, "://***@"),
    (_MAIL, "[address]"),
    (_KEY, r"\1_[…]"),
    (_JWT, "[token]"),
    (_TOKEN, "[token]"),
)

Event = MutableMapping[str, Any]


def configure(level: str) -> None:
    """Ours from `level` on, those of libraries from warnings on; also warnings of Python, and what ends a process or a thread."""
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*before, structlog.processors.format_exc_info, _rendered],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(_Lines())
    handler.terminator = ""
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _rendered_text,
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    # It shows a traceback for every try to reach a server that is down.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    sys.excepthook = _ended
    threading.excepthook = lambda told: _lost("a thread ended by an exception", told.exc_value)
    sys.unraisablehook = lambda told: _lost("an exception could not be raised", told.exc_value)


class _Lines:
    """Each line in one write, by the logger that writes ours too."""

    def write(self, line: str) -> None:
        structlog.BytesLoggerFactory(sys.stderr.buffer)().msg(line.encode())

    def flush(self) -> None:
        """Each write is flushed."""


def _ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger(area="process").critical("the process ended by an exception", exc_info=(kind, error, trace))


def _lost(what: str, error: BaseException | None) -> None:
    structlog.get_logger(area="process").error(what, exc_info=error)


def _rendered(_logger: Any, _method: str, event: Event) -> bytes:
    return line_of(event).encode()


def _rendered_text(_logger: Any, _method: str, event: Event) -> str:
    return line_of(event)


def line_of(event: Mapping[str, Any]) -> str:
    """The event as JSON, ASCII alone, what must not be told left out; its longest texts lose their middle until it fits into a line."""
    shown = {name: _hidden(value) for name, value in event.items()}
    line = json.dumps(shown, default=_told)
    while len(line) > LINE_BYTES_MAX:
        longest = max(shown, key=lambda name: len(json.dumps(shown[name], default=_told)))
        text = str(shown[longest])
        if len(text) < SHORT:  # many fields, not a long one: better long than not told
            break
        shown[longest] = f"{text[: len(text) // 3]} […] {text[-len(text) // 3 :]}"
        line = json.dumps(shown, default=_told)
    return line


def _told(value: object) -> str:
    return hidden(repr(value))


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, list | tuple):
        return [_hidden(one) for one in value]
    if isinstance(value, dict):
        return {name: _hidden(one) for name, one in value.items()}
    return value


def hidden(text: str) -> str:
    """The text without what looks like an address, a key, a token, a password in a URL, or a row of the database."""
    text = text[:TEXT_MAX]
    for pattern, instead in _HIDDEN:
        text = pattern.sub(instead, text)
    return text
