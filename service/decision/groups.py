"""To which group a person belongs: treated, control (offers drawn at random) or holdout (nothing is shown), by a hash of who they are."""

from typing import Literal

from schema.ids import stable_share

Group = Literal["treated", "control", "holdout"]


def group_of(user_id: int, holdout_share: float, control_share: float) -> Group:
    """The same for a person on all channels and at all times, as long as the shares stay."""
    if stable_share(user_id, "holdout") < holdout_share:
        return "holdout"
    return "control" if stable_share(user_id, "control") < control_share else "treated"
