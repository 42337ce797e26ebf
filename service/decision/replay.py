"""A logged decision drawn once more from what was logged: same snapshot, same catalogue, same state of the person."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.policies.draw import Draw
from bandits.policies.model import Model, from_snapshot
from schema.decision import ReplayAnswer
from service.decision import inputs, pipeline
from service.errors import ApiError
from service.store import catalogue as catalogues
from service.store import snapshots
from service.store.catalogue import Catalogue
from service.store.decisions import LoggedDecision


class Replayed(NamedTuple):
    """What the decision was made of, and the draw made anew; no draw when nothing was eligible."""

    catalogue: Catalogue
    model: Model
    mask: npt.NDArray[np.bool_]
    phi: npt.NDArray[np.float32]
    draw: Draw | None


async def redraw(connection: Any, logged: LoggedDecision) -> Replayed:
    """Draws a logged decision again.

    Raises:
        ApiError: 409 replay_impossible, when its snapshot is no longer kept.
    """
    try:
        snapshot = await snapshots.load(connection, logged.snapshot_version)
    except snapshots.SnapshotMissingError as error:
        raise ApiError(409, "replay_impossible", f"{error}; the logged numbers still stand.") from None
    model = from_snapshot(snapshot)
    catalogue = await catalogues.load(connection, logged.catalogue_version)
    bits = np.unpackbits(np.frombuffer(logged.eligible, np.uint8), bitorder="little", count=len(catalogue.ids))
    mask = bits.astype(np.bool_)
    phi = inputs.phi_of(catalogue, model, logged.tastes, logged.request, logged.request.decided_at)
    drawn = None
    if mask.any():
        drawn = pipeline.draw_by_policy(
            model, phi, mask, logged.request.rules, logged.decision_id, in_control=logged.in_control
        )
    return Replayed(catalogue, model, mask, phi, drawn)


def compare(logged: LoggedDecision, again: Replayed) -> ReplayAnswer:
    """Whether the decision came out the same, and if not, in what it differs."""
    drawn = again.draw
    offer_ids = [] if drawn is None else again.catalogue.ids[drawn.chosen].tolist()
    propensities = [] if drawn is None else drawn.propensities.tolist()
    send_probability = 0.0 if drawn is None or logged.in_holdout else drawn.send_probability
    pairs = {
        "pmf": (logged.pmf_sha256, pipeline.pmf_hash(drawn)),
        "offers": (logged.offer_ids, offer_ids),
        "propensities": (logged.propensities, propensities),
        "send_probability": (logged.send_probability, send_probability),
    }
    differences = [name for name, (before, now) in pairs.items() if before != now]
    return ReplayAnswer(identical=not differences, differences=differences, propensities=propensities)
