"""A person's own part of a draw: z of every offer, and what is believed of the person along it."""

from typing import Final

import numpy as np
import numpy.typing as npt

from bandits import features, personal, taste_map
from bandits.personal import PersonalScores
from bandits.policies.model import Model
from bandits.taste_map import TasteMap
from schema.decision import DecisionInputs
from service.decision import inputs
from service.store.catalogue import Catalogue

F32 = npt.NDArray[np.float32]

_SLOPES: Final = [features.NAMES.index(name) for name in personal.SLOPES]


def scores(catalogue: Catalogue, model: Model, packed: bytes, given: DecisionInputs, phi: F32) -> PersonalScores | None:
    """What the draw takes of the person's own part; None where nothing personal may be used, or the model has no such part.

    Args:
        catalogue: the offers.
        model: what is decided with.
        packed: the person's sums; no bytes are somebody new, who gets the population's prior.
        given: what else entered the decision.
        phi: (offers, d) features of all offers.

    Raises:
        UnknownSumsError: `packed` cannot be read.
    """
    if not given.may_personalise or not len(model.personal_variances):
        return None
    may_be_personal = inputs.of_catalogue(catalogue).may_be_personal
    z = personal.z_of(phi, _SLOPES, _axes.of(catalogue, model.taste_map), may_be_personal)
    return personal.scores(z, packed, model.personal_variances.tolist(), given.decided_at.timestamp())


class _Axes:
    """The axes of the offers of the catalogue and map that were used last: as a rule those of the next decision."""

    def __init__(self) -> None:
        self._found: tuple[Catalogue, TasteMap, F32] | None = None

    def of(self, catalogue: Catalogue, known: TasteMap) -> F32:
        found = self._found
        if found is None or found[0] is not catalogue or found[1] is not known:
            found = self._found = (catalogue, known, taste_map.axes_of(known, catalogue.tag_ids))
        return found[2]


_axes: Final = _Axes()
