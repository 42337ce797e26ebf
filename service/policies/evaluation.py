"""What a policy would have earned on the product's own decision log, against the one in force, and whether to believe it."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, Final, NamedTuple
from uuid import UUID

from bandits.delay import WINDOWS_S
from bandits.evaluation.comparison import Compared, Comparison, Ranged
from bandits.evaluation.diagnostics import Diagnostics
from schema.decision import Channel
from schema.policy_evaluation import CalibrationRow, Estimated, EvaluationRequest, PolicyEvaluation, Weights
from service.decision.pipeline import BREATH_S
from service.errors import invalid_field
from service.policies import rows
from service.policies.again import Impossible, Replayer
from service.policies.rows import Row
from service.store import policy_log, retention
from service.store.catalogue import CatalogueCache
from service.store.policies import InForce
from service.store.policy_log import Followed, Part

SETTLED_AFTER: Final = timedelta(seconds=max(WINDOWS_S)) + timedelta(hours=6)
"""From then on a decision's windows are closed: the longest window, and the time a phone may take to show what was decided."""

LOOKS_BACK: Final = timedelta(days=180)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


class _Judged(NamedTuple):
    part: Part
    compared: Compared
    skipped: Counter[str]


async def evaluate(
    connection: Any,
    catalogues: CatalogueCache,
    ask: EvaluationRequest,
    sides: tuple[InForce, InForce],
    now: datetime,
) -> PolicyEvaluation:
    """Judges sides[0] against sides[1], which is in force. The connection must not be in a transaction.

    Raises:
        ApiError: 400 for a campaign that there is not.
    """
    part = await _part(connection, ask, now)
    comparison, skipped, seen = Comparison(), Counter[str](), 0
    replayer = Replayer(connection, catalogues)
    async with aclosing(policy_log.blocks(connection, part)) as blocks:
        async for block in blocks:
            taken = block[: ask.decisions_max - seen]
            seen += len(taken)
            found = await _rows(replayer, taken, sides, skipped)
            if found:
                comparison.add(rows.block(found, taken))
            if seen >= ask.decisions_max:
                break
    # Off the event loop: a thousand resamples of thousands of groups.
    compared = await asyncio.to_thread(comparison.compared, ask.confidence)
    return _told(_Judged(part, compared, skipped), ask, sides)


async def _part(connection: Any, ask: EvaluationRequest, now: datetime) -> Part:
    """The decisions asked for, as far as their windows are closed and counted."""
    counted = await retention.uncounted_since(connection) or now
    settled = min(now, counted) - SETTLED_AFTER
    until = max(min(ask.until or settled, settled), _EARLIEST)
    since = ask.since or await policy_log.oldest_snapshot_at(connection) or until
    return Part(
        since=max(since, until - LOOKS_BACK),
        until=until,
        channel=None if ask.channel is None else Channel[ask.channel.upper()],
        campaign_id=None if ask.campaign_id is None else await _campaign(connection, ask.campaign_id),
        is_control=ask.group == "control",
    )


async def _campaign(connection: Any, name: str) -> UUID:
    found = await policy_log.campaign_named(connection, name)
    if found is None:
        raise invalid_field("/campaign_id", "There is no such campaign.")
    return found


async def _rows(
    replayer: Replayer, block: Sequence[Followed], sides: tuple[InForce, InForce], skipped: Counter[str]
) -> list[Row]:
    found: list[Row] = []
    breath = perf_counter() + BREATH_S
    for followed in block:
        if perf_counter() > breath:
            await asyncio.sleep(0)
            breath = perf_counter() + BREATH_S
        try:
            again = await replayer.draw_again(followed.logged)
        except Impossible as error:
            skipped[str(error)] += 1
            continue
        found += rows.of_decision(followed, again, sides)
    return found


def _told(judged: _Judged, ask: EvaluationRequest, sides: tuple[InForce, InForce]) -> PolicyEvaluation:
    part, compared, skipped = judged
    verdict = compared.verdict
    low = compared.gain["dr"].interval.low
    is_better = verdict.trustworthy and low > 0.0
    return PolicyEvaluation(
        challenger=sides[0].label,
        incumbent=sides[1].label,
        since=part.since,
        until=part.until,
        group=ask.group,
        channel=ask.channel,
        campaign_id=ask.campaign_id,
        confidence=ask.confidence,
        decisions=compared.decisions,
        rows=compared.challenger_weights.rows,
        people_groups=compared.clusters,
        skipped=dict(skipped),
        value={name: _estimated(one) for name, one in compared.challenger.items()},
        value_in_force={name: _estimated(one) for name, one in compared.incumbent.items()},
        gain={name: _estimated(one) for name, one in compared.gain.items()},
        weights=_weights(compared.challenger_weights),
        weights_in_force=_weights(compared.incumbent_weights),
        calibration=[CalibrationRow(**one._asdict()) for one in compared.calibration],
        trustworthy=verdict.trustworthy,
        reasons=verdict.reasons,
        cautions=verdict.cautions,
        is_better=is_better,
        conclusion=_conclusion(compared, ask.confidence, sides),
    )


def _conclusion(compared: Compared, confidence: float, sides: tuple[InForce, InForce]) -> str:
    challenger, incumbent = (side.label for side in sides)
    if not compared.verdict.trustworthy:
        return f"The log cannot tell whether {challenger} earns more than {incumbent}: {'; '.join(compared.verdict.reasons)}."
    value, (low, high) = compared.gain["dr"]
    told = f"{value:.4g} a decision ({100 * confidence:g} %: {low:.4g} to {high:.4g})"
    if low > 0.0:
        return f"{challenger} earns {told} more than {incumbent}."
    return f"It is not shown that {challenger} earns more than {incumbent}: the gain is {told}, and its lower bound must be above 0."


def _estimated(ranged: Ranged) -> Estimated:
    low, high = ranged.interval
    return Estimated(value=_finite(ranged.value), low=_finite(low), high=_finite(high))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _weights(figures: Diagnostics) -> Weights:
    return Weights(
        ess=figures.effective_rows,
        effective_rewards=figures.effective_rewards,
        max_weight=figures.weight_max,
        mean_weight=figures.weight_mean,
        max_weight_share=figures.weight_max_share,
        unsupported_share=figures.unsupported_share,
    )
