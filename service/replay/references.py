"""What needs no learning, on any rounds: the best single arm in hindsight, and chance."""

import numpy as np

from service.replay.rounds import F64, Rounds


def plain(rounds: Rounds) -> dict[str, F64]:
    """Expected reward (rounds,) of the best single arm in hindsight, among the eligible where it is one, and of all eligible alike.

    Where the best arm is not eligible the next best is shown.
    """
    eligible = rounds.eligible
    shown = np.maximum(eligible.sum(axis=0), 1)
    order = np.argsort(-np.where(eligible, rounds.reward, 0.0).sum(axis=0) / shown, kind="stable")
    first = order[eligible[:, order].argmax(axis=1)]
    uniform = np.where(eligible, rounds.reward, 0.0).sum(axis=1) / eligible.sum(axis=1)
    return {"best_static": rounds.earned(first), "uniform": uniform}
