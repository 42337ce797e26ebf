"""How a run stands: written by the driver, read by the progress bar and the report page."""

import time
from typing import NamedTuple
from uuid import UUID

import numpy as np

from service.demo import local_week, scoring
from service.demo.api import Explained
from service.demo.local_week import HOURS, Ints
from service.demo.results import Results
from service.demo.scoring import Scores
from service.demo.world import World


class ExplainedPush(NamedTuple):
    """One push of the engine, what became of it, and why the server says it was chosen."""

    user_id: str
    title: str
    sent_at_s: int
    opened: bool
    redeemed: bool
    why: Explained


class Rates(NamedTuple):
    """What the phones have received and answered so far."""

    pushes: int
    opened: int
    redeemed: int


class Board:
    """Counts and choices; one thread writes, others may read at any time."""

    def __init__(self, world: World, references: dict[str, Scores]) -> None:
        self.world = world
        self.references = references
        self.engine = scoring.none_sent(world)
        self.decision_ids: dict[tuple[int, int], UUID] = {}
        self.opened_at_s = np.zeros_like(self.engine.at_s)
        self.redeemed_at_s = np.zeros_like(self.engine.at_s)
        self.phase = "starting the server"
        self.now_s = 0
        self.events = 0
        self.accepted = 0
        self.decisions = 0
        self.explained: list[ExplainedPush] = []
        self.results: Results | None = None
        self._began = time.monotonic()

    def elapsed_s(self) -> float:
        """Real seconds since the run began, until it was done."""
        return self.results.traffic.seconds if self.results else time.monotonic() - self._began

    def week(self) -> int:
        """The decision week that is being replayed; negative in the history."""
        return int(local_week.weeks_of(np.array([self.now_s]))[0]) if self.now_s else -1

    def rates(self) -> Rates:
        """Counts up to the virtual present."""
        return Rates(
            int(np.count_nonzero(self.engine.at_s)),
            int(np.count_nonzero(self._known(self.opened_at_s))),
            int(np.count_nonzero(self._known(self.redeemed_at_s))),
        )

    def weekly_redeemed(self) -> dict[str, list[float]]:
        """Redemptions a household by week: of the references for all weeks, of the engine for the weeks whose windows have closed."""
        curves = {name: scores.redeemed.mean(axis=0).tolist() for name, scores in self.references.items()}
        closed = int(np.searchsorted(self._closing_s(), self.now_s, "right"))
        curves["engine"] = (self.redeemed_at_s[:, :closed] > 0).mean(axis=0).tolist()
        return curves

    def send_hours(self) -> Ints:
        """(7, 24) the engine's pushes by local day and hour."""
        hours = local_week.hours_of_week(self.engine.at_s[self.engine.sent()])
        return np.bincount(hours, minlength=HOURS).reshape(7, 24)

    def _closing_s(self) -> Ints:
        after_the_last_hour: Ints = self.world.instants_s[1:, 0] + 72 * 3600
        return after_the_last_hour

    def _known(self, at_s: Ints) -> Ints:
        known: Ints = np.where(at_s <= self.now_s, at_s, 0)
        return known
