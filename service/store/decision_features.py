"""What was drawn by a decision and the features each slot was scored by: all that learning needs of it."""

from collections.abc import Collection
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from bandits.features import DIMS

# Bounds on decision_id let PostgreSQL leave out the partitions of other days. What was not sent was not shown.
_LOAD: Final = """
    select d.user_id, d.decision_id, d.offer_ids, d.phi
      from unnest($1::bigint[], $2::uuid[]) as k(user_id, decision_id)
      join decisions d using (user_id, decision_id)
     where d.decision_id between $3 and $4 and d.action = 1
"""


class Drawn(NamedTuple):
    """The drawn offers by slot, phi (slots, DIMS), and the personal part of each score (slots,)."""

    offer_ids: list[int]
    phi: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.float32]


async def load(connection: Any, keys: Collection[tuple[int, UUID]]) -> dict[tuple[int, UUID], Drawn]:
    """The decisions of (user_id, decision_id) pairs that offered something; those of another set of features are left out."""
    if not keys:
        return {}
    ids = [key[1] for key in keys]
    rows = await connection.fetch(_LOAD, [key[0] for key in keys], ids, min(ids), max(ids))
    return {(row[0], row[1]): _drawn(row[2], row[3]) for row in rows if len(row[3]) == 4 * DIMS * len(row[2])}


def _drawn(offer_ids: list[int], phi: bytes) -> Drawn:
    slots = len(offer_ids)
    return Drawn(
        offer_ids,
        np.frombuffer(phi, "<f4").astype(np.float32, copy=False).reshape(slots, DIMS),
        np.zeros(slots, np.float32),
    )
