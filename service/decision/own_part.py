"""A person's own part of a draw: z of every offer, and what is believed of the person along it."""

from typing import Final

import numpy as np
import numpy.typing as npt

from bandits import features, personal, taste_map
from bandits.personal import PersonalScores
from bandits.policies.model import Model
from schema.decision import DecisionInputs
from service.decision import inputs
from service.decision.remembered import Remembered
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
    z = personal.z_of(phi, _SLOPES, axes.of(catalogue, model), may_be_personal)
    return personal.scores(z, packed, model.personal_variances.tolist(), given.decided_at.timestamp())


def _axes_of(catalogue: Catalogue, model: Model) -> F32:
    return taste_map.axes_of(model.taste_map, catalogue.tag_ids)


axes: Final = Remembered(_axes_of)
"""The axes of the offers, (offers, AXES), of a catalogue and a model."""
