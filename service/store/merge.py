"""Two users who are one person: everything of the one that is lost goes to the one that stays, the stricter wish wins."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from push.channels import deliveries
from push.channels.mail import addresses
from schema.ids import partition_of
from service.store import inbox, reservations
from service.store.user_state import State

MergeState = Callable[[State, State], State]
"""(kept, lost) -> both together."""

_UNITE_USERS: Final = """
    update users k set
        version = k.version + 1,
        time_zone = coalesce(k.time_zone, l.time_zone),
        locale = coalesce(k.locale, l.locale),
        birth_date = coalesce(k.birth_date, l.birth_date),
        traits = l.traits || k.traits,
        tags = array(select distinct unnest(k.tags || l.tags) order by 1),
        has_push_consent = k.has_push_consent and l.has_push_consent,
        has_personalization_consent = k.has_personalization_consent and l.has_personalization_consent,
        has_email_consent = least(k.has_email_consent, l.has_email_consent),
        opted_out_at = least(k.opted_out_at, l.opted_out_at),
        muted_until = greatest(k.muted_until, l.muted_until),
        quiet_minutes = case when k.quiet_minutes = l.quiet_minutes then k.quiet_minutes else k.quiet_minutes || l.quiet_minutes end,
        pushes_per_day_max = least(k.pushes_per_day_max, l.pushes_per_day_max),
        pushes_per_week_max = least(k.pushes_per_week_max, l.pushes_per_week_max),
        vetoed_offer_ids = array(select distinct unnest(k.vetoed_offer_ids || l.vetoed_offer_ids) order by 1),
        snoozed_offer_ids = array(
            select distinct unnest(k.snoozed_offer_ids || l.snoozed_offer_ids) order by 1),
        snoozed_until = array(
            select max(s.until) from unnest(k.snoozed_offer_ids || l.snoozed_offer_ids,
                                            k.snoozed_until || l.snoozed_until) as s(offer_id, until)
             group by s.offer_id order by s.offer_id),
        feedback_applied_through = greatest(k.feedback_applied_through, l.feedback_applied_through, $3)
      from users l where k.user_id = $1 and l.user_id = $2
"""
_CLOSE: Final = "update users set merged_into = $1, version = version + 1 where user_id = $2 or merged_into = $2"
_REPOINT: Final = "update identities set user_id = $1, linked_at = $3 where user_id = $2"

_MOVE_DEVICES: Final = """
    update devices d set user_id = $1 where d.user_id = $2
       and not exists (select 1 from devices o where o.user_id = $1 and o.device_id = d.device_id)
"""
_DROP_DEVICES: Final = "delete from devices where user_id = $1"
# In the order in which writers of events claim them, who do not hold the user that is kept.
_MOVE_KEYS: Final = """
    with moved as (delete from event_keys where user_id = $2 returning event_key, received_at)
    insert into event_keys (user_id, event_key, received_at)
    select $1, event_key, received_at from moved order by event_key on conflict do nothing
"""
_MOVE_EVENTS: Final = "update events set user_id = $1 where user_id = $2"
_MOVE_DECISIONS: Final = "update decisions set user_id = $1 where user_id = $2"
_MOVE_EXPOSURES: Final = "update exposures set user_id = $1 where user_id = $2"
_MOVE_ANSWERS: Final = """
    with moved as (delete from answers where user_id = $2 returning *)
    insert into answers (user_id, event_id, answered_at, head, offer_id, decision_id, slot)
    select $1, event_id, answered_at, head, offer_id, decision_id, slot from moved on conflict do nothing
"""
# What is being sent (state 2) stays where its lease says; what both had planned for one occasion is sent once.
_MOVE_OUTBOX: Final = """
    update outbox o set user_id = $1, bucket = $3 where o.user_id = $2 and o.state <> 2
       and not exists (select 1 from outbox k where k.user_id = $1 and k.campaign_id = o.campaign_id
                          and k.occurrence_at = o.occurrence_at and k.channel = o.channel)
"""
_WITHDRAW: Final = """
    update outbox set state = case when unknowns > 0 then 7 else 6 end, outcome = 'merged', settled_at = $2
     where user_id = $1 and state in (0, 1)
"""
_MOVE_CONTACTS: Final = """
    with gone as (delete from contacts where user_id = $2 returning sent)
    insert into contacts (user_id, sent) select $1, sent from gone
    on conflict (user_id) do update set sent = contacts.sent || excluded.sent
"""
# A rest of either is one of both.
_MOVE_RESTS: Final = """
    with gone as (delete from triggerings where user_id = $2 returning campaign_id, triggered_at, rests_until)
    insert into triggerings (user_id, campaign_id, triggered_at, rests_until)
    select $1, campaign_id, triggered_at, rests_until from gone order by campaign_id
    on conflict (user_id, campaign_id) do update
       set triggered_at = greatest(triggerings.triggered_at, excluded.triggered_at),
           rests_until = greatest(triggerings.rests_until, excluded.rests_until)
"""
_STATES: Final = """
    select user_id, tastes, rhythm, personal from user_state where user_id = any($1::bigint[]) order by user_id for update
"""
_MOVE_STATE: Final = "update user_state set user_id = $1, updated_at = $3 where user_id = $2"
_PUT_STATE: Final = "update user_state set tastes = $2, rhythm = $3, personal = $4, updated_at = $5 where user_id = $1"
_DROP_OWN_EFFECT: Final = "delete from own_effects where user_id = $1"
_DROP_STATE: Final = "delete from user_state where user_id = $1"


async def merge(connection: Any, kept: int, lost: int, now: datetime, merge_state: MergeState) -> None:
    """Makes `lost` a part of `kept`. The caller's transaction holds both rows of users for update."""
    await connection.execute(_UNITE_USERS, kept, lost, now)
    await connection.execute(_CLOSE, kept, lost)
    await connection.execute(_REPOINT, kept, lost, now)
    # Outbox, deliveries, addresses, contacts: in this order, as those lock them who claim or settle a batch.
    await connection.execute(_MOVE_OUTBOX, kept, lost, partition_of(kept))
    await connection.execute(_WITHDRAW, lost, now)
    await deliveries.move(connection, kept, lost)
    await addresses.move(connection, kept, lost)
    await connection.execute(_MOVE_DEVICES, kept, lost)
    await connection.execute(_DROP_DEVICES, lost)
    await connection.execute(_MOVE_KEYS, kept, lost)
    for move in (_MOVE_EVENTS, _MOVE_DECISIONS, _MOVE_EXPOSURES, _MOVE_ANSWERS):
        await connection.execute(move, kept, lost)
    await connection.execute(_MOVE_CONTACTS, kept, lost)
    await connection.execute(_MOVE_RESTS, kept, lost)
    await reservations.move(connection, kept, lost)
    await inbox.move(connection, kept, lost)
    # What pushes do to the person is learned anew within a day, from the windows of both.
    await connection.execute(_DROP_OWN_EFFECT, lost)
    await _merge_states(connection, kept, lost, now, merge_state)


async def _merge_states(connection: Any, kept: int, lost: int, now: datetime, merge_state: MergeState) -> None:
    states = {row[0]: State(*row[1:]) for row in await connection.fetch(_STATES, [kept, lost])}
    if lost not in states:
        return
    if kept not in states:
        await connection.execute(_MOVE_STATE, kept, lost, now)
        return
    await connection.execute(_PUT_STATE, kept, *merge_state(states[kept], states[lost]), now)
    await connection.execute(_DROP_STATE, lost)
