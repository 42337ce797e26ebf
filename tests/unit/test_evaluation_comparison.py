"""A challenger against the policy in force: the sums are those of all rows at once, and the interval of the gain holds the truth."""

import numpy as np
import pytest

from bandits.evaluation import diagnostics
from bandits.evaluation.comparison import CLUSTERS_MIN, Comparison, Rows, Side

ARMS = 8


def logged(seed: int, people: int, each: int, *, sharp: float = 2.0) -> tuple[Rows, float]:
    """Decisions of people with tastes of their own, by a soft policy; the challenger is sharper. And the true gain of a decision."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(people, ARMS)).repeat(each, axis=0)
    level = rng.normal(0.0, 0.5, people).repeat(each)
    chance = 1.0 / (1.0 + np.exp(2.0 - taste - level[:, None]))
    log, challenger = softmax(0.7 * taste), softmax(sharp * taste)
    action = (log.cumsum(axis=1) < rng.random((people * each, 1))).sum(axis=1).clip(max=ARMS - 1)
    at = (np.arange(people * each), action)
    expected = np.clip(chance + rng.normal(0.0, 0.05, chance.shape), 0.0, 1.0)  # a model that is a little wrong
    rows = Rows(
        cluster=np.arange(people).repeat(each),
        is_first=np.ones(people * each),
        reward=(rng.random(people * each) < chance[at]).astype(np.float64),
        expected=expected[at],
        challenger=Side(challenger[at] / log[at], (challenger * expected).sum(axis=1)),
        incumbent=Side(np.ones(people * each), (log * expected).sum(axis=1)),
        low=0.0,
        high=1.0,
    )
    return rows, float(((challenger - log) * chance).sum(axis=1).mean())


def softmax(score: np.ndarray) -> np.ndarray:
    part = np.exp(score - score.max(axis=1, keepdims=True))
    return 0.9 * part / part.sum(axis=1, keepdims=True) + 0.1 / ARMS


def part_of(rows: Rows, which: slice) -> Rows:
    challenger, incumbent = (Side(*(values[which] for values in side)) for side in (rows.challenger, rows.incumbent))
    return rows._replace(
        cluster=rows.cluster[which],
        is_first=rows.is_first[which],
        reward=rows.reward[which],
        expected=rows.expected[which],
        challenger=challenger,
        incumbent=incumbent,
    )


def compare(*blocks: Rows) -> Comparison:
    comparison = Comparison()
    for block in blocks:
        comparison.add(block)
    return comparison


def test_blocks_are_as_good_as_the_whole_and_the_numbers_are_the_formulas() -> None:
    rows, _ = logged(1, 200, 3)
    whole = compare(rows).compared()
    parts = compare(part_of(rows, slice(400, 600)), part_of(rows, slice(0, 1)), part_of(rows, slice(1, 400))).compared()
    assert parts.gain["dr"].value == pytest.approx(whole.gain["dr"].value, rel=1e-12)
    assert parts.gain["dr"].interval == pytest.approx(whole.gain["dr"].interval, rel=1e-9)
    assert (whole.decisions, whole.clusters) == (600, 200)
    ours, theirs = rows.challenger, rows.incumbent
    residual = rows.reward - rows.expected
    gain = ours.expected - theirs.expected + (ours.weight - theirs.weight) * residual
    assert whole.gain["dr"].value == pytest.approx(gain.mean(), rel=1e-12)
    assert whole.gain["ips"].value == pytest.approx(((ours.weight - 1.0) * rows.reward).mean(), rel=1e-12)
    assert whole.challenger["snips"].value == pytest.approx(np.average(rows.reward, weights=ours.weight), rel=1e-12)
    assert whole.challenger["dm"].value == pytest.approx(ours.expected.mean(), rel=1e-12)
    assert whole.incumbent["ips"].value == pytest.approx(rows.reward.mean(), rel=1e-12)
    assert whole.challenger_weights == pytest.approx(diagnostics.diagnose(ours.weight, rows.reward), rel=1e-12)
    assert sum(part.rows for part in whole.calibration) == 600
    assert sum(part.rows * part.reward for part in whole.calibration) == pytest.approx(rows.reward.sum())


def test_the_value_of_a_slate_is_the_sum_over_its_slots() -> None:
    rows, _ = logged(2, 100, 4)
    is_first = np.zeros(400)
    is_first[::4] = 1.0
    slates = compare(rows._replace(is_first=is_first)).compared()
    single = compare(rows).compared()
    assert slates.decisions == 100
    for name in ("ips", "dm", "dr", "snips"):
        assert slates.challenger[name].value == pytest.approx(4.0 * single.challenger[name].value)
    assert slates.verdict == single.verdict


def test_the_interval_of_the_gain_holds_the_truth() -> None:
    held, told = 0, 0
    for seed in range(120):
        rows, truth = logged(seed, 150, 4)
        low, high = compare(rows).compared(seed=seed).gain["dr"].interval
        held += low <= truth <= high
        told += low > 0.0
    assert 0.89 <= held / 120 <= 0.99
    assert told > 60  # and it is short enough to tell


def test_a_policy_against_itself_gains_exactly_nothing() -> None:
    rows, _ = logged(3, 100, 2)
    result = compare(rows._replace(challenger=rows.incumbent)).compared()
    assert (result.gain["dr"].value, *result.gain["dr"].interval) == (0.0, 0.0, 0.0)
    assert result.verdict.trustworthy


def test_weights_that_explode_are_refused_in_words() -> None:
    rows, _ = logged(4, 200, 1)
    weight = np.full(200, 0.01)
    weight[7] = 20_000.0
    result = compare(rows._replace(challenger=rows.challenger._replace(weight=weight))).compared()
    assert not result.verdict.trustworthy
    assert any("of the challenger: one row carries 100%" in reason for reason in result.verdict.reasons)
    assert not any("of the incumbent" in reason for reason in result.verdict.reasons)


def test_a_gain_that_rests_on_a_few_rewards_is_refused() -> None:
    rows, _ = logged(7, 300, 3)
    weight = np.ones(900)
    differing = np.flatnonzero(rows.reward)[:3]
    weight[differing] = 1.5
    result = compare(rows._replace(challenger=rows.incumbent._replace(weight=weight))).compared()
    assert result.verdict.reasons == ["where the two differ there are 3.0 effective rewards; at least 5 are needed"]
    weight[np.flatnonzero(rows.reward)[:12]] = 1.5
    result = compare(rows._replace(challenger=rows.incumbent._replace(weight=weight))).compared()
    assert result.verdict.trustworthy
    assert any("the gain rests on 12.0 effective rewards" in caution for caution in result.verdict.cautions)


def test_too_few_people_and_an_empty_log_are_refused() -> None:
    rows, _ = logged(5, CLUSTERS_MIN - 1, 50)
    assert compare(rows).compared().verdict.reasons == ["the log holds decisions of 29 people; at least 30 are needed"]
    empty = compare().compared()
    assert empty.verdict.reasons == ["the log holds no decision that could be judged"]
    assert np.isnan(empty.gain["dr"].value)


@pytest.mark.parametrize(
    "broken",
    [
        {"reward": np.full(4, 2.0)},
        {"reward": np.full(4, np.nan)},
        {"expected": np.full(4, np.inf)},
        {"challenger": Side(np.full(4, -1.0), np.zeros(4))},
        {"incumbent": Side(np.full(4, np.nan), np.zeros(4))},
    ],
)
def test_what_cannot_be_is_refused(broken: dict[str, object]) -> None:
    rows, _ = logged(6, 2, 2)
    with pytest.raises(ValueError, match=r"not finite|negative|outside"):
        compare(rows._replace(**broken))
