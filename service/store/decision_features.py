"""What was drawn by a decision and the features each slot was scored by: all that learning needs of it."""

from collections.abc import Collection
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from bandits import personal
from bandits.features import DIMS, FEATURE_SET
from bandits.personal import LoggedRow
from schema.snapshot import HEADS

F32 = npt.NDArray[np.float32]

_REDEEM: Final = HEADS.index("redeem")

# Bounds on decision_id let PostgreSQL leave out the partitions of other days. What was not sent was not shown.
_LOAD: Final = """
    select d.user_id, d.decision_id, d.offer_ids, d.phi, d.z, d.predictions, d.personal_offsets
      from unnest($1::bigint[], $2::uuid[]) as k(user_id, decision_id)
      cross join lateral (
        select * from decisions
         where user_id = k.user_id and decision_id = k.decision_id and decision_id between $3 and $4 and action = 1 and feature_set = $5
        offset 0 -- see service.store.exposures
      ) d
"""


class Drawn(NamedTuple):
    """The drawn offers by slot, phi (slots, DIMS), and the personal part (slots,) of the score of head redeem.

    `own` are the rows the person's own part learns from, by slot; none when nothing personal was used.
    """

    offer_ids: list[int]
    phi: F32
    offsets: F32
    own: tuple[LoggedRow, ...] = ()

    def own_row(self, slot: int) -> LoggedRow | None:
        """The row of `own`; None when there is none, or no such slot."""
        return self.own[slot] if slot < len(self.own) else None


async def load(connection: Any, keys: Collection[tuple[int, UUID]]) -> dict[tuple[int, UUID], Drawn]:
    """The decisions of (user_id, decision_id) pairs that offered something.

    Left out are those of another set of features, and damaged ones whose numbers are none: they would spoil every sum they are added to.
    """
    if not keys:
        return {}
    ids = [key[1] for key in keys]
    rows = await connection.fetch(_LOAD, [key[0] for key in keys], ids, min(ids), max(ids), FEATURE_SET)
    drawn = {(row[0], row[1]): _drawn(*row[2:]) for row in rows if len(row[3]) == 4 * DIMS * len(row[2])}
    return {key: one for key, one in drawn.items() if np.isfinite(one.phi).all() and np.isfinite(one.offsets).all()}


def _drawn(offer_ids: list[int], phi: bytes, z: bytes, predictions: bytes, offsets: list[float]) -> Drawn:
    slots = len(offer_ids)
    features = _floats(phi).reshape(slots, DIMS)
    if len(z) != 4 * personal.DIMS * slots or len(offsets) != slots:
        return Drawn(offer_ids, features, np.zeros(slots, np.float32))
    etas = _floats(predictions).reshape(slots, len(HEADS), 2)[:, _REDEEM, 0]
    own = map(LoggedRow, _floats(z).reshape(slots, personal.DIMS), etas.tolist(), offsets)
    return Drawn(offer_ids, features, np.array(offsets, np.float32), tuple(own))


def _floats(data: bytes) -> F32:
    return np.frombuffer(data, "<f4").astype(np.float32, copy=False)
