"""What was learned of a person, unpacked; bytes that cannot be read are a person nothing is known of."""

from collections.abc import Callable
from typing import Final, TypeVar

from bandits import personal, rhythm, tastes
from bandits.personal import Personal
from bandits.rhythm import Rhythm
from bandits.tastes import Tastes
from service.telemetry import FAILURES, logger

_LOG: Final = logger("learned_state")

_Part = TypeVar("_Part", Tastes, Rhythm, Personal)


def tastes_in(packed: bytes, user_id: int | None = None) -> Tastes:
    """The tastes in `packed`; user_id, when the caller knows it, is for the log."""
    return _read(tastes.unpack, packed, "tastes", user_id)


def readable_tastes(packed: bytes, user_id: int) -> bytes:
    """The same bytes; when they cannot be read, those of a person nothing is known of."""
    return tastes_in(packed, user_id).pack()


def rhythm_in(packed: bytes, user_id: int | None = None) -> Rhythm:
    """The rhythm in `packed`; user_id, when the caller knows it, is for the log."""
    return _read(rhythm.unpack, packed, "rhythm", user_id)


def personal_in(packed: bytes, user_id: int | None = None) -> Personal:
    """The person's own sums in `packed`; user_id, when the caller knows it, is for the log."""
    return _read(personal.unpack, packed, "personal", user_id)


def _read(unpack: Callable[[bytes], _Part], packed: bytes, part: str, user_id: int | None) -> _Part:
    try:
        return unpack(packed)
    except ValueError as error:
        FAILURES.labels("unreadable_state").inc()
        _LOG.error("a learned state cannot be read", part=part, user_id=user_id, size=len(packed), reason=str(error))
        return unpack(b"")
