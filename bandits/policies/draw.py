"""One decision drawn: scores of the shared model, the pmf over the eligible offers, the slate, and whether to send at all.

The numbers that are logged are those the draw was made with: every propensity is exact by construction, whatever the error of the
scores. Uniform numbers come from the decision's own key by counting, so the draw can be repeated.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import gate, linear, random, slate
from bandits.policies.model import Model

GATE_DRAW: Final = random.FIRST_FREE_INDEX
"""Index of the uniform number that decides whether to send."""

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class NotFiniteError(ValueError):
    """Predictions that are not numbers: the features or the snapshot are damaged, and nothing may be drawn by them."""


class Terms(NamedTuple):
    """What the operator has set for this draw; `values` is (heads,) the worth of one reward of each head."""

    slots: int
    floor: float
    values: tuple[float, ...]
    thompson_scale: float
    is_gated: bool
    gate_floor: float
    attention_price: float
    can_be_negative: bool


class Draw(NamedTuple):
    """What was drawn, by slot: indices of offers, conditional propensities, predictions (slots, heads, mean and variance).

    `pmf` is (offers,) float64 for slot 0. `send_probability` is 1 without a gate; `is_sent` the outcome of the gate.
    """

    chosen: npt.NDArray[np.int64]
    propensities: F64
    pmf: F64
    predictions: F32
    send_probability: float
    is_sent: bool


def thompson(model: Model, phi: F32, mask: npt.NDArray[np.bool_], terms: Terms, key: int) -> Draw:
    """Thompson by pmf: an offer is drawn as often as it is the best under the posterior (independent marginals).

    Args:
        model: the snapshot decided with.
        phi: (offers, d) features.
        mask: (offers,) eligible offers; at least one.
        terms: what the operator has set.
        key: 64 bits made of the decision's id.

    Raises:
        NotFiniteError: a prediction, a value or its deviation is not finite.
    """
    predictions = _predict(model, phi)
    values = np.asarray(terms.values)
    value, variance = values @ predictions[0], np.square(values) @ predictions[1]
    deviation = terms.thompson_scale * np.sqrt(variance)
    _check_finite(value, deviation)
    drawn = _draw(value, deviation, mask, terms, key)
    first = drawn.chosen[0]
    sent = _send_probability(float(value[first]), float(deviation[first]), terms)
    return _finish(drawn, predictions, sent, key)


def uniform(model: Model, phi: F32, mask: npt.NDArray[np.bool_], terms: Terms, key: int) -> Draw:
    """The control: every eligible offer alike, sent as often as the gate's floor allows. Arguments as in `thompson`."""
    predictions = _predict(model, phi)
    level = np.zeros(len(phi))
    drawn = _draw(level, level, mask, terms, key)
    return _finish(drawn, predictions, 1.0 - terms.gate_floor if terms.is_gated else 1.0, key)


class _Slots(NamedTuple):
    chosen: npt.NDArray[np.int64]
    propensities: F64
    pmf: F64


def _predict(model: Model, phi: F32) -> F32:
    """(mean and variance, heads, offers)."""
    heads = len(model.means)
    predictions = np.empty((2, heads, len(phi)), np.float32)
    for head in range(heads):
        linear.linear_scores(
            phi, model.means[head], model.covariances[head], predictions[0, head], predictions[1, head]
        )
    _check_finite(predictions)
    return predictions


def _check_finite(*numbers: npt.NDArray[np.floating[Any]]) -> None:
    if not all(np.isfinite(one).all() for one in numbers):
        raise NotFiniteError("a prediction or what it is worth is not finite")


def _draw(value: F64, deviation: F64, mask: npt.NDArray[np.bool_], terms: Terms, key: int) -> _Slots:
    slots = min(terms.slots, int(np.count_nonzero(mask)))
    chosen, propensities, pmf = np.empty(slots, np.int64), np.empty(slots), np.empty((slots, len(value)))
    slate.draw_slate(value, deviation, mask, slots, terms.floor, key, chosen, propensities, pmf)
    return _Slots(chosen, propensities, pmf[0])


def _send_probability(value: float, deviation: float, terms: Terms) -> float:
    if not terms.is_gated:
        return 1.0
    return gate.send_probability(value, deviation, terms.attention_price, terms.gate_floor, not terms.can_be_negative)


def _finish(drawn: _Slots, predictions: F32, send_probability: float, key: int) -> Draw:
    chosen = np.ascontiguousarray(predictions[:, :, drawn.chosen].transpose(2, 1, 0))
    is_sent = random.uniform(key, GATE_DRAW) < send_probability
    return Draw(*drawn, chosen, send_probability, bool(is_sent))
