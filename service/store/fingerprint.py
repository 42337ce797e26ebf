"""What tells two databases apart in what they have learned: one hash over all that the posterior is made of."""

from typing import Any, Final

import msgspec

# In order of the keys, so that equal rows give equal bytes wherever they lie on the disk. Of people one sum of hashes, which has no order.
_POSTERIOR: Final = """
    select encode(sha256(string_agg(part, ''::bytea order by place, major, minor)), 'hex') from (
        select 0 as place, partition as major, 0 as minor,
               sha256(population) || int8send(last_seq) || int8send((extract(epoch from ripe_through) * 1000000)::bigint) as part
          from learner_partitions
        union all
        select 1, partition, cohort, sha256(sums) from learner_sums
        union all
        select 2, number, 0, sha256(modes) || float8send(exposures) || float8send(answers) from epochs
        union all
        select 3, 0, 0, numeric_send(coalesce(sum(hashtextextended(encode(tastes || rhythm || personal, 'hex'), user_id)), 0)) from user_state
    ) parts
"""
_COUNTS: Final = """
    select (select coalesce(max(version), 0) from snapshots), (select sum(seq)::bigint from event_log_heads)
"""


class Fingerprint(msgspec.Struct, frozen=True):
    """SHA-256 of sums, populations, epochs and what is known of people; the newest snapshot's version; entries the event log ever had."""

    posterior_sha256: str
    snapshot_version: int
    log_entries: int


async def read(connection: Any) -> Fingerprint:
    """The fingerprint of a database, as of one instant; it reads all people, a second or two for a million."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return Fingerprint(await connection.fetchval(_POSTERIOR), *await connection.fetchrow(_COUNTS))
