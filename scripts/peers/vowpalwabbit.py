"""Vowpal Wabbit: cb_explore_adf, asked in its text format or with examples parsed beforehand."""

from collections.abc import Iterator

import numpy as np
import vowpalwabbit

from scripts.peers.peer import F32, Maker


def lines(phi: F32) -> list[str]:
    """The round in VW's text format, one line an action."""
    form = "|a " + " ".join(f"f{i}:%.6g" for i in range(phi.shape[1]))
    return [form % tuple(row) for row in phi.tolist()]


class VowpalWabbit:
    """Text in, one uniform number, the propensity kept for the update, as the manual has it."""

    def __init__(self, arguments: str, seed: int) -> None:
        self.workspace = vowpalwabbit.Workspace(
            f"--cb_explore_adf --quiet --noconstant --random_seed {seed + 1} {arguments}"
        )
        self._rng = np.random.default_rng(seed)
        self._lines: list[str] = []
        self._arm, self._propensity = 0, 1.0

    def decide(self, phi: F32) -> int:
        self._lines = lines(phi)
        pmf = np.asarray(self.workspace.predict(self._lines))
        pmf /= pmf.sum()
        self._arm = int(min(np.searchsorted(pmf.cumsum(), self._rng.random(), side="right"), len(pmf) - 1))
        self._propensity = float(pmf[self._arm])
        return self._arm

    def learn(self, row: F32, reward: float) -> None:  # noqa: ARG002 - the row is in the text it keeps
        labelled = self._lines.copy()
        labelled[self._arm] = f"0:{-reward}:{self._propensity} {labelled[self._arm]}"
        self.workspace.learn(labelled)


COSTS = "--cb_min_cost -1 --cb_max_cost 0"
"""A reward of 1 is a cost of -1; without the range regcb takes all costs for alike and its choices are uniform."""


BEST = "regcbopt mellowness 0.01, rate 1.0"


def settings() -> Iterator[tuple[str, Maker]]:
    """What was tried."""
    for mellowness in (0.1, 0.01, 0.001):
        for rate in (0.5, 1.0, 2.0):
            arguments = f"--regcbopt --mellowness {mellowness} -l {rate} {COSTS}"
            yield f"regcbopt mellowness {mellowness}, rate {rate}", _maker(arguments)
    for gamma in (10, 100, 1000, 5000):
        for rate in (0.1, 0.5, 2.0, 8.0):
            yield f"squarecb gamma {gamma}, rate {rate}", _maker(f"--squarecb --gamma_scale {gamma} -l {rate}")
    for kind in ("mtr", "dr", "ips"):
        yield f"epsilon 0.01, {kind}", _maker(f"--epsilon 0.01 --cb_type {kind}")
    yield "bag 5", _maker("--bag 5 --epsilon 0.01")
    yield "cover 5", _maker("--cover 5")
    yield "softmax 100", _maker("--softmax --lambda 100")


def _maker(arguments: str) -> Maker:
    return lambda seed, _, __: VowpalWabbit(arguments, seed)
