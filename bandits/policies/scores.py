"""What one snapshot says of every offer for one person: predictors, chances, values and, whitened, how sure it is of them."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import packed, scoring, worth
from bandits.personal import PersonalScores
from bandits.policies.model import Model
from schema.snapshot import HEADS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

REDEEM: Final = HEADS.index("redeem")
"""The head that people differ in by more than their features say."""

_NO_PRICES: Final = np.zeros(0)
_NOBODY: Final = PersonalScores(np.zeros((0, 0), np.float32), np.zeros(0, np.float32), np.zeros((0, 0), np.float32))


class NotFiniteError(ValueError):
    """Predictions that are not numbers: the features or the snapshot are damaged, and nothing may be drawn by them."""


class Scores(NamedTuple):
    """Of every offer, the personal part included; `width` is the offers padded to `packed.ARMS`.

    eta and chance are (heads, width); whitened (heads, rows, width) has the variance of eta as its sum of squares over the rows; worth is
    (heads,); value (offers,) = worth . chance less the shadow prices; personal_offsets (width,) is the part of the person in eta of REDEEM.
    """

    eta: F32
    chance: F32
    whitened: F32
    worth: F64
    value: F64
    personal_offsets: F32
    is_logit: bool

    def predictions(self, offers: npt.NDArray[np.int64]) -> F32:
        """Mean and variance of eta of some offers, (offers, heads, 2).

        Raises:
            NotFiniteError: one of them is not finite.
        """
        out = np.empty((len(offers), len(self.eta), 2), np.float32)
        if not scoring.predict(self.eta, self.whitened, offers, out):
            raise NotFiniteError("a prediction of the drawn offers is not finite")
        return out

    def deviation(self, offer: int) -> float:
        """Plain deviation of the value of one offer, as its comparison with a price needs it."""
        return worth.deviation(self.whitened, self.chance, self.worth, self.is_logit, offer)


def score(
    model: Model, phi: F32, values: tuple[float, ...], prices: F64 | None, personal: PersonalScores | None
) -> Scores:
    """Scores every offer.

    Args:
        model: the snapshot decided with.
        phi: (offers, d) features.
        values: (heads,) what one reward of each head is worth.
        prices: (offers,) shadow prices of budgets, in the unit of `values`; None for none.
        personal: the person's own part; None for none.

    Raises:
        NotFiniteError: a predictor, its variance or a value is not finite, or the person's own part is no posterior.
    """
    heads, offers = len(model.means), len(phi)
    width = packed.padded(offers, packed.ARMS)
    z, own_mean, own_covariance = _NOBODY if personal is None else personal
    eta, chance = np.empty((2, heads, width), np.float32)
    whitened = np.empty((heads, phi.shape[1] + z.shape[1], width), np.float32)
    value, own = np.empty(offers), np.empty(width, np.float32)
    of_head, is_logit = np.array(values, np.float64), model.link == "logit"
    subtracted = _NO_PRICES if prices is None else prices
    scored = (phi, model.means, model.factors, z, own_mean, own_covariance, REDEEM, of_head, subtracted, is_logit)
    if not scoring.score_offers(*scored, eta, chance, whitened, value, own):
        raise NotFiniteError(
            "a prediction or what it is worth is not finite, or a personal covariance not positive definite"
        )
    return Scores(eta, chance, whitened, of_head, value, own, is_logit)
