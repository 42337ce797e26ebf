"""What a run has shown: counts, verdict, and how long recoveries took; as JSON for programs, as words for people."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from loadtest.faults import schedule
from loadtest.faults.ledger import Ledger
from loadtest.faults.recovery import Recovery
from loadtest.faults.verdict import COUNTS, Verdict

_QUANTILES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))


class Acknowledged(msgspec.Struct):
    """How much was acknowledged, told again, and asked again because no answer came."""

    events: int
    decisions: int
    decisions_degraded: int
    feedback: int
    redemptions: int
    pushes_received: int
    told_again: int
    asked_again: int


class Report(msgspec.Struct):
    """A run. Recovery times are seconds, by what was killed: until a write was acknowledged, and until all was whole."""

    seed: str
    seconds: float
    kills: int
    schedule: list[str]
    acknowledged: Acknowledged
    verdict: Verdict
    writes_again_s: dict[str, dict[str, float]]
    whole_again_s: dict[str, dict[str, float]]

    @property
    def is_clean(self) -> bool:
        """Whether every promise held."""
        return self.verdict.is_clean


def acknowledged(ledger: Ledger, pushes: int) -> Acknowledged:
    """The sizes of the ledger."""
    degraded = sum(one.is_degraded for one in ledger.decisions.values())
    sizes = (len(ledger.events), len(ledger.decisions), degraded, len(ledger.feedback), len(ledger.sales))
    return Acknowledged(*sizes, pushes, ledger.replayed, ledger.retries)


def quantiles(recoveries: Sequence[Recovery], which: str) -> dict[str, dict[str, float]]:
    """By what was killed alone or with something else, and of all."""
    kinds = {victim: [one for one in recoveries if victim in one.victims] for victim in schedule.VICTIMS}
    return {name: _of(found, which) for name, found in {"all": list(recoveries), **kinds}.items() if found}


def _of(recoveries: Sequence[Recovery], which: str) -> dict[str, float]:
    seconds = [getattr(one, which) for one in recoveries]
    found = {name: round(float(np.quantile(seconds, share)), 3) for name, share in _QUANTILES}
    return {"count": float(len(seconds)), **found}


def as_json(report: Report) -> str:
    """One JSON object."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()


def as_text(report: Report) -> str:
    """Lines for people, the verdict last."""
    told, verdict = report.acknowledged, report.verdict
    lines = [
        f"{report.kills} kills in {report.seconds:.0f} s, seed {report.seed}",
        f"acknowledged: {told.events} events, {told.decisions} decisions, {told.feedback} answers, {told.redemptions} redemptions",
        f"decided without the database {told.decisions_degraded}",
        f"pushes received {told.pushes_received}; told again {told.told_again}, asked again {told.asked_again}",
        "",
        f"{'seconds until':<28}{'kills':>6}" + "".join(f"{name:>8}" for name, _ in _QUANTILES),
    ]
    for what, table in (("writes again", report.writes_again_s), ("whole again", report.whole_again_s)):
        for victim, found in table.items():
            cells = "".join(f"{found[name]:>8.2f}" for name, _ in _QUANTILES)
            lines.append(f"{what + ', ' + victim:<28}{found['count']:>6.0f}{cells}")
    lines += ["", ", ".join(f"{name.replace('_', ' ')} {getattr(verdict, name)}" for name in COUNTS)]
    return "\n".join([*lines, *verdict.examples])
