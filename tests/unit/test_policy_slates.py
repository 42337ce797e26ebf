"""What a slate tells of another policy: slots later in it were reached by the slots before."""

import numpy as np
import pytest

from bandits.evaluation.comparison import CLUSTERS, Comparison, Rows, Side
from schema.policy_evaluation import EvaluationRequest, PromotionRequest
from service.errors import ApiError
from service.policies import promotion
from service.policies.rows import of_slate

REWARD = np.array([0.3, 0.1])


def pmf_of(first: float, taken: int) -> np.ndarray:
    """(2, 2): the first slot, and the second given the first."""
    return np.array([[first, 1.0 - first], np.eye(2)[1 - taken]])


def test_another_order_of_the_same_offers_gains_nothing() -> None:
    rng = np.random.default_rng(3)
    logged, challenger = 0.4, 0.7
    comparison = Comparison()
    rows: list[tuple[float, ...]] = []
    for _ in range(20_000):
        first = int(rng.random() >= logged)
        taken = np.array([first, 1 - first])
        own = pmf_of(logged, first)
        propensities = own[[0, 1], taken]
        sides = [of_slate(pmf_of(share, first), taken, propensities, REWARD) for share in (challenger, logged)]
        assert sides[1].weights == pytest.approx([1.0, 1.0])
        cluster = rng.integers(CLUSTERS)
        for slot, arm in enumerate(taken):
            reward = float(rng.random() < REWARD[arm])
            terms = [(side.weights[slot], side.expectations[slot]) for side in sides]
            rows.append((cluster, slot == 0, reward, REWARD[arm], *terms[0], *terms[1]))
    columns = np.array(rows, np.float64).T
    comparison.add(
        Rows(columns[0].astype(np.int64), *columns[1:4], Side(*columns[4:6]), Side(*columns[6:8]), low=0.0, high=1.0)
    )
    told = comparison.compared()
    gain = told.gain["dr"]
    assert gain.interval.low < 0.0 < gain.interval.high
    assert abs(gain.value) < 0.006
    assert told.challenger["dr"].value == pytest.approx(REWARD.sum(), abs=0.015)


@pytest.mark.parametrize("part", [{"channel": "push"}, {"campaign_id": "lunch"}, {"confidence": 0.9}])
def test_a_part_of_the_log_promotes_by_force_only(part: dict[str, str | float]) -> None:
    ask = EvaluationRequest(**part)  # type: ignore[arg-type] # one field at a time
    with pytest.raises(ApiError) as refused:
        promotion.check(PromotionRequest(evaluation=ask))
    assert [error.pointer for error in refused.value.errors] == [f"/evaluation/{next(iter(part))}"]
    promotion.check(PromotionRequest(is_forced=True, reason="lunch is all we do", evaluation=ask))
    promotion.check(PromotionRequest())
