"""Why this deal: a true account of a logged decision, in words for the person and in numbers for whoever runs the shop."""

from typing import Any, Final

import numpy as np

from bandits import features, tastes
from bandits.kernels.tastes import BOUGHT_HALF_LIFE_S
from schema.decision import ExplanationAnswer
from schema.snapshot import HEADS
from service.decision.replay import Replayed
from service.store.decisions import LoggedDecision

OWN_BASKETS_MIN: Final = 3.0
"""With less history than this an explanation never speaks of habits: there are none we could know."""

CONTROLS: Final = ["thumbs_down: never see this deal again", "not_now: not for two weeks", "opted_out: no more deals"]
_SILENT: Final = {
    "holdout": "You belong to the small group that gets no deals, by which we check that deals are worth your while.",
    "gate": "Nothing was worth interrupting you for.",
    "no_eligible_offer": "There was no deal you could use.",
    "opted_out": "You asked for no deals.",
    "no_push_consent": "You do not want notifications.",
    "muted": "You asked to be left alone for a while.",
}


def explain(logged: LoggedDecision, again: Replayed, *, with_numbers: bool) -> ExplanationAnswer:
    """The explanation of a decision that has been drawn again; the numbers are for secret keys only."""
    because = _silence(logged) if logged.action == 0 else _because(logged, again)
    return ExplanationAnswer(
        decision_id=logged.decision_id,
        headline=_headline(logged, again),
        because=because,
        data_used=_data_used(logged),
        controls=CONTROLS,
        numbers=_numbers(logged, again) if with_numbers else None,
    )


def _headline(logged: LoggedDecision, again: Replayed) -> str:
    if logged.action == 0:
        return "No deal this time"
    return again.catalogue.offers[again.catalogue.index_by_id[logged.offer_ids[0]]].offer.creative.title


def _silence(logged: LoggedDecision) -> list[str]:
    return [_SILENT.get(code, code) for code in logged.reason_codes]


def _because(logged: LoggedDecision, again: Replayed) -> list[str]:
    index = again.catalogue.index_by_id[logged.offer_ids[0]]
    offer = again.catalogue.offers[index].offer
    said = [_habit(logged, again, index)]
    if logged.in_control:
        said = ["This deal was picked at random, to check that choosing does better."]
    elif logged.propensities[0] < 1.0 / max(int(again.mask.sum()), 1):
        said.append("It was not our first guess: now and then we try something else, to learn what you like.")
    if offer.discount_percent or offer.discount_minor:
        said.append("It is cheaper than usual.")
    return said


def _habit(logged: LoggedDecision, again: Replayed, index: int) -> str:
    state = tastes.unpack(logged.tastes)
    own = float(state.header["baskets"][0])
    stored = again.catalogue.offers[index]
    is_personal = logged.request.may_personalise and not stored.offer.is_sensitive and stored.offer.min_age == 0
    held = {int(entry["tag_id"]): float(entry["bought"]) for entry in state.entries[: int(state.header["entries"][0])]}
    times = max((held.get(tag_id, 0.0) for tag_id in stored.tag_ids), default=0.0)
    if not is_personal or own < OWN_BASKETS_MIN or times < 1.0:
        return "It is popular with other people."
    return f"You often buy {' and '.join(stored.offer.tags)}: in about {round(100 * times / own)} % of your baskets."


def _data_used(logged: LoggedDecision) -> list[str]:
    used = ["what is on offer now", "what other people buy, all taken together"]
    if logged.request.may_personalise and logged.tastes:
        days = round(BOUGHT_HALF_LIFE_S / 86400)
        used.append(f"your purchases, the older ones counting less (half after {days} days)")
        used.append("which deals you have seen lately")
    context = logged.request.context
    told = [name for name in ("store_id", "distance_m", "is_raining") if getattr(context, name) is not None]
    return used + [f"what the app told us of the moment: {name}" for name in told]


def _numbers(logged: LoggedDecision, again: Replayed) -> dict[str, Any]:
    if again.draw is None:
        return {"candidates": [], "eligible": 0, "reason_codes": logged.reason_codes}
    ids, pmf = again.catalogue.ids, again.draw.pmf
    order = np.argsort(-pmf, kind="stable")[:20]
    means = again.phi @ again.model.means.T
    return {
        "candidates": [
            {
                "offer_id": again.catalogue.offers[index].offer.offer_id,
                "propensity": float(pmf[index]),
                "prediction": {head: float(means[index, place]) for place, head in enumerate(HEADS)},
                "features": dict(zip(features.NAMES, map(float, again.phi[index]), strict=True)),
            }
            for index in map(int, order)
        ],
        "chosen": [
            {
                "offer_id": again.catalogue.offers[again.catalogue.index_by_id[offer_id]].offer.offer_id,
                "propensity": propensity,
            }
            for offer_id, propensity in zip(logged.offer_ids, logged.propensities, strict=True)
        ],
        "eligible": int(again.mask.sum()),
        "offers": len(ids),
        "send_probability": logged.send_probability,
        "snapshot_version": logged.snapshot_version,
        "catalogue_version": logged.catalogue_version,
        "reason_codes": logged.reason_codes,
    }
