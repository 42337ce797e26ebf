"""Counts showings in people's own parts when their window is over and nobody has redeemed them: the learner's pass that needs no news.

Until then such a showing is not counted there (service.learning.own_part); the redeemed ones are, at once. How far this has come is an
instant, `ripe_through`: it moves in the transaction that writes the sums, by compare-and-set on all partitions, so that a second learner or a
crash counts nothing twice. What is told later of a showing at or before it (an answer from a till that reports once a day, an earlier
showing) is set right by the fold, which knows the same instant.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from bandits.delay import WINDOWS_S
from bandits.personal import Personal
from schema.snapshot import HEADS
from service.learning.books import Books
from service.store import decision_features, exposures, user_state
from service.store.exposures import ExposureKey
from service.store.learned_state import personal_in
from service.store.user_state import State

WINDOW: Final = timedelta(seconds=WINDOWS_S[HEADS.index("redeem")])

SHOWINGS_MAX: Final = 2_000
"""Showings of one pass: a tenth of a second of work, for which other learners wait. More only if they are of one instant."""

_Showing = tuple[ExposureKey, datetime]


async def ripen(connection: Any, ours: Books, now: datetime) -> int:
    """Counts the earliest showings that are ripe by `now` and not counted yet; how many there were, fewer than SHOWINGS_MAX if all.

    The caller is in no transaction, and must throw the books away when this raises.

    Raises:
        OvertakenError: another learner has counted them, or something else, meanwhile.
    """
    until = now - WINDOW
    # What is read here is true as long as `ours` is: it was written by nobody who did not raise a revision.
    found = await exposures.unredeemed(connection, ours.ripe_through, until, SHOWINGS_MAX)
    if found:
        through = until if len(found) < SHOWINGS_MAX else found[-1][1]
        async with connection.transaction():
            await _count(connection, ours, found, through, now)
    return len(found)


async def _count(connection: Any, ours: Books, found: Sequence[_Showing], through: datetime, now: datetime) -> None:
    # As in a fold, people before partitions; of somebody who was erased nothing is learned any more.
    people = await user_state.hold(connection, {key.user_id for key, _ in found})
    await ours.ripen(connection, through)
    showings = [(key._replace(user_id=people[key.user_id]), at) for key, at in found if key.user_id in people]
    drawn = await decision_features.load(connection, {key[:2] for key, _ in showings})
    states = await user_state.load(connection, set(people.values()))
    own: dict[int, Personal] = {}
    for key, at in sorted(showings):
        decision = drawn.get(key[:2])
        row = None if decision is None else decision.own_row(key.slot)
        if row is None:
            continue
        if key.user_id not in own:
            own[key.user_id] = personal_in(states.get(key.user_id, State()).personal, key.user_id)
        own[key.user_id].shown(row, at.timestamp())
    if own:
        changed = {user_id: states.get(user_id, State())._replace(personal=one.pack()) for user_id, one in own.items()}
        await user_state.put(connection, changed, now)
