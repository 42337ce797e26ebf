"""One policy through all weeks of some people: the shared posterior once a week, a person's own part at once."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import features, laplace, personal, personal_variance
from bandits.kernels.random import key_from_bytes
from bandits.laplace import Design
from bandits.personal import LoggedRow, Personal
from bandits.policies import draw
from bandits.policies.draw import Draw, Offers, Terms
from bandits.policies.model import Model
from bandits.rhythm import HOURS
from schema.snapshot import HEADS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

VARIANCES_EVERY_WEEKS: Final = 4
TERMS: Final = Terms("thompson", 1, 0.002, 0.2, (0.0, 1.0), 0, False, 0.01, 0.0, False)

_SLOPES: Final = [features.NAMES.index(name) for name in personal.SLOPES]
_REDEEM: Final = HEADS.index("redeem")
_PRIOR: Final = features.PRIORS[_REDEEM]


class Walk(NamedTuple):
    """What is played: phi (weeks, people, arms, d), axes (weeks, arms, AXES), begins_s (weeks,) and reward (weeks, people, arms)."""

    phi: F32
    axes: F32
    begins_s: F64
    reward: Flags


def play(walk: Walk, seed: int, *, is_personal: bool) -> tuple[F64, tuple[float, ...]]:
    """Mean reward of each person, (people,), and the prior variances of the personal blocks at the end."""
    player = _Player(walk, seed, is_personal=is_personal)
    for week in range(len(walk.phi)):
        player.week(week)
    return player.earned / len(walk.phi), player.variances


class _Player:
    def __init__(self, walk: Walk, seed: int, *, is_personal: bool) -> None:
        people = walk.phi.shape[1]
        self._walk, self._seed, self._is_personal = walk, seed, is_personal
        self._own = [Personal() for _ in range(people)]
        self._shared = _Shared()
        self._tags = np.arange(walk.phi.shape[2], dtype=np.int16)[:, None].copy()
        self._all = np.ones(len(self._tags), np.bool_)
        self.earned = np.zeros(people)
        self.variances: tuple[float, ...] = personal.VARIANCES

    def week(self, week: int) -> None:
        now_s = float(self._walk.begins_s[week])
        if self._is_personal and week and week % VARIANCES_EVERY_WEEKS == 0:
            self.variances = personal_variance.learn(np.stack([one.at(now_s) for one in self._own]), self.variances)
        model = self._shared.model(now_s)
        for person in np.random.default_rng((self._seed, week)).permutation(len(self._own)).tolist():
            self._decide(model, week, person, now_s)

    def _decide(self, model: Model, week: int, person: int, now_s: float) -> None:
        phi, own = self._walk.phi[week, person], None
        if self._is_personal:
            z = personal.z_of(phi, _SLOPES, self._walk.axes[week], self._all)
            own = personal.scores(z, self._own[person].pack(), self.variances, now_s)
        key = key_from_bytes(self._seed.to_bytes(8, "big") + week.to_bytes(4, "big") + person.to_bytes(4, "big"))
        drawn = draw.draw(model, Offers(phi, self._all, self._tags), TERMS, key, own)
        chosen, offset = int(drawn.chosen[0]), float(drawn.personal_offsets[0])
        reward = bool(self._walk.reward[week, person, chosen])
        self.earned[person] += reward
        self._shared.add(phi[chosen], offset, reward)
        if own is not None:
            self._teach(person, LoggedRow(own.z[chosen], _eta(drawn), offset), now_s, reward=reward)

    def _teach(self, person: int, row: LoggedRow, now_s: float, *, reward: bool) -> None:
        # Nobody is asked again before the next week, when the window is over.
        self._own[person].shown(row, now_s)
        if reward:
            self._own[person].redeemed(row, now_s)


def _eta(drawn: Draw) -> float:
    return float(drawn.predictions[0, _REDEEM, 0])


class _Shared:
    """The shared posterior of head redeem, fitted to all rows."""

    def __init__(self) -> None:
        self._phi: list[F32] = []
        self._offsets: list[float] = []
        self._rewards: list[bool] = []
        self._mean = _PRIOR.mean

    def add(self, phi: F32, offset: float, reward: bool) -> None:
        self._phi.append(phi)
        self._offsets.append(offset)
        self._rewards.append(reward)

    def model(self, now_s: float) -> Model:
        """As a snapshot of that instant."""
        covariance = np.diag(1.0 / _PRIOR.precision)
        if self._phi:
            ones = np.ones(len(self._phi))
            rows = Design(
                np.stack(self._phi),
                np.array(self._offsets, np.float32),
                ones,
                ones,
                np.array(self._rewards, np.float64),
            )
            fitted = laplace.fit(lambda: [rows], _PRIOR, "logit", self._mean).mode
            self._mean, covariance = fitted.w, np.linalg.inv(fitted.hessian).astype(np.float64)
        return _as_model(self._mean, covariance, now_s)


def _as_model(mean: F64, covariance: F64, now_s: float) -> Model:
    means = np.stack([prior.mean for prior in features.PRIORS])
    covariances = np.stack([np.diag(1.0 / prior.precision) for prior in features.PRIORS])
    means[_REDEEM], covariances[_REDEEM] = mean, covariance
    return Model(
        version=1,
        published_at_s=now_s,
        means=means.astype(np.float32),
        factors=np.linalg.cholesky(covariances).astype(np.float32),
        tag_shares=np.zeros(0, np.float32),
        hour_shares=np.full(HOURS, 1.0 / HOURS, np.float32),
        link="logit",
        dispersions=np.ones(len(HEADS), np.float32),
        recent_shares=np.zeros(0, np.float32),
        personal_variances=np.array(personal.VARIANCES, np.float32),
        taste_map_version=0,
    )
