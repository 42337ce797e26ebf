import math
import uuid
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import rate_limits
from service.errors import ApiError
from service.rate_limits import BURST_S, UNLIMITED, Buckets, RateLimits, Rates

KEY = uuid.UUID(int=1)


def taken(buckets: Buckets, who: str, now: float) -> int:
    """How many are given at once."""
    return next(number for number in count() if buckets.take(who, now) > 0)


def test_a_bucket_holds_what_ten_seconds_give_and_fills_at_its_rate() -> None:
    buckets = Buckets(5.0)
    assert taken(buckets, "ann", 100.0) == 5 * BURST_S
    assert math.isclose(buckets.take("ann", 100.0), 0.2)
    assert taken(buckets, "bob", 100.0) == 5 * BURST_S
    assert taken(buckets, "ann", 101.0) == 5
    assert taken(buckets, "ann", 1_000.0) == 5 * BURST_S
    # Of a clock that stood still, or is behind, nobody gets more.
    assert taken(buckets, "ann", 999.0) == 0


def test_a_rate_below_one_in_ten_seconds_gives_one_at_a_time() -> None:
    buckets = Buckets(1 / 64)
    assert taken(buckets, "ann", 0.0) == 1
    assert math.isclose(buckets.take("ann", 4.0), 60.0)
    assert taken(buckets, "ann", 64.0) == 1


@given(
    per_s=st.floats(0.05, 1_000),
    pauses=st.lists(st.floats(0, 30), min_size=1, max_size=200),
)
def test_never_more_than_the_burst_and_the_rate_give_and_each_refusal_says_how_long(
    per_s: float, pauses: list[float]
) -> None:
    buckets, now, given_at = Buckets(per_s), 0.0, list[float]()
    for pause in pauses:
        now += pause
        wait_s = buckets.take("ann", now)
        if wait_s == 0:
            given_at.append(now)
        else:
            # Earlier there is none, and then there is one.
            probe = Buckets(per_s)
            probe._full_at.update(buckets._full_at)
            assert probe.take("ann", now + 0.9 * wait_s) > 0
            assert probe.take("ann", now + wait_s + 1e-6) == 0
    burst = max(BURST_S * per_s, 1.0)
    for first, begin in enumerate(given_at):
        for last, end in enumerate(given_at[first:], 1):
            assert last <= burst + per_s * (end - begin) + 1e-6


def test_who_comes_from_ever_new_addresses_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "BUCKETS_MAX", 100)
    buckets = Buckets(1.0)
    assert taken(buckets, "ann", 0.0) == 10
    for number in range(95):
        buckets.take(number, 5.0)
    buckets.take("one more", 6.5)
    assert taken(buckets, "ann", 6.5) == 6
    for number in range(1_000):
        buckets.take(-number, 7.0)
        assert len(buckets) <= 100


def test_each_is_refused_by_the_limit_that_it_broke() -> None:
    limits = RateLimits(Rates(address=2, user=1, secret_key=4), workers=2)
    cases = [
        (10, "RATE_LIMIT_ADDRESS_PER_S", lambda: limits.check_address("192.0.2.7")),
        (5, "RATE_LIMIT_USER_PER_S", lambda: limits.check_key(KEY, "ann", is_secret=False)),
        (20, "RATE_LIMIT_SECRET_KEY_PER_S", lambda: limits.check_key(KEY, None, is_secret=True)),
    ]
    for allowed, named, ask in cases:
        for _ in range(allowed):
            ask()
        with pytest.raises(ApiError, match=named) as refused:
            ask()
        assert (refused.value.status, refused.value.code) == (429, "rate_limited")
        assert refused.value.retry_after_s in {1, 2}
    # Others have their own.
    limits.check_address("192.0.2.8")
    limits.check_key(KEY, "bob", is_secret=False)
    limits.check_key(uuid.UUID(int=2), None, is_secret=True)


def test_zero_is_no_limit_and_a_person_without_a_token_has_none_of_their_own() -> None:
    for _ in range(10_000):
        UNLIMITED.check_address("192.0.2.7")
        UNLIMITED.check_key(KEY, "ann", is_secret=False)
        UNLIMITED.check_key(KEY, None, is_secret=True)
    limits = RateLimits(Rates(address=1, user=1, secret_key=1), workers=1)
    for _ in range(100):
        limits.check_key(KEY, None, is_secret=False)
