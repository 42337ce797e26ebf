"""What one snapshot says of every offer for one person: predictors, chances, values and, whitened, how sure it is of them."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import scoring, worth
from bandits.personal import PersonalScores
from bandits.policies.model import Model
from schema.snapshot import HEADS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

REDEEM: Final = HEADS.index("redeem")
"""The head that people differ in by more than their features say."""

_NOTHING: Final = np.zeros(0, np.float32)
_NO_FACTOR: Final = np.zeros((0, 0), np.float32)


class NotFiniteError(ValueError):
    """Predictions that are not numbers: the features or the snapshot are damaged, and nothing may be drawn by them."""


class Scores(NamedTuple):
    """Of every offer, the personal part included.

    eta and chance are (heads, offers); whitened (heads, offers, width) has |row|^2 the variance of eta; worth is (heads,);
    value (offers,) = worth . chance less the shadow prices; personal_offsets (offers,) is the part of the person in eta of REDEEM.
    """

    eta: F32
    chance: F32
    whitened: F32
    worth: F64
    value: F64
    personal_offsets: F32
    is_logit: bool

    def predictions(self, offers: npt.NDArray[np.int64]) -> F32:
        """Mean and variance of eta of some offers, (offers, heads, 2)."""
        out = np.empty((len(offers), len(self.eta), 2), np.float32)
        scoring.predict(self.eta, self.whitened, offers, out)
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
        NotFiniteError: a predictor, its variance or a value is not finite.
    """
    heads, offers, dims = len(model.means), *phi.shape
    z, own_mean, own_factor = _own_part(personal, offers)
    eta, chance = np.empty((heads, offers), np.float32), np.empty((heads, offers), np.float32)
    whitened = np.empty((heads, offers, dims + z.shape[1]), np.float32)
    value, own = np.empty(offers), np.empty(offers, np.float32)
    of_head, is_logit = np.array(values, np.float64), model.link == "logit"
    subtracted = np.zeros(offers) if prices is None else prices
    scored = (phi, model.means, model.factors, z, own_mean, own_factor, REDEEM, of_head, subtracted, is_logit)
    if not scoring.score_offers(*scored, eta, chance, whitened, value, own):
        raise NotFiniteError("a prediction or what it is worth is not finite")
    return Scores(eta, chance, whitened, of_head, value, own, is_logit)


def _own_part(personal: PersonalScores | None, offers: int) -> tuple[F32, F32, F32]:
    if personal is None:
        return np.empty((offers, 0), np.float32), _NOTHING, _NO_FACTOR
    try:
        factor = np.linalg.cholesky(personal.covariance.astype(np.float64))
    except np.linalg.LinAlgError:
        raise NotFiniteError("the covariance of a person's own part is not positive definite") from None
    return personal.z, personal.mean, factor.astype(np.float32)
