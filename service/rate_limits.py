"""How often one may ask: token buckets by client address, by person and by secret key, in the memory of each API worker."""

import math
from collections.abc import Hashable
from time import monotonic
from typing import Final, NamedTuple
from uuid import UUID

from service import telemetry
from service.errors import ApiError

BURST_S: Final = 10.0
"""A full bucket holds what so many seconds give."""
BUCKETS_MAX: Final = 100_000
"""Of one kind, about 20 MB; a bucket that is full again is forgotten."""

_SLACK_S: Final = 1e-9
"""Rounding: the last token of a bucket is given."""


class Rates(NamedTuple):
    """Requests a second that one may make of the whole installation; 0 is as many as one likes."""

    address: int
    user: int
    secret_key: int


class Buckets:
    """Token buckets of one rate, kept as the instant at which each would be full again (GCRA, ITU-T I.371): one number each."""

    def __init__(self, per_s: float) -> None:
        self._interval_s = 1.0 / per_s
        self._credit_s = max(BURST_S, self._interval_s)
        self._full_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, who: Hashable, now: float) -> float:
        """Takes a token and gives 0, or gives the seconds until there is one; `now` is in seconds of a clock that only grows."""
        full_at = self._full_at.get(who)
        if full_at is None:
            if len(self._full_at) >= BUCKETS_MAX:
                self._forget(now)
            full_at = now
        elif full_at < now:
            full_at = now
        full_at += self._interval_s
        missing_s = full_at - now - self._credit_s
        if missing_s > _SLACK_S:
            return missing_s
        self._full_at[who] = full_at
        return 0.0

    def _forget(self, now: float) -> None:
        """Who asks from so many addresses at once that all buckets are in use is not held by them: they begin anew."""
        self._full_at = {who: at for who, at in self._full_at.items() if at > now}
        if len(self._full_at) > BUCKETS_MAX // 2:
            self._full_at.clear()


class RateLimits:
    """The limits of one API worker: its share of the installation's, since the kernel spreads connections over the workers."""

    def __init__(self, rates: Rates, workers: int) -> None:
        self._rates = rates
        self._addresses, self._users, self._secret_keys = (Buckets(rate / workers) if rate else None for rate in rates)

    def check_address(self, client: str) -> None:
        """Counts a request of a client that shows no secret key. Raises ApiError 429."""
        if self._addresses is None:
            return
        wait_s = self._addresses.take(client, monotonic())
        if wait_s:
            raise _refused("address", wait_s, f"one address ({self._rates.address} a second, RATE_LIMIT_ADDRESS_PER_S)")

    def check_key(self, key_id: UUID, user_id: str | None, *, is_secret: bool) -> None:
        """Counts a request of a secret key, or of the person whose user token came with a publishable one. Raises ApiError 429.

        A user_id in the body does not count: anybody could use up somebody else's bucket by it.
        """
        if is_secret:
            if self._secret_keys is None:
                return
            wait_s = self._secret_keys.take(key_id, monotonic())
            if wait_s:
                told = f"one secret key ({self._rates.secret_key} a second, RATE_LIMIT_SECRET_KEY_PER_S)"
                raise _refused("secret_key", wait_s, told)
        elif user_id is not None and self._users is not None:
            wait_s = self._users.take((key_id, user_id), monotonic())
            if wait_s:
                raise _refused("user", wait_s, f"one person ({self._rates.user} a second, RATE_LIMIT_USER_PER_S)")


UNLIMITED: Final = RateLimits(Rates(0, 0, 0), workers=1)


def _refused(limit: str, wait_s: float, told: str) -> ApiError:
    telemetry.REFUSED.labels(f"rate_of_{limit}").inc()
    retry_after_s = max(1, math.ceil(wait_s))
    return ApiError(429, "rate_limited", f"Too many requests of {told}.", retry_after_s=retry_after_s)
