"""How long one decision and one update take, called from Python on one pinned core: ours and the libraries take turns."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from scripts.peers import library
from scripts.peers.interleaved import Time, Timed, measure
from scripts.peers.ours import OneByOne
from scripts.peers.peer import F32

OFFERS: Final = 50
DIMS: Final = 32
_WARM_ROUNDS: Final = 60
_SEED: Final = 20_261_122

Calls = Iterator[tuple[str, str, Callable[[], object], int]]
"""Name, "decide" or "update", what is called, how often in a row: a millisecond or two, so that few turns are interrupted."""


def table(rounds: int) -> dict[str, dict[str, Time]]:
    """Times by "decide" and "update", then by name; ours first."""
    contexts = _contexts()
    calls = list(OneByOne(contexts).calls())
    for name in library.installed():
        calls += _CALLS[name](contexts)
    return {
        kind: measure([Timed(name, call, times) for name, what, call, times in calls if what == kind], rounds)
        for kind in ("decide", "update")
    }


def _contexts() -> F32:
    """(rounds, OFFERS, DIMS) rows of a size that keeps every model in its usual range; the first feature is 1."""
    rng = np.random.default_rng(_SEED)
    rows = rng.normal(0.0, 1.0 / np.sqrt(DIMS), (_WARM_ROUNDS, OFFERS, DIMS)).astype(np.float32)
    rows[:, :, 0] = 1.0
    return rows


def _vowpalwabbit(contexts: F32) -> Calls:
    import vowpalwabbit  # noqa: PLC0415 - only where it is installed

    from scripts.peers.vowpalwabbit import VowpalWabbit, lines  # noqa: PLC0415 - as above

    peer = VowpalWabbit("--squarecb --gamma_scale 1000", 0)
    _warm(peer, contexts)
    workspace = peer.workspace
    text = lines(contexts[0])
    labelled = ["0:-1:0.5 " + text[0], *text[1:]]
    kind = vowpalwabbit.LabelType.CONTEXTUAL_BANDIT
    parsed, parsed_labelled = workspace.parse(text, kind), workspace.parse(labelled, kind)
    yield "VW squarecb, text", "decide", lambda: workspace.predict(text), 8
    yield "VW squarecb, text with its making", "decide", lambda: workspace.predict(lines(contexts[0])), 4
    yield "VW squarecb, parsed beforehand, hot", "decide", lambda: workspace.predict(parsed), 80
    yield "VW squarecb, text", "update", lambda: workspace.learn(labelled), 8
    yield "VW squarecb, parsed beforehand, hot", "update", lambda: workspace.learn(parsed_labelled), 30


def _bayesianbandits(contexts: F32) -> Calls:
    from bayesianbandits import BayesianGLM, ThompsonSampling  # noqa: PLC0415 - only where it is installed

    from scripts.peers.bayesianbandits import BayesianBandits  # noqa: PLC0415 - as above

    peer = BayesianBandits(BayesianGLM(alpha=1.0, link="logit"), ThompsonSampling(), 0, OFFERS, DIMS)
    _warm(peer, contexts)
    yield "bayesianbandits shared Thompson", "decide", lambda: peer.decide(contexts[0]), 10
    yield "bayesianbandits shared Thompson", "update", lambda: peer.learn(contexts[0, 0], 1.0), 10


def _gittins(contexts: F32) -> Calls:
    from scripts.peers.gittins import Gittins, candidates  # noqa: PLC0415 - only where it is installed

    peer = Gittins(12, 0)
    _warm(peer, contexts)
    offered = candidates(contexts[0])

    def update() -> None:
        peer.decide_on(offered[:1])
        peer.learn(contexts[0, 0], 1.0)

    yield "gittins, candidates made beforehand", "decide", lambda: peer.decide_on(offered), 8
    yield "gittins, with a decision of one candidate", "update", update, 100


def _mabwiser(contexts: F32) -> Calls:
    from mabwiser.mab import MAB, LearningPolicy  # noqa: PLC0415 - only where it is installed

    users = contexts[:, 0].astype(np.float64)
    mab = MAB(list(range(OFFERS)), LearningPolicy.LinUCB(alpha=0.3), seed=0)
    mab.fit(np.arange(_WARM_ROUNDS) % OFFERS, np.arange(_WARM_ROUNDS) % 2, users)
    one = users[:1]
    yield "MABWiser LinUCB, a model an offer", "decide", lambda: mab.predict(one), 4
    yield "MABWiser LinUCB, a model an offer", "update", lambda: mab.partial_fit([3], [1.0], one), 1


def _contextualbandits(contexts: F32) -> Calls:
    from contextualbandits.online import LinUCB  # noqa: PLC0415 - only where it is installed

    users = contexts[:, 0].astype(np.float64)
    model = LinUCB(OFFERS, alpha=0.3, fit_intercept=False, random_state=1)
    model.partial_fit(users, np.arange(_WARM_ROUNDS) % OFFERS, (np.arange(_WARM_ROUNDS) % 2).astype(np.float64))
    one, arm, reward = users[:1], np.array([3]), np.ones(1)
    yield "contextualbandits LinUCB, a model an offer", "decide", lambda: model.predict(one), 1
    yield "contextualbandits LinUCB, a model an offer", "update", lambda: model.partial_fit(one, arm, reward), 3


def _warm(peer: object, contexts: F32) -> None:
    for number, phi in enumerate(contexts):
        arm = peer.decide(phi)  # type: ignore[attr-defined]
        peer.learn(phi[arm], float(number % 10 == 0))  # type: ignore[attr-defined]


_CALLS: Final = {
    "vowpalwabbit": _vowpalwabbit,
    "bayesianbandits": _bayesianbandits,
    "gittins": _gittins,
    "mabwiser": _mabwiser,
    "contextualbandits": _contextualbandits,
}
