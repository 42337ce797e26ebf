"""Planning as a function: which moments are allowed, drawn with which propensity, and which occurrence comes next."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy import stats

from bandits import send_time
from bandits.rhythm import Rhythm
from push.audience import Reachable
from push.local_week import HOURS
from push.planner import plan_bucket
from schema.ids import instant_of
from tests.integration.push_world import HOUR, NOW, OFF, SEED, STARTS_AT, a_campaign

BEFORE = datetime(2026, 3, 1, tzinfo=UTC)
WEEK = timedelta(weeks=1)


class Shares:
    """Draws by the real send_time, with the given shares of the population."""

    def __init__(self, shares: np.ndarray) -> None:
        self.shares = shares.astype(np.float32)

    def probabilities(self, people: int, allowed: Sequence[Sequence[bool]]) -> np.ndarray:
        scores = send_time.scores(np.zeros((people, HOURS), np.float32), self.shares)
        return send_time.pmf(scores, np.asarray(allowed, np.bool_))

    def draw(
        self, rhythms: Sequence[bytes], allowed: Sequence[Sequence[bool]], uniforms: Sequence[float]
    ) -> list[tuple[int, float]]:
        probabilities = self.probabilities(len(rhythms), allowed)
        hours = send_time.draw(probabilities, np.asarray(uniforms))
        return [(int(hour), float(row[hour])) for hour, row in zip(hours, probabilities, strict=True)]


UNIFORM = Shares(np.full(HOURS, 1.0 / HOURS))


def people(count: int, zone: str | None = "UTC") -> list[Reachable]:
    return [Reachable(n, zone, Rhythm().pack()) for n in range(1, count + 1)]


@pytest.mark.parametrize("is_flat", [True, False])
def test_moments_follow_their_propensities(is_flat: bool) -> None:
    shares = np.random.default_rng(7).dirichlet(np.full(HOURS, 0.5))
    moments = UNIFORM if is_flat else Shares(shares)
    planned = plan_bucket(a_campaign(spread_s=0), STARTS_AT, people(10_000), moments, SEED, BEFORE, OFF)
    hours = np.array([row.send_at.weekday() * 24 + row.send_at.hour for row in planned])
    (expected,) = moments.probabilities(1, [[True] * HOURS])
    assert [row.moment_propensity for row in planned] == expected[hours].tolist()
    likely = expected * len(planned) >= 5
    counts = np.bincount(hours, minlength=HOURS)
    observed = np.append(counts[likely], counts[~likely].sum())
    wanted = np.append(expected[likely], expected[~likely].sum()) * len(planned)
    keep = wanted > 0
    assert stats.chisquare(observed[keep], wanted[keep]).pvalue > 0.001


def test_a_plan_is_a_function_of_its_arguments() -> None:
    stored = a_campaign()
    plan = plan_bucket(stored, STARTS_AT, people(50), UNIFORM, SEED, BEFORE, OFF)
    assert plan == plan_bucket(stored, STARTS_AT, people(50), UNIFORM, SEED, BEFORE, OFF)
    assert plan[10:20] == plan_bucket(stored, STARTS_AT, people(50)[10:20], UNIFORM, SEED, BEFORE, OFF)
    other_seed = plan_bucket(stored, STARTS_AT, people(50), UNIFORM, b"other", BEFORE, OFF)
    next_week = plan_bucket(stored, STARTS_AT + WEEK, people(50), UNIFORM, SEED, BEFORE, OFF)
    moments = [
        [row.send_at - at for row in rows]
        for rows, at in ((plan, BEFORE), (other_seed, BEFORE), (next_week, BEFORE + WEEK))
    ]
    assert moments[0] != moments[1]
    assert moments[0] != moments[2]
    assert len({row.outbox_id for row in plan + other_seed + next_week}) == 100
    assert all(instant_of(row.outbox_id) == row.send_at for row in plan)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_everyone_is_reached_in_the_chosen_hours_of_their_own_clock(zone: str) -> None:
    stored = a_campaign(hours=[12, 13, 130], spread_s=3599)
    planned = plan_bucket(stored, STARTS_AT, people(200, zone), UNIFORM, SEED, BEFORE, OFF)
    local = [row.send_at.astimezone(ZoneInfo(zone)) for row in planned]
    assert {at.weekday() * 24 + at.hour for at in local} == {12, 13, 130}
    assert len({at.minute for at in local}) > 30
    assert all(row.expires_at == row.send_at + timedelta(hours=6) for row in planned)
    ends = {12: 14, 13: 14, 130: 131 - 5 * 24}
    for row, at in zip(planned, local, strict=True):
        end = at.replace(hour=ends[at.weekday() * 24 + at.hour], minute=0, second=0)
        assert row.send_until == max(end, row.send_at + HOUR)


def test_who_lives_in_no_known_zone_gets_the_default_of_the_campaign() -> None:
    stored = a_campaign(default_time_zone="Asia/Kolkata")
    wanted = [
        row.send_at for row in plan_bucket(stored, STARTS_AT, people(20, "Asia/Kolkata"), UNIFORM, SEED, BEFORE, OFF)
    ]
    for zone in (None, "Mars/Olympus"):
        assert [
            row.send_at for row in plan_bucket(stored, STARTS_AT, people(20, zone), UNIFORM, SEED, BEFORE, OFF)
        ] == wanted


def test_only_moments_ahead_and_inside_the_window_are_used() -> None:
    ends_at = STARTS_AT + timedelta(hours=12, minutes=30)
    stored = a_campaign(ends_at=ends_at, spread_s=3600)
    planned = plan_bucket(stored, STARTS_AT, people(300), UNIFORM, SEED, NOW + HOUR / 2, OFF)
    assert {row.send_at.replace(minute=0, second=0) for row in planned} >= {NOW + HOUR, NOW + 3 * HOUR}
    assert all(
        NOW + HOUR <= row.send_at < ends_at.replace(tzinfo=UTC) for row in planned if row.send_at > NOW + 3 * HOUR
    )
    assert min(row.send_at for row in planned) >= NOW + HOUR
    assert max(row.send_at for row in planned) < ends_at.replace(tzinfo=UTC)
    assert plan_bucket(stored, STARTS_AT, people(3), UNIFORM, SEED, NOW + 4 * HOUR, OFF) == []
    assert len(plan_bucket(stored, STARTS_AT, people(3, "America/New_York"), UNIFORM, SEED, NOW + 4 * HOUR, OFF)) == 3
