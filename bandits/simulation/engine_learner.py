"""The shared posterior of a trial, made as the product makes it: sums by cohort, epochs, refits when they are due, a checked snapshot."""

from typing import Final

import numpy as np

from bandits import delay, epoch, posterior, refit
from bandits.features import DIMS, FEATURE_SET, LINK, PRIORS, RANGES
from bandits.policies import model
from bandits.policies.model import Model
from bandits.population import Population
from bandits.posterior import Posterior
from bandits.sums import Ledger, Rows, Sums
from schema.snapshot import HEADS, Snapshot

REDEEM: Final = HEADS.index("redeem")


class EngineLearner:
    """Epoch and snapshots of one trial. With `is_whole` every answer is known at once, so that exposures of all ages count whole (F = 1)."""

    def __init__(self, *, is_whole: bool = False) -> None:
        self._told = (delay.AT_ONCE,) * len(HEADS) if is_whole else None
        begun = epoch.begin(PRIORS, LINK)
        self._epoch = begun._replace(tellings=self._told or begun.tellings)
        self._fitted = epoch.NOTHING
        self._fitted_s = 0.0
        self._version = 0

    def snapshot(self, rows: Rows, population: Population, variances: tuple[float, ...], now_s: float) -> Model:
        """Everything counted, as of now_s.

        Raises:
            ValueError: the result is not fit to decide by.
        """
        cohorts = self._cohorts(rows, now_s)
        extent = posterior.extent(cohorts, self._epoch, now_s)
        heads = posterior.compose(cohorts, PRIORS, RANGES, self._epoch, now_s)
        if len(rows.phi) and epoch.is_due(extent, self._fitted, posterior.reach(heads), now_s - self._fitted_s):
            starts = np.stack([head.mean for head in heads])
            told = self._told or refit.tellings(lambda: [rows], population.day_visits(now_s), now_s)
            self._epoch = refit.refit(lambda: [rows], PRIORS, self._epoch, starts, told, now_s).epoch
            self._fitted, self._fitted_s = extent, now_s
            heads = posterior.compose(self._cohorts(rows, now_s), PRIORS, RANGES, self._epoch, now_s)
        self._version += 1
        return model.from_snapshot(self._stored(heads, population, variances, now_s))

    def _cohorts(self, rows: Rows, now_s: float) -> dict[int, Sums]:
        found, group = np.unique(delay.cohorts_at(rows.exposed_at_s, now_s), return_inverse=True)
        ledger = Ledger(len(found), DIMS, self._epoch).add(rows, group.astype(np.int64))
        return {int(cohort): ledger.sums(place) for place, cohort in enumerate(found)}

    def _stored(
        self, heads: list[Posterior], population: Population, variances: tuple[float, ...], now_s: float
    ) -> Snapshot:
        return Snapshot(
            version=self._version,
            published_at_s=now_s,
            feature_set=FEATURE_SET,
            heads=[model.head_of(head, self._epoch.modes[index]) for index, head in enumerate(heads)],
            tag_shares=population.tag_shares().astype("<f4").tobytes(),
            hour_shares=population.hour_shares().astype("<f4").tobytes(),
            baskets=population.baskets_at(now_s),
            offsets=[],
            link=self._epoch.link,
            epoch=self._epoch.number,
            recent_shares=population.recent_shares(now_s).astype("<f4").tobytes(),
            personal_variances=list(variances),
        )
