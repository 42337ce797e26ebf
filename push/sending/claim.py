"""Taking ready rows for sending, and stopping in the same transaction those that must not leave any more, or not yet."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from push import stop
from push.campaign.campaigns import CampaignCache
from push.contact import contact_rules, contacts
from push.contact.contact_rules import CATEGORY_CAP_REACHED, QUIET_HOURS, Contact, Judge, Person, Verdict
from push.contact.contacts import RulesCache
from push.outbox import Key, State, bounds, is_all
from push.release import UNTOLD, release
from schema.campaign import StoredCampaign
from schema.discreet import shown_without

LEASE: Final = timedelta(seconds=60)
"""Longer than a channel's deadline: when it has passed, nobody knows whether the push was sent."""


class ReadyRow(NamedTuple):
    """A drawn row on its way out. Its life ends with the push's own, the offer's or what it promises, whichever is first; on a phone that cannot be
    reached before, when quiet hours begin (`quiet_from`). `unknowns` attempts before perhaps arrived; only what `may_repeat` goes on then.
    """

    key: Key
    outbox_id: UUID
    expires_at: datetime
    decision_id: UUID
    offer_id: int
    message: dict[str, Any]
    address: str
    address_kind: str
    fence: int
    attempts: int
    platform: str = ""
    quiet_from: datetime | None = None
    may_repeat: bool = False
    unknowns: int = 0

    def __repr__(self) -> str:
        return shown_without(self, "address", "message")


class Claimed(NamedTuple):
    """`rows` are to be sent; `taken` also counts those that were stopped, or have to wait; `is_all` when no more were ready."""

    rows: list[ReadyRow]
    taken: int
    is_all: bool


class Known(NamedTuple):
    """What a claim need not read again."""

    rules: RulesCache
    campaigns: CampaignCache


class Judged(NamedTuple):
    """What becomes of a row that was taken; one that is ready still waits until `wait_until`."""

    state: State
    outcome: str | None = None
    wait_until: datetime | None = None
    quiet_from: datetime | None = None
    may_repeat: bool = False
    was_counted: bool = False  # by another channel, or by an attempt that perhaps arrived


# What was said or changed before this began stops the push. The second limit takes nothing away: it tells the planner how few rows there
# are, and the lateral join of users keeps it from reading them all. The rows stay locked, so their place is theirs until the commit.
_TAKE: Final = """
    with going as materialized (
        select c.campaign_id, c.status = 'ended' as has_ended
          from campaigns_with_ready join campaigns c using (campaign_id) cross join lateral (
            select 1 from outbox o where o.campaign_id = c.campaign_id and o.state = 1 and o.send_at <= $1
             order by o.send_at limit 1) due
         where c.status <> 'paused'
           and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional')) limit $2
    ), due as materialized (
        select share.*, going.has_ended
          from going cross join lateral (
            select o.ctid as place, o.user_id, o.campaign_id, o.occurrence_at, o.outbox_id, o.send_until, o.expires_at, o.decision_id,
                   o.offer_id, o.message, o.reservation_id, o.unknowns
              from outbox o
             where o.campaign_id = going.campaign_id and o.state = 1 and o.send_at <= $1
             order by o.send_at, o.outbox_id limit (select $2 / count(*) from going)
               for update skip locked) share
         limit $2
    ), offers as materialized (
        select * from offer_terms where offer_id in (select offer_id from due)
    )
    select due.place, due.user_id, due.campaign_id, due.occurrence_at, due.outbox_id, least(due.expires_at, o.ends_at, r.expires_at) as expires_at,
           due.decision_id, due.offer_id, due.message, d.address, d.address_kind, d.platform, due.send_until, due.unknowns,
           (select count(*) from going) as going, o.tags, s.reason as stopped
      from due
      left join lateral (
        select * from person_terms where person_terms.user_id = due.user_id limit 1) u on true
      left join offers o on o.offer_id = due.offer_id
      left join lateral (
        select address, address_kind, platform from devices where devices.user_id = due.user_id and is_push_enabled
         order by last_seen_at desc, device_id limit 1) d on true
      left join lateral (
        select expires_at from reservations
         where due.reservation_id is not null and reservations.user_id = due.user_id and offer_id = due.offer_id and state = 0 limit 1) r on true
     cross join lateral stopped_by(
        1::smallint, $1, due.has_ended, due.send_until, u::person_terms, o::offer_terms, due.reservation_id::text, d.address) s
     order by due.outbox_id
"""
_MARK: Final = """
    update outbox o
       set state = t.state, outcome = t.outcome, settled_at = case when t.state > 2 then $1::timestamptz end, address = t.address,
           send_at = coalesce(t.wait_until, o.send_at), lease_until = case when t.state = 2 then $2::timestamptz end,
           fence = case when t.state = 2 then nextval('outbox_fence') end, attempts = o.attempts + (t.state = 2)::integer
      from unnest($3::tid[], $4::timestamptz[], $5::smallint[], $6::text[], $7::text[], $8::timestamptz[])
           as t(place, occurrence_at, state, outcome, address, wait_until)
     where o.ctid = t.place and o.occurrence_at = t.occurrence_at and o.occurrence_at between $9 and $10
    returning o.outbox_id, o.fence, o.attempts
"""
_message_of: Final = msgspec.json.Decoder(dict[str, Any]).decode
STATES: Final = {"expired": State.EXPIRED, "no_address": State.FAILED}


async def claim(connection: Any, now: datetime, rows_max: int, real_now: datetime, known: Known) -> Claimed:
    """Takes ready rows and commits, unless sending is stopped; the caller must not be in a transaction. The lease runs in real time.

    Fewer than `rows_max` may be taken although more are ready: each campaign gets its share.
    """
    async with connection.transaction():
        await stop.hold(connection)
        taken = await connection.fetch(_TAKE, now, rows_max)
        if not taken:
            return Claimed([], 0, is_all=True)
        judged = await _judge(connection, taken, now, known)
        marks = [
            (row["place"], row["occurrence_at"], one.state, one.outcome, row["address"], one.wait_until)
            for row, one in zip(taken, judged, strict=True)
        ]
        columns = (*map(list, zip(*marks, strict=True)), *bounds([_key(row) for row in taken]))
        marked = await connection.fetch(_MARK, now, real_now + LEASE, *columns)
    await release(connection, [_key(row) for row, one in zip(taken, judged, strict=True) if one.state in UNTOLD])
    claims = {row["outbox_id"]: row for row in marked}
    going = [
        _ready(row, claims[row["outbox_id"]], one)
        for row, one in zip(taken, judged, strict=True)
        if one.state is State.SENDING
    ]
    return Claimed(going, len(taken), is_all([row["campaign_id"] for row in taken], taken[0]["going"], rows_max))


def _key(row: Any) -> Key:
    return Key(row["user_id"], row["campaign_id"], row["occurrence_at"])


def _ready(row: Any, claimed: Any, judged: Judged) -> ReadyRow:
    return ReadyRow(
        key=_key(row),
        outbox_id=row["outbox_id"],
        expires_at=row["expires_at"],
        decision_id=row["decision_id"],
        offer_id=row["offer_id"],
        message=_message_of(row["message"]),
        address=row["address"],
        address_kind=row["address_kind"],
        fence=claimed["fence"],
        attempts=claimed["attempts"],
        platform=row["platform"],
        quiet_from=judged.quiet_from,
        may_repeat=judged.may_repeat,
        unknowns=row["unknowns"],
    )


async def _judge(connection: Any, taken: Sequence[Any], now: datetime, known: Known) -> list[Judged]:
    """What becomes of each row; what goes is counted as contacts, which are held until the commit."""
    terms = await known.campaigns.of(connection, {row["campaign_id"] for row in taken})
    open_rows = [row for row in taken if row["stopped"] is None]
    await contacts.hold(
        connection, [row["user_id"] for row in open_rows if contact_rules.is_counted(terms[row["campaign_id"]])]
    )
    people, version = await contacts.people(connection, {row["user_id"] for row in open_rows})
    rules = await known.rules.of_version(connection, version)
    counting = Counting(Judge(rules, now, reach=LEASE), people, now)
    judged = [_as_known(row, counting.judged(row, terms[row["campaign_id"]])) for row in taken]
    await contacts.write(connection, counting.changed)
    return judged


class Counting:
    """Judges row after row, so that of two for one person the second knows of the first. `changed` are contacts to be written."""

    def __init__(self, judge: Judge, people: dict[int, Person], now: datetime) -> None:
        self._judge = judge
        self._people = people
        self._now = now
        self.changed: dict[int, list[Contact]] = {}

    def judged(self, row: Any, campaign: StoredCampaign) -> Judged:
        """What becomes of a row, and one contact more if it goes."""
        if row["stopped"] is not None:
            return Judged(STATES.get(row["stopped"], State.WITHDRAWN), row["stopped"])
        user_id = row["user_id"]
        person = self._people.get(user_id)
        if person is None:
            return Judged(State.WITHDRAWN, "person_gone")
        if user_id in self.changed:
            person = person._replace(sent=self.changed[user_id])
        # Another channel told of the same decision: that is one contact, which does not stand in its own way.
        others = [one for one in person.sent if one.outbox_id != str(row["outbox_id"])] if person.sent else person.sent
        is_counted = len(others) < len(person.sent)
        verdict = self._judge.of(campaign, person._replace(sent=others) if is_counted else person)
        if verdict.quiet.until is not None:
            return _waiting(row, verdict.quiet.until, campaign.campaign.spread_s)
        if (reason := _stopped(verdict, row["tags"])) is not None:
            return Judged(State.WITHDRAWN, reason)
        if contact_rules.is_counted(campaign) and not is_counted:
            contact = contact_rules.contact_at(self._now, str(row["outbox_id"]), row["tags"])
            self.changed[user_id] = contact_rules.counted(person.sent, contact)
        may_repeat = not contact_rules.is_counted(campaign)
        return Judged(State.SENDING, None, None, verdict.quiet.begins_at, may_repeat, is_counted)


def _as_known(row: Any, judged: Judged) -> Judged:
    """Of a push that was perhaps sent before nobody can say that it was stopped."""
    return judged._replace(state=State.UNKNOWN) if row["unknowns"] and judged.state in UNTOLD else judged


def _stopped(verdict: Verdict, tags: Sequence[str]) -> str | None:
    return verdict.reason or (CATEGORY_CAP_REACHED if verdict.full_tags.intersection(tags) else None)


def _waiting(row: Any, quiet_until: datetime, spread_s: int) -> Judged:
    """Until the quiet hours are over, if the push may still leave then; not all at once."""
    wait_until = quiet_until + timedelta(seconds=row["outbox_id"].int % (spread_s + 1))
    if quiet_until >= row["send_until"]:
        return Judged(State.EXPIRED, QUIET_HOURS)
    return Judged(State.READY, QUIET_HOURS, wait_until if wait_until < row["send_until"] else quiet_until)
