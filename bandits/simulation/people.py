"""The people of a world: when they come, what they buy, how that changes, and what a push does to them. Nothing here knows an engine."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.simulation.week import F64, I64

Flags = npt.NDArray[np.bool_]


class People(NamedTuple):
    """N people and T kinds of things, of which a person buys each with a probability of its own at every visit.

    Attributes:
        kinds: names of the kinds of people.
        kind: (N,) index into `kinds`.
        visits_per_week: (N,) to the shop, a Poisson process.
        opens_per_week: (N,) of the app, a Poisson process of its own.
        hours: (N, 168) share of the visits and opens in each hour of the week; rows sum to one.
        is_awake: (N, 168) whether the person is.
        tastes: (N, T) probability that a visit's basket holds the thing.
        later_tastes: (N, T) the same after the change.
        changes_at_s: (N,) when tastes begin to change; infinite for never.
        change_takes_s: (N,) how long the change takes, in a straight line; 0 for at once.
        joins_at_s: (N,) before it the person does nothing.
        invited_at_s: (N,) before it nothing is decided for the person.
        persuasion: (N, T) probability that a noticed offer of the thing makes a rested person buy it who would not have bought it.
        annoyance: (N,) probability that a noticed push takes away a purchase of the thing it is about.
        tiring: (N,) share of a person's receptivity that each push takes.
        recovery_s: (N,) time in which all but 1/e of what was taken comes back.
        views_per_week: (N, T) looks at the thing in the app, a Poisson process.
        dismissal: (N,) probability that a noticed push is dismissed.
        veto: (N, T) probability that a noticed offer of the thing gets a thumbs-down, after which it must never be shown again.
    """

    kinds: tuple[str, ...]
    kind: I64
    visits_per_week: F64
    opens_per_week: F64
    hours: F64
    is_awake: Flags
    tastes: F64
    later_tastes: F64
    changes_at_s: F64
    change_takes_s: F64
    joins_at_s: F64
    invited_at_s: F64
    persuasion: F64
    annoyance: F64
    tiring: F64
    recovery_s: F64
    views_per_week: F64
    dismissal: F64
    veto: F64

    def of_kind(self, name: str) -> I64:
        """Indices of the people of a kind; none when the world has no such kind."""
        if name not in self.kinds:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.kind == self.kinds.index(name))

    def changed(self, persons: I64, at_s: F64) -> F64:
        """(P, instants) how far the change has come, 0 to 1."""
        takes_s = np.maximum(self.change_takes_s[persons, None], 1.0)
        far: F64 = np.clip((at_s - self.changes_at_s[persons, None]) / takes_s, 0.0, 1.0)
        return far

    def tastes_at(self, person: int, at_s: F64) -> F64:
        """(instants, T) of one person."""
        changed = self.changed(np.array([person]), at_s)[0][:, None]
        tastes: F64 = (1.0 - changed) * self.tastes[person] + changed * self.later_tastes[person]
        return tastes


def together(groups: list[People]) -> People:
    """All of them in one place; kinds of the same name become one."""
    kinds = tuple(dict.fromkeys(name for group in groups for name in group.kinds))
    kind = np.concatenate([np.array([kinds.index(name) for name in group.kinds])[group.kind] for group in groups])
    columns = [name for name in People._fields if name not in {"kinds", "kind"}]
    joined = {name: np.concatenate([getattr(group, name) for group in groups]) for name in columns}
    return People(kinds, kind, **joined)
