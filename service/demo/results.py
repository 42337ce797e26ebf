"""What a run has shown: the counts of the policies and how they compare."""

from typing import Any, Final

import msgspec
import numpy as np

from service.demo import bootstrap, moments, scoring
from service.demo.bootstrap import Ratio
from service.demo.moments import Moments, Opens
from service.demo.scoring import Pushes, Scores
from service.demo.world import Flags, World

CAVEAT: Final = (
    "A replayed reality cannot be influenced by a push: this shows how well we choose, not how much a push changes."
)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one policy; opens and redemptions also of all household-weeks, with no_sends as 0."""

    pushes: int
    no_sends: int
    opened: int
    redeemed: int
    opened_per_push: float | None
    redeemed_per_push: float | None
    opened_per_household_week: float
    redeemed_per_household_week: float


class Versus(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's redemptions and opens a household-week, divided by those of a reference."""

    redeemed: Ratio
    opened: Ratio


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine compares over some of the weeks; share_of_oracle is None where no deal at all would have been redeemed."""

    versus: dict[str, Versus]
    share_of_oracle: float | None


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What went over HTTP: events the API accepted, decisions that reached a phone, messages the phones received, and how long it took."""

    events: int
    decisions: int
    accepted: int
    seconds: float


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    households: int
    weeks: int
    traffic: Traffic
    policies: dict[str, Policy]
    whole: Span
    second_half: Span
    moments: Moments


def of_run(world: World, scores: dict[str, Scores], engine: Pushes, traffic: Traffic, seed: int) -> Results:
    """Counts and compares; `scores` has the engine and every reference by name."""
    best = scoring.oracle(world, engine)
    every_week = slice(0, world.weeks)
    return Results(
        households=world.households,
        weeks=world.weeks,
        traffic=traffic,
        policies={name: _policy(one) for name, one in scores.items()},
        whole=_span(scores, best, every_week, seed),
        second_half=_span(scores, best, slice(world.weeks // 2, world.weeks), seed),
        moments=moments.compare(world, engine, seed),
    )


def as_json(results: Results) -> dict[str, Any]:
    """The object that `welltimed demo --json` prints."""
    traffic, engine = results.traffic, results.policies["engine"]
    return {
        "households": results.households,
        "weeks": results.weeks,
        "events": traffic.events,
        "decisions": traffic.decisions,
        "pushes": engine.pushes,
        "accepted": traffic.accepted,
        "opened": engine.opened,
        "redeemed": engine.redeemed,
        "policies": {name: msgspec.to_builtins(policy) for name, policy in results.policies.items()},
        "second_half": _span_as_json(results.second_half),
        "whole": _span_as_json(results.whole),
        "moments": _moments_as_json(results.moments),
        "events_per_s": traffic.events / traffic.seconds,
        "seconds": traffic.seconds,
        "caveat": CAVEAT,
    }


def _span_as_json(span: Span) -> dict[str, Any]:
    versus = {
        f"vs_{name}": {"redeemed": one.redeemed._asdict(), "opened": one.opened._asdict()}
        for name, one in span.versus.items()
    }
    return {**versus, "share_of_oracle": span.share_of_oracle}


def _moments_as_json(found: Moments) -> dict[str, Any]:
    return {
        "everyone": _opens_as_json(found.everyone),
        "night_households": _opens_as_json(found.night_households),
        "sent_at_night": found.sent_at_night,
        "sent_at_night_to_night_households": found.sent_at_night_to_night_households,
        "sent_by_hour": found.sent_by_hour,
        "sent_by_hour_to_night_households": found.sent_by_hour_to_night_households,
    }


def _opens_as_json(opens: Opens) -> dict[str, Any]:
    return {
        "pushes": opens.pushes,
        "opened_per_push": {
            "chosen": opens.chosen,
            "best_hour": opens.best_hour,
            "random_hour": opens.random_hour,
        },
        "vs_best_hour": opens.vs_best_hour._asdict(),
        "vs_random_hour": opens.vs_random_hour._asdict(),
    }


def _policy(scores: Scores) -> Policy:
    pushes, opened, redeemed = (int(np.count_nonzero(one)) for one in scores)
    household_weeks = scores.sent.size
    return Policy(
        pushes=pushes,
        no_sends=household_weeks - pushes,
        opened=opened,
        redeemed=redeemed,
        opened_per_push=opened / pushes if pushes else None,
        redeemed_per_push=redeemed / pushes if pushes else None,
        opened_per_household_week=opened / household_weeks,
        redeemed_per_household_week=redeemed / household_weeks,
    )


def _span(scores: dict[str, Scores], best: Flags, weeks: slice, seed: int) -> Span:
    engine = scores["engine"]
    versus = {
        name: Versus(
            redeemed=bootstrap.ratio(engine.redeemed[:, weeks], one.redeemed[:, weeks], seed),
            opened=bootstrap.ratio(engine.opened[:, weeks], one.opened[:, weeks], seed),
        )
        for name, one in scores.items()
        if name != "engine"
    }
    possible = int(np.count_nonzero(best[:, weeks]))
    share = int(np.count_nonzero(engine.redeemed[:, weeks])) / possible if possible else None
    return Span(versus=versus, share_of_oracle=share)
