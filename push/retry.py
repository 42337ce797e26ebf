"""How long a push waits before it is tried again: exponential backoff with full jitter, drawn from the push itself."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import xxhash

UNSENT: Final = timedelta(seconds=5)
"""First wait of a message that certainly never reached the service."""

UNANSWERED: Final = timedelta(seconds=10)
"""First wait of a message that perhaps arrived and may be sent again."""

WAIT_MAX: Final = timedelta(minutes=60)
ATTEMPTS_MAX: Final = 10
"""After so many refusals of one message the service will not take it any more."""


def wait(first: timedelta, attempts: int, outbox_id: UUID) -> timedelta:
    """At least `first`, at most first * 2 ** (attempts - 1) or an hour; the same for the same push and attempt."""
    longest = min(first * (1 << min(attempts - 1, 20)), WAIT_MAX)
    share = int(xxhash.xxh3_64_intdigest(outbox_id.bytes + bytes([attempts % 256]))) / float(1 << 64)
    return first + max(longest - first, timedelta()) * share
