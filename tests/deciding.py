"""Catalogues, people, asks and models for the tests of deciding, all made in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bandits import features, personal, tastes
from bandits.policies.model import Model
from schema.decision import Channel, Context
from schema.offer import Creative, Offer, StoredOffer
from service.decision import policy
from service.decision.ask import Ask
from service.store import catalogue as catalogues
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)  # a Monday


def offer(name: str, tags: Sequence[str] = ("milk",), **more: Any) -> Offer:
    return Offer(offer_id=name, creative=Creative(title=name.title()), tags=list(tags), **more)


def catalogue(*offers: Offer, version: int = 1) -> Catalogue:
    """Offers get the ids 101, 102 ...; tags those of their order of appearance, from 1."""
    tags: dict[str, int] = {}
    for one in offers:
        for tag in one.tags:
            tags.setdefault(tag, len(tags) + 1)
    stored = [
        StoredOffer(id=101 + place, tag_ids=sorted(tags[tag] for tag in one.tags), offer=one)
        for place, one in enumerate(offers)
    ]
    return catalogues.compose(version, stored, tags)


def person(**more: Any) -> DecisionPerson:
    given: dict[str, Any] = {
        "user_id": 1,
        "version": 0,
        "time_zone": None,
        "birth_date": None,
        "has_push_consent": True,
        "has_personalization_consent": True,
        "opted_out_at": None,
        "muted_until": None,
        "vetoed_offer_ids": [],
        "snoozed_offer_ids": [],
        "snoozed_until": [],
        "feedback_applied_through": None,
        "created_at": NOW,
        "tastes": None,
    }
    return DecisionPerson(**(given | more))


def ask(**more: Any) -> Ask:
    given: dict[str, Any] = {
        "placement": "home",
        "channel": Channel.IN_APP,
        "rules": policy.in_app_rules(1),
        "context": Context(),
        "candidates": None,
        "excluded": (),
        "holdout_share": 0.0,
        "control_share": 0.0,
        "campaign_id": None,
        "entropy": bytes(10),
    }
    return Ask(**(given | more))


def shopper(baskets: int, *tag_ids: int, at: datetime = NOW) -> bytes:
    """The packed state of somebody who has just bought these tags so many times."""
    state = tastes.Tastes()
    for _ in range(baskets):
        state.bought(tag_ids, at.timestamp())
    return state.pack()


def answered(*outcomes: float, at: datetime = NOW) -> bytes:
    """The packed sums of somebody who was just shown an offer for each outcome, and redeemed it (1) or not (0)."""
    own, rng = personal.Personal(), np.random.default_rng(len(outcomes))
    for outcome in outcomes:
        row = personal.LoggedRow(rng.normal(size=personal.DIMS).astype(np.float32), -2.0, 0.0)
        own.shown(row, at.timestamp())
        if outcome:
            own.redeemed(row, at.timestamp())
    return own.pack()


def model(tags: int = 8, seed: int = 3) -> Model:
    """Posteriors near the priors, and tags of decreasing popularity."""
    rng = np.random.default_rng(seed)
    means = np.stack([rng.normal(prior.mean, 0.02) for prior in features.PRIORS]).astype(np.float32)
    covariances = np.stack([np.diag(1.0 / prior.precision) for prior in features.PRIORS]).astype(np.float32)
    shares = (0.3 / np.arange(1, tags + 1)).astype(np.float32)
    return Model(
        version=7,
        published_at_s=NOW.timestamp(),
        means=means,
        factors=np.linalg.cholesky(covariances),
        tag_shares=shares,
        hour_shares=np.full(168, 1 / 168, np.float32),
        link=features.LINK,
        dispersions=np.array([prior.dispersion for prior in features.PRIORS], np.float32),
        recent_shares=shares,
        personal_variances=np.array(personal.VARIANCES, np.float32),
        taste_map_version=0,
    )
