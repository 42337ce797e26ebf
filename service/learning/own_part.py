"""What the facts of a pass change in a person's own part of the model (bandits.personal). Pure."""

from typing import Final

from bandits.personal import LoggedRow, Personal
from schema.snapshot import HEADS
from service.learning.attribution import Turn
from service.learning.facts import SAID, Fact
from service.store.exposures import Exposure

_REDEEM: Final = HEADS.index("redeem")


def count_turn(own: Personal, turn: Turn, row: LoggedRow) -> None:
    """Counts a showing and its redemption, or whatever is counted of them anew."""
    before, after = turn.before, turn.after
    if before is not None and before.exposed_at == after.exposed_at:
        _redeemed(own, row, before, after)
        return
    if before is not None:
        own.shown(row, before.exposed_at.timestamp(), -1.0)
        _redeemed(own, row, before, None)
    own.shown(row, after.exposed_at.timestamp())
    _redeemed(own, row, None, after)


def _redeemed(own: Personal, row: LoggedRow, before: Exposure | None, after: Exposure | None) -> None:
    was, is_now = _redeemed_when_shown(before), _redeemed_when_shown(after)
    if was == is_now:
        return
    if was is not None:
        own.redeemed(row, was, -1.0)
    if is_now is not None:
        own.redeemed(row, is_now)


def _redeemed_when_shown(exposure: Exposure | None) -> float | None:
    """The instant of the showing of what was redeemed."""
    if exposure is None or exposure.answered_at[_REDEEM] is None:
        return None
    return exposure.exposed_at.timestamp()


def count_word(own: Personal, fact: Fact, row: LoggedRow) -> None:
    """Counts what the person said of a slot, at once."""
    word = SAID[fact.entry.type]
    own.said(row, fact.entry.occurred_at.timestamp(), word.answer, word.weight)
