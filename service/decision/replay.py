"""A logged decision drawn once more from what was logged: same snapshot, same catalogue, same state of the person."""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import tastes
from bandits.incremental import Known
from bandits.personal import PersonalScores, UnknownSumsError
from bandits.policies.draw import Draw, Offers
from bandits.policies.model import DamagedSnapshotError, Model
from schema.decision import ReplayAnswer
from service.decision import inputs, own_part, pipeline
from service.decision.prices import prices_of
from service.errors import ApiError
from service.store import drawn_columns, effects, models, snapshots
from service.store.catalogue import Catalogue, CatalogueCache, VersionMissing
from service.store.logged_decision import LoggedDecision

_IMPOSSIBLE: Final = (
    snapshots.SnapshotMissingError,
    snapshots.SnapshotDamagedError,
    DamagedSnapshotError,
    VersionMissing,
    effects.EffectMissingError,
    effects.EffectDamagedError,
    tastes.UnknownStateError,
    UnknownSumsError,
)


class Replayed(NamedTuple):
    """What the decision was made of, and the draw made anew; no draw when nothing was eligible. `known` of pushes, where their gain counts."""

    catalogue: Catalogue
    model: Model
    mask: npt.NDArray[np.bool_]
    phi: npt.NDArray[np.float32]
    own: PersonalScores | None
    draw: Draw | None
    known: Known | None = None


async def redraw(connection: Any, catalogue: CatalogueCache, logged: LoggedDecision) -> Replayed:
    """Draws a logged decision again.

    Raises:
        ApiError: 409 replay_impossible, when what it was made of is no longer kept or not known to this program.
    """
    try:
        model = await models.load(connection, logged.snapshot_version)
        gain = logged.request.gain
        known = None if gain is None else await effects.load(connection, gain.effect_version)
        return draw_again(logged, await catalogue.of_version(connection, logged.catalogue_version), model, known)
    except _IMPOSSIBLE as error:
        raise ApiError(409, "replay_impossible", f"{error}; the logged numbers still stand.") from None


def draw_again(logged: LoggedDecision, catalogue: Catalogue, model: Model, known: Known | None = None) -> Replayed:
    """The draw from the logged inputs, given the catalogue, the snapshot, and what was known of pushes, that it was made with.

    Raises:
        UnknownStateError, UnknownSumsError: the logged state of the person is of another version of the program.
    """
    bits = np.unpackbits(np.frombuffer(logged.eligible, np.uint8), bitorder="little", count=len(catalogue.ids))
    mask = bits.astype(np.bool_)
    phi = inputs.phi_of(catalogue, model, logged.tastes, logged.request, logged.request.decided_at)
    drawn = own = None
    if mask.any():
        terms = pipeline.terms_of(logged.request, logged.tastes, in_control=logged.in_control)
        own = own_part.scores(catalogue, model, logged.personal, logged.request, phi)
        offers = Offers(phi, mask, catalogue.tag_ids, prices_of(catalogue, logged.request))
        drawn = pipeline.draw_for_goal(model, known, catalogue, logged.request, offers, terms, logged.decision_id, own)
    return Replayed(catalogue, model, mask, phi, own, drawn, known)


def compare(logged: LoggedDecision, again: Replayed) -> ReplayAnswer:
    """Whether the decision came out the same, and if not, in what it differs."""
    drawn = again.draw
    offer_ids = [] if drawn is None else again.catalogue.ids[drawn.chosen].tolist()
    propensities = [] if drawn is None else drawn.propensities.tolist()
    send_probability = 0.0 if drawn is None or logged.in_holdout else drawn.send_probability
    pairs = {
        "pmf": (logged.pmf_sha256, _fingerprint(again)),
        "offers": (logged.offer_ids, offer_ids),
        "propensities": (logged.propensities, propensities),
        "send_probability": (logged.send_probability, send_probability),
    }
    differences = [name for name, (before, now) in pairs.items() if before != now]
    return ReplayAnswer(identical=not differences, differences=differences, propensities=propensities)


def _fingerprint(again: Replayed) -> bytes:
    return drawn_columns.pmf_sha256(b"" if again.draw is None else again.draw.pmf[again.mask].astype("<f8").tobytes())
