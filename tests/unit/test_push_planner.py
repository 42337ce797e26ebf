"""Planning as a function: which moments are allowed, drawn with which propensity, and which occurrence comes next."""

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy import stats

from bandits.rhythm import RECORD, Rhythm
from push.campaign.local_week import HOURS
from push.planning.audience import Reachable, people_of
from push.planning.bucket_plan import plan_bucket
from push.planning.plan_rows import Planned, planned
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules, QuietHours
from schema.ids import instant_of
from service.planning.moments import RhythmMoments
from tests.integration.push_world import HOUR, NOW, OFF, SEED, STARTS_AT, a_campaign
from tests.planning import Shares
from tests.reference import send_time

BEFORE = datetime(2026, 3, 1, tzinfo=UTC)
WEEK = timedelta(weeks=1)


UNIFORM = Shares(np.full(HOURS, 1.0 / HOURS))


def people(count: int, zone: str | None = "UTC") -> list[Reachable]:
    return [Reachable(n, zone, Rhythm().pack()) for n in range(1, count + 1)]


def plan(stored: StoredCampaign, who: list[Reachable], now: datetime, **changes: Any) -> list[Planned]:
    """Rows by UNIFORM moments of the week that begins at STARTS_AT, unless said otherwise."""
    given = {"occurrence": STARTS_AT, "moments": UNIFORM, "seed": SEED, "rules": OFF} | changes
    return planned(plan_bucket(stored, people=people_of(who, RECORD.itemsize), now=now, **given))


@pytest.mark.parametrize("is_flat", [True, False])
def test_moments_follow_their_propensities(is_flat: bool) -> None:
    shares = np.random.default_rng(7).dirichlet(np.full(HOURS, 0.5))
    moments = UNIFORM if is_flat else Shares(shares)
    rows = plan(a_campaign(spread_s=0), people(10_000), BEFORE, moments=moments)
    hours = np.array([row.send_at.weekday() * 24 + row.send_at.hour for row in rows])
    scores = send_time.scores([0.0] * HOURS, moments.shares.tolist())
    expected = send_time.pmf(np.array(scores), np.ones(HOURS, np.bool_))
    assert [row.moment_propensity for row in rows] == pytest.approx(expected[hours].tolist(), rel=1e-9)
    likely = expected * len(rows) >= 5
    counts = np.bincount(hours, minlength=HOURS)
    observed = np.append(counts[likely], counts[~likely].sum())
    wanted = np.append(expected[likely], expected[~likely].sum()) * len(rows)
    keep = wanted > 0
    assert stats.chisquare(observed[keep], wanted[keep]).pvalue > 0.001


def test_a_plan_is_a_function_of_its_arguments() -> None:
    stored = a_campaign()
    first = plan(stored, people(50), BEFORE)
    assert first == plan(stored, people(50), BEFORE)
    assert first[10:20] == plan(stored, people(50)[10:20], BEFORE)
    other_seed = plan(stored, people(50), BEFORE, seed=b"other")
    next_week = plan(stored, people(50), BEFORE, occurrence=STARTS_AT + WEEK)
    moments = [
        [row.send_at - at for row in rows]
        for rows, at in ((first, BEFORE), (other_seed, BEFORE), (next_week, BEFORE + WEEK))
    ]
    assert moments[0] != moments[1]
    assert moments[0] != moments[2]
    assert len({row.outbox_id for row in first + other_seed + next_week}) == 100
    assert all(instant_of(row.outbox_id) == row.send_at for row in first)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_everyone_is_reached_in_the_chosen_hours_of_their_own_clock(zone: str) -> None:
    stored = a_campaign(hours=[12, 13, 130], spread_s=3599)
    rows = plan(stored, people(200, zone), BEFORE)
    local = [row.send_at.astimezone(ZoneInfo(zone)) for row in rows]
    assert {at.weekday() * 24 + at.hour for at in local} == {12, 13, 130}
    assert len({at.minute for at in local}) > 30
    assert all(row.expires_at == row.send_at + timedelta(hours=6) for row in rows)
    ends = {12: 14, 13: 14, 130: 131 - 5 * 24}
    for row, at in zip(rows, local, strict=True):
        end = at.replace(hour=ends[at.weekday() * 24 + at.hour], minute=0, second=0)
        assert row.send_until == max(end, row.send_at + HOUR)


def test_who_lives_in_no_known_zone_gets_the_default_of_the_campaign() -> None:
    stored = a_campaign(default_time_zone="Asia/Kolkata")
    wanted = [row.send_at for row in plan(stored, people(20, "Asia/Kolkata"), BEFORE)]
    for zone in (None, "Mars/Olympus"):
        assert [row.send_at for row in plan(stored, people(20, zone), BEFORE)] == wanted


def test_only_moments_ahead_and_inside_the_window_are_used() -> None:
    ends_at = STARTS_AT + timedelta(hours=12, minutes=30)
    stored = a_campaign(ends_at=ends_at, spread_s=3600)
    rows = plan(stored, people(300), NOW + HOUR / 2)
    assert {row.send_at.replace(minute=0, second=0) for row in rows} >= {NOW + HOUR, NOW + 3 * HOUR}
    assert all(NOW + HOUR <= row.send_at < ends_at.replace(tzinfo=UTC) for row in rows if row.send_at > NOW + 3 * HOUR)
    assert min(row.send_at for row in rows) >= NOW + HOUR
    assert max(row.send_at for row in rows) < ends_at.replace(tzinfo=UTC)
    assert plan(stored, people(3), NOW + 4 * HOUR) == []
    assert len(plan(stored, people(3, "America/New_York"), NOW + 4 * HOUR)) == 3


def test_pushes_do_not_bunch_on_the_quarters_of_an_hour() -> None:
    """FCM asks for it: everybody else sends then. By default an hour's pushes are spread over 55 minutes of it."""
    rows = plan(a_campaign(), people(20_000), BEFORE)
    minutes = np.bincount([row.send_at.minute for row in rows], minlength=60)
    even = len(rows) / 55
    assert all(0.8 * even < minutes[minute] < 1.2 * even for minute in (0, 15, 30, 45))
    assert minutes.max() < 1.2 * even
    seconds = np.bincount([row.send_at.second for row in rows], minlength=60)
    assert seconds.max() < 1.3 * len(rows) / 60


@pytest.mark.parametrize(("spread_s", "is_free"), [(3539, True), (3540, False)])
def test_no_push_of_an_hour_may_still_be_under_way_when_quiet_hours_begin(spread_s: int, is_free: bool) -> None:
    """The last minute belongs to the lease: who is claimed then is sent within it."""
    rules = ContactRules(quiet_hours=[QuietHours(begins="21:00", ends="08:00")], caps=[], min_gap_s=0)
    rows = plan(a_campaign(spread_s=spread_s, hours=[20]), people(5), BEFORE, rules=rules)
    assert len(rows) == 5 * is_free


def test_a_block_can_be_drawn_in_another_process() -> None:
    """All that it is given can be sent there, and gives the same rows."""
    moments = RhythmMoments(np.full(HOURS, 1.0 / HOURS, np.float32))
    given = (a_campaign(), STARTS_AT, people_of(people(50), RECORD.itemsize), moments, SEED, BEFORE, OFF)
    there = pickle.loads(pickle.dumps(given))
    assert planned(plan_bucket(*there)) == planned(plan_bucket(*given))
