"""A person's own part: the same rows in any order and any parts give the same, a row taken back leaves nothing, and all of it fades."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits import personal, personal_variance
from bandits.kernels import personal as kernels
from bandits.personal import DIMS, HALF_LIFE_S, LoggedRow, Personal, UnknownSumsError
from tests.reference import personal as reference
from tests.reference.personal import PersonalFact

DAY_S = 86_400
START_S = 1_772_000_000
END_S = START_S + 400 * DAY_S
VARIANCES = (0.3, 0.1)
SPREAD = np.repeat(VARIANCES, personal.BLOCKS)

quick = settings(max_examples=50, deadline=None)
instants = st.integers(START_S, END_S)
numbers = st.floats(-2.0, 2.0, width=32)
words = st.lists(st.tuples(instants, st.sampled_from([0.0, 1.0]), st.sampled_from([1.0, 2.0, 8.0])), max_size=2).map(
    tuple
)
facts = st.builds(
    PersonalFact,
    instants,
    st.tuples(*[numbers] * DIMS),
    st.floats(-6.0, 3.0),
    st.floats(-1.0, 1.0),
    st.booleans(),
    words,
)
told = st.lists(facts, max_size=12)


def count(state: Personal, fact: PersonalFact, times: float = 1.0) -> None:
    row = LoggedRow(np.array(fact.z, np.float32), fact.eta, fact.offset)
    state.shown(row, fact.at_s, times)
    if fact.is_redeemed:
        state.redeemed(row, fact.at_s, times)
    for at_s, outcome, weight in fact.said:
        state.said(row, at_s, outcome, times * weight)


def counted(rows: list[PersonalFact]) -> bytes:
    state = Personal()
    for fact in rows:
        count(state, fact)
        state = personal.unpack(state.pack())
    return state.pack()


def assert_posterior(data: bytes, rows: list[PersonalFact], now_s: float = END_S) -> None:
    found = personal.scores(np.zeros((0, DIMS), np.float32), data, VARIANCES, now_s)
    mean, covariance = reference.posterior(rows, SPREAD, now_s)
    np.testing.assert_allclose(found.mean, mean, atol=2e-5)
    np.testing.assert_allclose(found.covariance, covariance, atol=2e-6)


@quick
@given(told, st.randoms(use_true_random=False))
def test_a_person_is_the_same_in_any_order(rows: list[PersonalFact], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # Hypothesis hands out a random.Random
    assert_posterior(counted(shuffled), rows)


@quick
@given(told, facts)
def test_a_row_taken_back_leaves_nothing(rows: list[PersonalFact], wrong: PersonalFact) -> None:
    state = personal.unpack(counted([wrong, *rows]))
    count(state, wrong, -1.0)
    assert_posterior(state.pack(), rows)


@quick
@given(told, told)
def test_two_halves_of_a_person_add_up(one: list[PersonalFact], other: list[PersonalFact]) -> None:
    state = personal.unpack(counted(one))
    state.add(personal.unpack(counted(other)))
    assert_posterior(state.pack(), one + other)


@quick
@given(told)
def test_what_was_learned_fades_to_the_prior(rows: list[PersonalFact]) -> None:
    data = counted(rows)
    assert_posterior(data, rows, END_S + HALF_LIFE_S)
    late = personal.scores(np.zeros((0, DIMS), np.float32), data, VARIANCES, END_S + 60 * HALF_LIFE_S)
    np.testing.assert_allclose(late.mean, 0.0, atol=1e-9)
    np.testing.assert_allclose(late.covariance, np.diag(SPREAD), rtol=1e-5, atol=1e-9)


@quick
@given(told, st.integers(-300, 500))
def test_what_counts_is_the_age_of_a_row_and_not_the_year(rows: list[PersonalFact], half_lives: int) -> None:
    shift_s = int(half_lives * HALF_LIFE_S)
    moved = [
        fact._replace(at_s=fact.at_s + shift_s, said=tuple((at_s + shift_s, *word) for at_s, *word in fact.said))
        for fact in rows
    ]
    now, then = (
        personal.scores(np.zeros((0, DIMS), np.float32), counted(of), VARIANCES, END_S + by)
        for of, by in ((rows, 0), (moved, shift_s))
    )
    np.testing.assert_allclose(then.mean, now.mean, rtol=1e-4, atol=1e-6)


@quick
@given(told)
def test_sums_weigh_at_an_instant_what_the_posterior_takes_them_for(rows: list[PersonalFact]) -> None:
    data = counted(rows)
    sums = personal.unpack(data).at(END_S)
    precision = np.diag(1.0 / SPREAD)
    precision[np.triu_indices(DIMS)] += sums[: kernels.OUTER]
    precision = np.triu(precision) + np.triu(precision, 1).T
    found = personal.scores(np.zeros((0, DIMS), np.float32), data, VARIANCES, END_S)
    np.testing.assert_allclose(np.linalg.solve(precision, sums[kernels.OUTER :]), found.mean, rtol=1e-4, atol=1e-6)


def test_somebody_new_has_the_prior() -> None:
    z = np.ones((2, DIMS), np.float32)
    nobody = personal.scores(z, b"", VARIANCES, END_S)
    assert nobody.z is z
    assert not nobody.mean.any()
    np.testing.assert_allclose(nobody.covariance, np.diag(SPREAD), rtol=1e-6)


def test_a_showing_counts_against_and_its_redemption_for_it() -> None:
    row = LoggedRow(np.eye(DIMS, dtype=np.float32)[4], -2.0, 0.0)
    state = Personal()
    means = []
    for tell in (state.shown, state.redeemed):
        tell(row, END_S)
        means.append(personal.scores(row.z[None], state.pack(), VARIANCES, END_S).mean[4])
    assert means[0] < 0.0 < means[1]


def test_a_word_pulls_alike_whatever_the_chance_of_a_redemption() -> None:
    z = np.eye(DIMS, dtype=np.float32)[4]
    means = []
    for eta in (-7.0, -1.0):
        for answer in (0.0, 1.0):
            state = Personal()
            state.said(LoggedRow(z, eta, 0.0), END_S, answer, 2.0)
            means.append(float(personal.scores(z[None], state.pack(), VARIANCES, END_S).mean[4]))
    no, yes, *others = means
    assert yes == pytest.approx(-no)
    assert others == pytest.approx([no, yes])
    assert yes > 0.05


def test_the_last_words_of_rows_count_more() -> None:
    row = LoggedRow(np.eye(DIMS, dtype=np.float32)[0], -2.0, 0.0)

    def after(outcomes: tuple[float, float]) -> float:
        state = Personal()
        for outcome, at_s in zip(outcomes, (END_S - HALF_LIFE_S, END_S), strict=True):
            state.said(row, at_s, outcome, 1.0)
        return float(personal.scores(row.z[None], state.pack(), VARIANCES, END_S).mean[0])

    assert after((0.0, 1.0)) > after((1.0, 0.0))


def test_offers_that_may_not_be_personal_have_no_own_part() -> None:
    phi, axes = np.tile(np.arange(6, dtype=np.float32), (2, 1)), np.ones((2, personal.AXES), np.float32)
    z = personal.z_of(phi, (4, 1, 2), axes, np.array([True, False]))
    assert z[0].tolist() == [2.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert not z[1].any()


def _damaged() -> list[bytes]:
    whole = Personal().pack()
    infinite = Personal()
    infinite.sums[3] = np.inf
    version_2 = b"\x02" + whole[1:]
    return [whole[:-1], whole + b"\x00", b"\x07" + whole[1:], version_2, infinite.pack()]


@pytest.mark.parametrize("damaged", _damaged())
def test_unknown_bytes_are_refused(damaged: bytes) -> None:
    with pytest.raises(UnknownSumsError):
        personal.unpack(damaged)


def test_sums_that_give_no_posterior_are_refused() -> None:
    state = Personal()
    state.said(LoggedRow(np.zeros(DIMS, np.float32), 0.0, 0.0), END_S, 1.0, 1.0)
    state.sums[0] = -1e6
    with pytest.raises(UnknownSumsError, match="posterior"):
        personal.scores(np.zeros((1, DIMS), np.float32), state.pack(), VARIANCES, END_S)


def people(deviations: tuple[float, float], size: int = 150, rows: int = 60) -> np.ndarray:
    """Sums of people whose own parts differ by these deviations in the two blocks, all rows of END_S."""
    rng = np.random.default_rng(5)
    tau = rng.normal(size=(size, DIMS)) * np.repeat(deviations, personal.BLOCKS)
    sums = []
    for own in tau:
        state = Personal()
        for z in rng.normal(size=(rows, DIMS)).astype(np.float32):
            row = LoggedRow(z, -1.0, 0.0)
            state.shown(row, END_S)
            if rng.random() < 1.0 / (1.0 + np.exp(1.0 - z @ own)):
                state.redeemed(row, END_S)
        sums.append(state.at(END_S))
    return np.array(sums)


def test_the_evidence_is_that_of_the_formula() -> None:
    sums = people((0.5, 0.2), size=3)
    outer, response = [], []
    for one in sums:
        A = np.zeros((DIMS, DIMS))
        A[np.triu_indices(DIMS)] = one[: kernels.OUTER]
        outer.append(A + np.triu(A, 1).T)
        response.append(one[kernels.OUTER :])
    for variances in ((0.3, 0.1), (1e-6, 3.0)):
        found = kernels.log_evidence(sums, personal.precision_of(variances))
        expected = reference.log_evidence(outer, response, np.repeat(variances, personal.BLOCKS))
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("deviations", "variances"), [((0.55, 0.0), (0.3, 1e-6)), ((0.0, 0.32), (1e-6, 0.1))])
def test_each_block_learns_how_much_people_differ_in_it(
    deviations: tuple[float, float], variances: tuple[float, float]
) -> None:
    steps = personal_variance.GRID.index
    for found, true in zip(personal_variance.learn(people(deviations)), variances, strict=True):
        assert abs(steps(found) - steps(true)) <= 1


def test_without_people_the_variances_stay() -> None:
    assert personal_variance.learn(np.zeros((0, kernels.SIZE))) == personal.VARIANCES


@quick
@given(
    st.lists(st.tuples(st.tuples(*[numbers] * DIMS), st.floats(-4.0, 4.0), st.booleans()), min_size=1, max_size=12),
    st.tuples(*[numbers] * DIMS),
    st.tuples(*[numbers] * DIMS),
)
def test_the_sums_never_promise_more_than_the_rows_hold(
    rows: list[tuple[tuple[float, ...], float, bool]], logged: tuple[float, ...], other: tuple[float, ...]
) -> None:
    """From where the rows were decided to anywhere else the sums say no greater gain of likelihood than there is."""
    at_s, state = int(START_S // HALF_LIFE_S + 1) * HALF_LIFE_S, Personal()
    z = np.array([row[0] for row in rows], np.float32)
    shared, is_redeemed = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    offset = z.astype(np.float64) @ np.array(logged)
    for index, redeemed in enumerate(is_redeemed.tolist()):
        row = LoggedRow(z[index], float(shared[index] + offset[index]), float(offset[index]))
        state.shown(row, at_s)
        if redeemed:
            state.redeemed(row, at_s)

    def likelihood(tau: tuple[float, ...]) -> float:
        eta = shared + z.astype(np.float64) @ np.array(tau)
        return float(-np.logaddexp(0.0, np.where(is_redeemed, -eta, eta)).sum())

    def promised(tau: tuple[float, ...]) -> float:
        A = np.zeros((DIMS, DIMS))
        A[np.triu_indices(DIMS)] = state.sums[: kernels.OUTER]
        whole, point = A + np.triu(A, 1).T, np.array(tau)
        return float(state.sums[kernels.OUTER :] @ point - 0.5 * point @ whole @ point)

    assert promised(other) - promised(logged) <= likelihood(other) - likelihood(logged) + 1e-6
