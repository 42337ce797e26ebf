"""Learners by name, as replay, simulation and bench ask for them, and saved as bytes."""

import io
import zipfile
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from bandits.learners import fixed
from bandits.learners.exploration import EpsilonGreedy, Exploration, Thompson, UpperBound
from bandits.learners.learner import F32, DamagedStateError
from bandits.learners.policy import Model, Policy
from bandits.learners.prior import weak_prior
from bandits.learners.row_model import RowModel
from bandits.learners.rows import AT_ONCE, Arrays, Arrivals
from bandits.prior import Prior
from schema.snapshot import Link

DEFAULT: Final = "logistic_thompson"
"""Where the prior is worth something."""

GENERIC_DEFAULT: Final = "linear_ucb"
"""Where nothing is known of the features: the least that can go wrong, and the best of these on digits."""

GENERIC_FLOOR: Final = 0.001
INTERCEPT_SD: Final[dict[Link, float]] = {"identity": 0.3, "logit": 3.0}


class Options(NamedTuple):
    """What may be chosen beside the name.

    Attributes:
        scale: of Thompson's deviations.
        width: of the upper bound, in deviations.
        floor: epsilon spread evenly over the eligible arms by every policy but epsilon-greedy.
        epsilon: of epsilon-greedy.
        habit_column: what `usual` goes by.
        intercept_sd: above 0 the model has an intercept of its own with this prior sd, for features without a constant.
    """

    scale: float = 0.2
    width: float = 1.0
    floor: float = 0.002
    epsilon: float = 0.02
    habit_column: int = 0
    intercept_sd: float = 0.0


_EXPLORATIONS: Final[dict[str, Callable[[Options], Exploration]]] = {
    "thompson": lambda options: Thompson(options.scale, options.floor),
    "ucb": lambda options: UpperBound(options.width, options.floor),
    "epsilon_greedy": lambda options: EpsilonGreedy(options.epsilon),
    "uniform": lambda _: fixed.Uniform(),
    "usual": lambda options: fixed.Usual(options.habit_column, options.floor),
}
_LINKS: Final[dict[str, Link]] = {"logistic": "logit", "linear": "identity"}

NAMES: Final = (
    *(f"{link}_{kind}" for link in _LINKS for kind in ("thompson", "ucb", "epsilon_greedy")),
    "uniform",
    "usual",
)


def learner(name: str, prior: Prior, options: Options | None = None, arrivals: Arrivals = AT_ONCE) -> Policy:
    """A learner that has seen nothing.

    Args:
        name: one of NAMES.
        prior: of the weights, in logits for a logistic learner.
        options: None takes the defaults.
        arrivals: the share of rewards that have come by an age, for rows told by `show`.

    Raises:
        ValueError: no learner has that name.
        DamagedStateError: the prior is none.
    """
    if name not in NAMES:
        raise ValueError(f"there is no learner {name!r}; there are {', '.join(NAMES)}")
    chosen = options or Options()
    link, _, kind = name.partition("_")
    if link in _LINKS:
        model: Model = RowModel(_LINKS[link], prior, arrivals, chosen.intercept_sd)
    else:
        model, kind = fixed.NoModel(len(prior.mean)), name
    return Policy(model, _EXPLORATIONS[kind](chosen))


def generic(name: str, phi: F32, options: Options | None = None, arrivals: Arrivals = AT_ONCE) -> Policy:
    """A learner for features of which nothing is known: a weak prior in their own unit, and an intercept.

    Args:
        name: one of NAMES.
        phi: (n, d) rows of features, for their size.
        options: None takes the defaults; an intercept_sd of 0 is replaced, and the floor is at most GENERIC_FLOOR.
        arrivals: as in `learner`.

    Raises:
        ValueError: no learner has that name.
    """
    chosen = options or Options()
    chosen = chosen._replace(floor=min(chosen.floor, GENERIC_FLOOR))
    link = _LINKS.get(name.partition("_")[0], "identity")
    if chosen.intercept_sd <= 0.0:
        chosen = chosen._replace(intercept_sd=INTERCEPT_SD[link])
    return learner(name, weak_prior(phi, link), chosen, arrivals)


def pack(policy: Policy) -> bytes:
    """The state of the model, a checked zip of arrays; what the learner was built with is the caller's to remember."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **policy.model.state())
    return buffer.getvalue()


def resume(policy: Policy, data: bytes) -> None:
    """Lets a learner just built go on exactly as the one that was packed.

    Raises:
        DamagedStateError: the bytes are not such a state, or nothing may be decided with it; the learner is as it was.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            state: Arrays = dict(file)
        policy.model.resume(state)
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
        raise DamagedStateError(f"not the state of this learner: {error}") from error
