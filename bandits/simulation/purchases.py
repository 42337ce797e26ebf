"""What people do on their own accord: baskets, opens of the app and looks at things, drawn hour by hour from their rates."""

from typing import Final, NamedTuple

import numpy as np

from bandits.simulation.people import Flags, People
from bandits.simulation.week import BEGIN_S, F64, HOUR_S, I64, Span
from bandits.simulation.world import World

_BASKETS: Final = 1
_OPENS: Final = 2
_VIEWS: Final = 3


class Baskets(NamedTuple):
    """One person's baskets in order of time: at_s (B,), has (B, T) what each holds."""

    at_s: F64
    has: Flags


class Looks(NamedTuple):
    """One person's looks at things in order of time: at_s (V,), thing (V,)."""

    at_s: F64
    thing: I64


def baskets(world: World, person: int) -> Baskets:
    """A Poisson process with the person's rate in each hour; each basket holds each thing with the probability of that hour."""
    draw = world.generator(_BASKETS, person)
    at_s, middle_s = _instants(world, person, float(world.people.visits_per_week[person]), draw)
    chance = world.people.tastes_at(person, middle_s)
    has = draw.random(chance.shape) < chance
    return Baskets(at_s, has)


def opens(world: World, person: int) -> F64:
    """When the person opens the app, (O,), in order."""
    draw = world.generator(_OPENS, person)
    return _instants(world, person, float(world.people.opens_per_week[person]), draw)[0]


def looks(world: World, person: int) -> Looks:
    """At which things the person looks."""
    draw = world.generator(_VIEWS, person)
    rates = world.people.views_per_week[person]
    total = float(rates.sum())
    at_s, _ = _instants(world, person, total, draw)
    return Looks(at_s, draw.choice(len(rates), len(at_s), p=rates / total) if len(at_s) else np.zeros(0, np.int64))


def _instants(world: World, person: int, per_week: float, draw: np.random.Generator) -> tuple[F64, F64]:
    """Instants of a process in order, and the middle of the hour of each."""
    span = Span(BEGIN_S, world.ends_s)
    expected = rates(world.people, np.array([person]), np.full(world.size, per_week), span)[0]
    begins_s = np.repeat(span.begins_s, draw.poisson(expected))
    at_s = begins_s + draw.random(len(begins_s)) * HOUR_S
    order = np.argsort(at_s, kind="stable")
    return at_s[order], begins_s[order] + HOUR_S / 2


def rates(people: People, persons: I64, per_week: F64, span: Span) -> F64:
    """(P, hours) expected events in what the span covers of each hour, of processes of per_week (N,); people join at full hours."""
    has_joined = span.begins_s >= people.joins_at_s[persons, None]
    expected: F64 = per_week[persons, None] * people.hours[persons[:, None], span.hours] * span.part * has_joined
    return expected
