"""To which group a person belongs: treated, control (offers drawn at random) or holdout (nothing is shown), by a hash of who they are."""

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import xxhash

from schema.ids import share_of

Group = Literal["treated", "control", "holdout"]

_HOLDOUT: Final = b"holdout"
_CONTROL: Final = b"control"


def group_of(user_id: int, holdout_share: float, control_share: float) -> Group:
    """The same for a person on all channels and at all times, as long as the shares stay."""
    who = user_id.to_bytes(8, "little")
    if share_of(who + _HOLDOUT) < holdout_share:
        return "holdout"
    return "control" if share_of(who + _CONTROL) < control_share else "treated"


def groups_of(
    user_ids: npt.NDArray[np.int64], holdout_share: float, control_share: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Who of many is in the holdout, and who in the control."""
    in_holdout = _are_below(user_ids, _HOLDOUT, holdout_share)
    return in_holdout, _are_below(user_ids, _CONTROL, control_share) & ~in_holdout


def _are_below(user_ids: npt.NDArray[np.int64], salt: bytes, share: float) -> npt.NDArray[np.bool_]:
    """Whether the stable_share of each is below."""
    if share <= 0.0:
        return np.zeros(len(user_ids), np.bool_)
    keys = user_ids.astype("<i8").tobytes()
    hashes = [xxhash.xxh3_64_intdigest(keys[at : at + 8] + salt) for at in range(0, len(keys), 8)]
    return np.array(hashes, np.uint64) >> np.uint64(11) < share * (1 << 53)
