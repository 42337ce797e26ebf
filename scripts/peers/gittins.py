"""gittins: a diagonal ridge with epsilon-greedy over hashed features; its numbers go in as each candidate's own features."""

from collections.abc import Iterator

import gittins

from scripts.peers.peer import F32, Maker

Candidate = tuple[str, dict[str, float]]


def candidates(phi: F32) -> list[Candidate]:
    """The round in its own form."""
    return [(f"a{k}", {f"f{i}": value for i, value in enumerate(row)}) for k, row in enumerate(phi.tolist())]


class Gittins:
    """Decide, then learn by the decision's id."""

    def __init__(self, bits: int, seed: int, **options: float) -> None:
        self.state = gittins.create(bits=bits, horizon=1e9, **options)
        self._salt, self._t, self._id = f"s{seed}", 0.0, None

    def decide(self, phi: F32) -> int:
        return self.decide_on(candidates(phi))

    def decide_on(self, offered: list[Candidate]) -> int:
        """As `decide`, with the candidates in its own form already."""
        self._t += 1.0
        record = gittins.decide(self.state, {}, offered, self._t, self._salt)
        self._id = record.decision_id
        return int(record.chosen)

    def learn(self, row: F32, reward: float) -> None:  # noqa: ARG002 - it remembers the row itself
        gittins.learn(self.state, self._id, reward, self._t)


BEST = "bits 12, {'epsilon': 0.0}"


def settings() -> Iterator[tuple[str, Maker]]:
    """What was tried."""
    for bits in (12, 18):
        for epsilon in (None, 0.01, 0.003, 0.0):
            for forgetfulness in (None, 1.0):
                options = {"epsilon": epsilon, "forgetfulness": forgetfulness}
                kept = {name: value for name, value in options.items() if value is not None}
                yield f"bits {bits}, {kept or 'default'}", _maker(bits, kept)


def _maker(bits: int, options: dict[str, float]) -> Maker:
    return lambda seed, _, __: Gittins(bits, seed, **options)
