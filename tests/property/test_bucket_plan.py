"""What is planned for a block at once is what the slow twin plans person by person: ids and instants exactly, propensities to rounding."""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits.rhythm import HOURS, RECORD
from push.contact.quiet_hours import Window
from push.entropy import entropies_of, entropy_of, partitions_of, uniforms_of
from push.planning.audience import Reachable, people_of
from push.planning.bucket_plan import plan_bucket
from push.planning.plan_rows import planned
from schema.contact_rules import ContactRules, QuietHours
from schema.ids import partition_of
from service.planning.moments import RhythmMoments
from tests.integration.push_world import OFF, STARTS_AT, a_campaign
from tests.reference import planning as reference

ZONES = [None, "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Mars/Olympus"]
OCCURRENCES = [STARTS_AT, datetime(2026, 3, 23), datetime(2026, 10, 19, 5, 30)]
"""An ordinary week, and those in which Berlin's clock is changed."""

NIGHT = ContactRules(quiet_hours=[QuietHours(begins="21:00", ends="08:00")], caps=[], min_gap_s=0)

quiet = st.sampled_from([(), (), (Window(720, 780),), (Window(0, 300), Window(1000, 400)), (Window(0, 0),)])
campaigns = st.fixed_dictionaries(
    {
        "hours": st.one_of(st.just([]), st.lists(st.integers(0, 167), min_size=1, max_size=60, unique=True)),
        "spread_s": st.sampled_from([0, 300, 2400, 3600]),
        "ttl_s": st.sampled_from([60, 3600, 6 * 3600, 86_400]),
        "default_time_zone": st.sampled_from(["UTC", "Asia/Tokyo"]),
    }
)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[list[Reachable], list[np.ndarray]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = sorted(draw(st.sets(st.integers(1, 2**62), min_size=1, max_size=6)))
    visits = [rng.poisson(0.1, HOURS).astype(np.float32) * np.float32(rng.random()) for _ in ids]
    records = np.zeros(len(ids), RECORD)
    records["visits"] = visits
    people = [
        Reachable(user_id, draw(st.sampled_from(ZONES)), records[place].tobytes(), draw(quiet))
        for place, user_id in enumerate(ids)
    ]
    return people, visits


@settings(max_examples=25, deadline=None)
@given(
    blocks(),
    campaigns,
    st.sampled_from(OCCURRENCES),
    st.integers(-20, 200),
    st.integers(1, 168),
    st.sampled_from([OFF, NIGHT]),
    st.binary(max_size=300),
)
def test_a_block_is_planned_as_the_twin_plans_each(
    block: tuple[list[Reachable], list[np.ndarray]],
    changes: dict[str, object],
    occurrence: datetime,
    now_h: int,
    length_h: int,
    rules: ContactRules,
    seed: bytes,
) -> None:
    people, visits = block
    stored = a_campaign(starts_at=occurrence, ends_at=occurrence + timedelta(hours=length_h, minutes=30), **changes)
    now = occurrence.replace(tzinfo=UTC) + timedelta(hours=now_h, minutes=10)
    shares = np.random.default_rng(length_h).dirichlet(np.full(HOURS, 0.5)).astype(np.float32)
    rows = planned(
        plan_bucket(stored, occurrence, people_of(people, RECORD.itemsize), RhythmMoments(shares), seed, now, rules)
    )
    wanted = reference.plan(stored, occurrence, people, visits, shares, seed, now, rules)
    assert [row[:-1] for row in rows] == [row[:-1] for row in wanted]
    assert np.allclose([row[-1] for row in rows], [row[-1] for row in wanted], rtol=1e-9, atol=0.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 2**63 - 1), min_size=1, max_size=20), st.binary(max_size=400))
def test_the_random_bits_of_many_are_those_of_each(user_ids: list[int], seed: bytes) -> None:
    stored, many = a_campaign(), np.array(user_ids, np.int64)
    entropies = entropies_of(seed, stored, STARTS_AT, many)
    assert [one.tobytes() for one in entropies] == [entropy_of(seed, stored, STARTS_AT, one) for one in user_ids]
    assert uniforms_of(entropies).tolist() == [reference._uniform(one.tobytes()) for one in entropies]
    assert partitions_of(many).tolist() == [partition_of(one) for one in user_ids]
