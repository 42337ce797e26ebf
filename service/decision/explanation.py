"""Why this deal: a true account of a logged decision, in words for the person and in numbers for whoever runs the shop."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bandits import features, link, tastes
from bandits.kernels.tastes import BOUGHT_HALF_LIFE_S, half_life_factor
from schema.decision import ExplanationAnswer
from schema.snapshot import HEADS
from service.decision import gains, inputs
from service.decision.prices import prices_of
from service.decision.replay import Replayed
from service.store.logged_decision import LoggedDecision

OWN_BASKETS_MIN: Final = 3.0
"""With less history than this an explanation never speaks of habits: there are none we could know."""
OWN_PURCHASES_MIN: Final = 1.0
GATE_EVEN: Final = 0.5

CONTROLS: Final = [
    "thumbs_down: never see this deal again",
    "not_now: not for two weeks",
    "opted_out: no more notifications",
    "preferences: your own quiet hours, and at most so many notifications a day or week",
]
_TOLD: Final = "what the app told us of the moment: {}"
_SILENT: Final = {
    "holdout": "You belong to the small group that gets no deals, by which we check that deals are worth your while.",
    "no_eligible_offer": "There was no deal you could use.",
    "sold_out": "The deals you could use are all gone.",
    "opted_out": "You asked for no notifications.",
    "no_push_consent": "You do not want notifications.",
    "muted": "You asked to be left alone for a while.",
    "quiet_hours": "It was the time of the day at which we leave you alone.",
    "cap_reached": "You have had as many notifications lately as you should get.",
    "too_soon": "You had a notification only a short while before.",
}


def explain(logged: LoggedDecision, again: Replayed, *, with_numbers: bool) -> ExplanationAnswer:
    """The explanation of a decision that has been drawn again; the numbers are for secret keys only."""
    because = _silence(logged) if logged.action == 0 else _because(logged, again)
    return ExplanationAnswer(
        decision_id=logged.decision_id,
        headline=_headline(logged, again),
        because=because,
        data_used=_data_used(logged, again),
        controls=CONTROLS,
        numbers=_numbers(logged, again) if with_numbers else None,
    )


def _headline(logged: LoggedDecision, again: Replayed) -> str:
    if logged.action == 0:
        return "No deal this time"
    return again.catalogue.offers[again.catalogue.index_by_id[logged.offer_ids[0]]].offer.creative.title


def _silence(logged: LoggedDecision) -> list[str]:
    return [_gate(logged) if code == "gate" else _SILENT.get(code, code) for code in logged.reason_codes]


def _gate(logged: LoggedDecision) -> str:
    """Why the gate held a deal back: by chance alone where it would send as often as it ever does (always so in the control,
    and when attention has no price), else because of what the deal was worth.
    """
    if logged.in_control or logged.send_probability >= 1.0 - logged.request.rules.gate_floor:
        return "By chance: now and then we stay silent, to check that deals are worth your while."
    if logged.send_probability < GATE_EVEN and logged.request.gain is not None:
        return "Telling you of the deal we had in mind would probably change too little to interrupt you for it."
    if logged.send_probability < GATE_EVEN:
        return "The deal we had in mind was not worth interrupting you for."
    return "We were not sure that the deal we had in mind was worth interrupting you for."


def _because(logged: LoggedDecision, again: Replayed) -> list[str]:
    index = again.catalogue.index_by_id[logged.offer_ids[0]]
    if logged.in_control:
        return ["This deal was picked at random, to check that choosing does better."]
    if logged.request.gain is None:
        said = [_habit(logged, again, index) or _popularity(again, index)]
    elif logged.send_probability < GATE_EVEN:
        said = ["Now and then we tell somebody of a deal although it may change nothing, to learn whom it helps."]
    else:
        said = ["You might buy it anyway, but more likely so when you are reminded of it."]
    if logged.propensities[0] < 1.0 / int(again.mask.sum()):
        said.append("It was not our first guess: now and then we try something else, to learn what you like.")
    if again.catalogue.discount_minor[index] > 0:
        said.append("It is cheaper than usual.")
    return said


def _habit(logged: LoggedDecision, again: Replayed, index: int) -> str | None:
    """The habit that speaks for the offer; None when it may not be used, or when too little is known to call it one."""
    if not (logged.request.may_personalise and inputs.of_catalogue(again.catalogue).may_be_personal[index]):
        return None
    state = tastes.view(logged.tastes)
    since_s = logged.request.decided_at.timestamp() - float(state.header["as_of_s"][0])
    left = half_life_factor(since_s, BOUGHT_HALF_LIFE_S)
    baskets = float(state.header["baskets"][0])
    bought = dict(zip(state.entries["tag_id"].tolist(), state.entries["bought"].tolist(), strict=True))
    tag_ids = again.catalogue.offers[index].tag_ids
    favourite = max(tag_ids, key=lambda tag_id: bought.get(tag_id, 0.0))
    times = bought.get(favourite, 0.0)
    if baskets * left < OWN_BASKETS_MIN or times * left < OWN_PURCHASES_MIN:
        return None
    tag = next(name for name, tag_id in again.catalogue.tag_id_by_name.items() if tag_id == favourite)
    return f"You buy {tag}: it is in about {min(max(round(100 * times / baskets), 1), 100)} % of your baskets."


def _popularity(again: Replayed, index: int) -> str:
    popular = again.phi[:, features.NAMES.index("lpop")]
    if popular[index] > popular[again.mask].mean():
        return "It is popular with other people."
    return "It is one of the deals that hold for you now."


def _data_used(logged: LoggedDecision, again: Replayed) -> list[str]:
    used = ["what is on offer now", "which deals you have turned down, and your age where a deal asks for it"]
    if logged.request.context.store_id is not None and again.catalogue.store_bound:
        used.append(_TOLD.format("store_id"))
    if not logged.offer_ids or logged.in_control:
        return used
    used.append("what other people buy, all taken together")
    if logged.request.gain is not None:
        used.append("what people buy after a notification and what they buy without one, all taken together")
    used += _personal(logged, again)
    if logged.request.local_hour >= 0:
        used.append("the time of day where you are")
    context = logged.request.context
    return used + [_TOLD.format(name) for name in ("distance_m", "is_raining") if getattr(context, name) is not None]


def _personal(logged: LoggedDecision, again: Replayed) -> list[str]:
    """What of the person themselves the offers were scored by; an offer that may not be personal was scored as for a stranger."""
    may_be_personal = inputs.of_catalogue(again.catalogue).may_be_personal
    if not logged.request.may_personalise or not may_be_personal[again.mask].any():
        return []
    used = []
    if logged.tastes:
        used = _of_tastes(tastes.view(logged.tastes))
    if logged.personal:
        used.append("how you answered the deals we showed you before")
    if logged.request.gain is not None and logged.request.gain.own_mean is not None:
        used.append("what you bought after the notifications we sent you")
    if logged.request.basket_tag_ids:
        used.append(_TOLD.format("basket_tags"))
    drawn = [again.catalogue.index_by_id[offer_id] for offer_id in logged.offer_ids]
    if may_be_personal[drawn].any():
        return used
    return [f"for other deals only: {line}" for line in used]


def _of_tastes(state: tastes.View) -> list[str]:
    """Of purchases and showings only where some are known: that nothing came of somebody since they joined is used as well."""
    used = []
    if state.header["baskets"][0] > 0.0 or state.entries["bought"].any():
        days = round(BOUGHT_HALF_LIFE_S / 86400)
        used.append(f"your purchases, the older ones counting less (half after {days} days)")
    if len(state.entries) or state.header["pushed"][0] > 0.0:
        used.append("which deals you have seen lately, and how many notifications you left unanswered")
    if state.header["known_since_s"][0] > 0:
        used.append("since when you have been with us")
    return used


def _own_offsets(again: Replayed) -> npt.NDArray[np.float32]:
    """(offers,) what the person's own part adds to the log-odds of a redemption."""
    return np.zeros(len(again.phi), np.float32) if again.own is None else again.own.z @ again.own.mean


def _gains(logged: LoggedDecision, again: Replayed) -> list[dict[str, Any]]:
    """Of each offer what sending it is worth, where the gain counts."""
    if again.known is None:
        return [{}] * len(again.phi)
    found = gains.gains_of(again.catalogue, again.known, logged.request, again.phi)
    return [
        {"gain_minor": value, "bought_if_sent": sent, "bought_anyway": organic}
        for value, sent, organic in zip(found.value.tolist(), found.sent.tolist(), found.organic.tolist(), strict=True)
    ]


def _numbers(logged: LoggedDecision, again: Replayed) -> dict[str, Any]:
    if again.draw is None:
        return {"candidates": [], "eligible": 0, "reason_codes": logged.reason_codes}
    ids, pmf = again.catalogue.ids, again.draw.pmf
    order = np.argsort(-pmf, kind="stable")[:20]
    offsets, added = _own_offsets(again), _gains(logged, again)
    prices = prices_of(again.catalogue, logged.request)
    etas = (again.phi @ again.model.means.T).astype(np.float64)
    etas[:, HEADS.index("redeem")] += offsets
    chances = link.mean(again.model.link, etas)
    return {
        "candidates": [
            {
                "offer_id": again.catalogue.offers[index].offer.offer_id,
                "propensity": float(pmf[index]),
                "prediction": {head: float(chances[index, place]) for place, head in enumerate(HEADS)},
                "features": dict(zip(features.NAMES, map(float, again.phi[index]), strict=True)),
                "own_part": float(offsets[index]),
                "shadow_price": 0.0 if prices is None else float(prices[index]),
            }
            | added[index]
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
        "effect_version": None if logged.request.gain is None else logged.request.gain.effect_version,
        "catalogue_version": logged.catalogue_version,
        "reason_codes": logged.reason_codes,
    }
