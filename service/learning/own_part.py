"""What the facts of a pass change in a person's own part of the model (bandits.personal). Pure.

A redeemed showing counts at once; an unredeemed one when it is ripe: shown at or before `ripe_through`, up to which the learner has looked
for showings whose window is over (service.learning.ripening). So the sums are a function of the log and of that instant.
"""

from datetime import datetime
from typing import Final, NamedTuple

from bandits.personal import LoggedRow, Personal
from bandits.words import SAID
from schema.snapshot import HEADS
from service.learning.attribution import Turn
from service.learning.facts import Fact
from service.store.exposures import Exposure

_REDEEM: Final = HEADS.index("redeem")


class Counted(NamedTuple):
    """A slot as a person's own part holds it, to be added (times 1) or taken back (-1)."""

    exposed_s: float
    is_redeemed: bool
    times: float


def difference(turn: Turn, ripe_through: datetime) -> list[Counted]:
    """What a turn makes to be counted: as a rule nothing before the showing is redeemed or ripe."""
    was, is_now = _counted(turn.before, -1.0, ripe_through), _counted(turn.after, 1.0, ripe_through)
    if was and is_now and was[0][:2] == is_now[0][:2]:
        return []
    return was + is_now


def _counted(exposure: Exposure | None, times: float, ripe_through: datetime) -> list[Counted]:
    if exposure is None:
        return []
    is_redeemed = exposure.answered_at[_REDEEM] is not None
    if not is_redeemed and exposure.exposed_at > ripe_through:
        return []
    return [Counted(exposure.exposed_at.timestamp(), is_redeemed, times)]


def count(own: Personal, row: LoggedRow, counted: Counted) -> None:
    """Counts a showing, and its redemption if there was one."""
    own.shown(row, counted.exposed_s, counted.times)
    if counted.is_redeemed:
        own.redeemed(row, counted.exposed_s, counted.times)


def count_word(own: Personal, fact: Fact, row: LoggedRow) -> None:
    """Counts what the person said of a slot, at once."""
    word = SAID[fact.entry.type]
    own.said(row, fact.entry.occurred_at.timestamp(), word.answer, word.weight)
