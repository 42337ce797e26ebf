"""From a logged decision, made anew, to what an evaluation compares: one row a slot, for the challenger and for the policy in force.

A push is drawn and then gated, so that no_send is one more action: its probability is what the gate leaves over, its reward 0. What was
drawn to be sent but was withdrawn, or never shown, was decided all the same: it stays, with reward 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from bandits.evaluation.comparison import CLUSTERS, Rows, Side
from bandits.policies import probabilities
from bandits.policies.draw import Offers, Terms
from bandits.policies.probabilities import Probabilities
from schema.decision import Action, Rules
from schema.ids import stable_share
from service.decision import pipeline, policy
from service.decision.prices import prices_of
from service.decision.replay import Replayed
from service.store.logged_decision import LoggedDecision
from service.store.policies import InForce
from service.store.policy_log import Followed

Arms = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


class Row(NamedTuple):
    """One slot; expected is of what was taken, lowest the least reward possible, the rest by policy: challenger, then incumbent."""

    cluster: int
    is_first: float
    reward: float
    expected: float
    lowest: float
    weights: tuple[float, float]
    expectations: tuple[float, float]


def of_decision(followed: Followed, again: Replayed, sides: tuple[InForce, InForce]) -> list[Row]:
    """The rows of a decision; sides are challenger and incumbent."""
    logged = followed.logged
    rules = logged.request.rules
    own = pipeline.terms_of(logged.request, logged.tastes, in_control=logged.in_control)
    terms = [own, *(_terms(logged, policy.as_if_by(side, rules)) for side in sides)]
    places = again.catalogue.index_by_id
    taken = np.array([places[offer_id] for offer_id in logged.offer_ids], np.int64)
    offers = Offers(again.phi, again.mask, again.catalogue.tag_ids, prices_of(again.catalogue, logged.request))
    told = probabilities.judged(again.model, offers, terms, taken, again.own)
    expected = np.clip(told.expected, 0.0, sum(rules.values))
    if rules.is_gated:
        return [_gated(followed, taken, told.policies, expected - own.attention_price, own)]
    return _shown(followed, taken, told.policies[1:], expected)


def _terms(logged: LoggedDecision, rules: Rules) -> Terms:
    given = msgspec.structs.replace(logged.request, rules=rules)
    return pipeline.terms_of(given, logged.tastes, in_control=False)


def block(rows: Sequence[Row], followed: Sequence[Followed]) -> Rows:
    """The rows of some decisions as arrays; rewards lie between what the rules of these decisions allow."""
    given = [one.logged.request.rules for one in followed]
    columns = [np.array(column, np.float64) for column in zip(*(row[:5] for row in rows), strict=True)]
    weights = np.array([row.weights for row in rows])
    expectations = np.array([row.expectations for row in rows])
    return Rows(
        cluster=columns[0].astype(np.int64),
        is_first=columns[1],
        reward=columns[2],
        expected=columns[3],
        challenger=Side(weights[:, 0], expectations[:, 0]),
        incumbent=Side(weights[:, 1], expectations[:, 1]),
        low=float(columns[4].min()),
        high=max(sum(rules.values) for rules in given),
    )


def _shown(followed: Followed, taken: Arms, sides: Sequence[Probabilities], expected: F64) -> list[Row]:
    logged, rules = followed.logged, followed.logged.request.rules
    slates = [of_slate(side.pmf, taken, np.array(logged.propensities), expected) for side in sides]
    rows = []
    for slot, arm in enumerate(taken.tolist()):
        answers = followed.answered.get(slot)
        weights, expectations = zip(*((slate.weights[slot], slate.expectations[slot]) for slate in slates), strict=True)
        rows.append(
            Row(
                cluster=_cluster(logged.user_id),
                is_first=float(slot == 0),
                reward=0.0 if answers is None else _earned(rules, answers),
                expected=float(expected[arm]),
                lowest=0.0,
                weights=weights,
                expectations=expectations,
            )
        )
    return rows


class Slate(NamedTuple):
    """One policy at each slot of a slate, (slots,) each: its probability of all that was taken so far over that of the log, and the reward
    it expects of the slot, as likely as it would have come to the slots before.
    """

    weights: list[float]
    expectations: list[float]


def of_slate(pmf: F64, taken: Arms, propensities: F64, expected: F64) -> Slate:
    """The terms of cascade doubly robust estimation (Kiyohara et al., WSDM 2022): right when the reward of a slot depends on it and on
    those before.

    Args:
        pmf: (slots, offers) the policy's, given the earlier slots as they were taken.
        taken: (slots,) offers.
        propensities: (slots,) of the log, given the earlier slots.
        expected: (offers,) reward expected of each offer.
    """
    ratios = pmf[np.arange(len(taken)), taken] / propensities
    so_far = np.cumprod(ratios)
    before = np.concatenate([[1.0], so_far[:-1]])
    return Slate(so_far.tolist(), (before * (pmf @ expected)).tolist())


def _gated(followed: Followed, taken: Arms, policies: Sequence[Probabilities], worth: F64, terms: Terms) -> Row:
    """A push; worth (offers,) is what is expected of sending each, less the attention it takes."""
    logged, answers = followed.logged, followed.answered.get(0)
    own, challenger, incumbent = (one.pmf[0] * one.send for one in policies)
    if logged.action == Action.OFFER:
        arm, propensity = int(taken[0]), logged.propensities[0] * logged.send_probability
        weights = (challenger[arm] / propensity, incumbent[arm] / propensity)
        expected = float(worth[arm])
    else:
        silence = 1.0 - own.sum()
        weights = (max(1.0 - challenger.sum(), 0.0) / silence, max(1.0 - incumbent.sum(), 0.0) / silence)
        expected = 0.0
    return Row(
        cluster=_cluster(logged.user_id),
        is_first=1.0,
        reward=0.0 if answers is None else _earned(logged.request.rules, answers) - terms.attention_price,
        expected=expected,
        lowest=-terms.attention_price,
        weights=weights,
        expectations=(float(challenger @ worth), float(incumbent @ worth)),
    )


def _earned(rules: Rules, answers: tuple[bool, bool]) -> float:
    return sum(value for value, is_answered in zip(rules.values, answers, strict=True) if is_answered)


def _cluster(user_id: int) -> int:
    return int(stable_share(user_id, "people of an evaluation") * CLUSTERS)
