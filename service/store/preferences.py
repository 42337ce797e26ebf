"""What a person has asked for and allowed, read and changed by the ledger lane."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from schema.contact_rules import QuietHours, quiet_hours_of
from schema.preferences import Consent, ConsentPatch, Preferences, Snooze
from service.store import people
from service.store.people import PersonKey

_READ: Final = """
    select muted_until, feedback_applied_through, quiet_minutes, pushes_per_day_max, pushes_per_week_max,
           array(select o.external_id from unnest(u.vetoed_offer_ids) as v(offer_id) join offers o using (offer_id)
                  order by o.external_id) as vetoes,
           array(select o.external_id from unnest(u.snoozed_offer_ids, u.snoozed_until) as s(offer_id, until)
                   join offers o using (offer_id) where s.until > $2 order by o.external_id) as snoozed,
           array(select s.until from unnest(u.snoozed_offer_ids, u.snoozed_until) as s(offer_id, until)
                   join offers o using (offer_id) where s.until > $2 order by o.external_id) as until
      from users u where user_id = $1
"""
_CHANGE: Final = """
    update users u set
        version = version + 1,
        feedback_applied_through = greatest(feedback_applied_through, $2),
        vetoed_offer_ids = array(select distinct v from unnest(u.vetoed_offer_ids || $3::integer[]) as t(v)
                                  where not v = any($4::integer[]) order by v),
        snoozed_offer_ids = array(select s.offer_id from unnest(u.snoozed_offer_ids, u.snoozed_until) as s(offer_id, until)
                                   where not s.offer_id = any($5::integer[]) order by s.offer_id),
        snoozed_until = array(select s.until from unnest(u.snoozed_offer_ids, u.snoozed_until) as s(offer_id, until)
                               where not s.offer_id = any($5::integer[]) order by s.offer_id),
        muted_until = case when $6 then $7 else u.muted_until end,
        quiet_minutes = coalesce($8::smallint[], u.quiet_minutes),
        pushes_per_day_max = case when $9 then $10 else u.pushes_per_day_max end,
        pushes_per_week_max = case when $11 then $12 else u.pushes_per_week_max end
     where user_id = $1
"""
_READ_CONSENT: Final = """
    select has_push_consent, coalesce(has_email_consent, false), has_personalization_consent, opted_out_at, feedback_applied_through
      from users where user_id = $1
"""
# Consent given anew ends an opt-out.
_CHANGE_CONSENT: Final = """
    update users set
        version = version + 1,
        feedback_applied_through = greatest(feedback_applied_through, $2),
        has_push_consent = coalesce($3, has_push_consent),
        has_personalization_consent = coalesce($4, has_personalization_consent),
        has_email_consent = coalesce($5, has_email_consent),
        opted_out_at = case when $3 then null else opted_out_at end
     where user_id = $1
"""


class Limit(NamedTuple):
    """A limit of a person's own on pushes, which is changed only when it `is_named`; None lifts it."""

    is_named: bool
    pushes_max: int | None


class Wishes(NamedTuple):
    """Changes to a person's preferences by our offer ids; `muted_until` counts only when `is_mute_named`, quiet hours unless None."""

    add_vetoes: Collection[int]
    remove_vetoes: Collection[int]
    remove_snoozes: Collection[int]
    is_mute_named: bool
    muted_until: datetime | None
    quiet_hours: Sequence[QuietHours] | None
    per_day: Limit
    per_week: Limit


async def read(connection: Any, key: PersonKey, now: datetime) -> Preferences | None:
    """A person's preferences; None for somebody never heard of."""
    person = await people.find(connection, key)
    return None if person is None else await _read(connection, person.user_id, now)


async def change(connection: Any, key: PersonKey, wishes: Wishes, now: datetime) -> Preferences:
    """Changes preferences in a transaction of its own, making the person when missing; gives the new ones."""
    async with connection.transaction():
        user_id = (await people.ensure_and_hold(connection, key, now)).user_id
        await connection.execute(
            _CHANGE,
            user_id,
            now,
            sorted(wishes.add_vetoes),
            sorted(wishes.remove_vetoes),
            sorted(wishes.remove_snoozes),
            wishes.is_mute_named,
            wishes.muted_until,
            None if wishes.quiet_hours is None else [minute for one in wishes.quiet_hours for minute in one.minutes()],
            *wishes.per_day,
            *wishes.per_week,
        )
        return await _read(connection, user_id, now)


async def read_consent(connection: Any, key: PersonKey) -> Consent | None:
    """What a person allows; None for somebody never heard of."""
    person = await people.find(connection, key)
    return None if person is None else await _read_consent(connection, person.user_id)


async def change_consent(connection: Any, key: PersonKey, given: ConsentPatch, now: datetime) -> Consent:
    """Changes consent in a transaction of its own, making the person when missing; what is not named stays."""
    async with connection.transaction():
        user_id = (await people.ensure_and_hold(connection, key, now)).user_id
        await connection.execute(_CHANGE_CONSENT, user_id, now, given.push, given.personalization, given.email)
        return await _read_consent(connection, user_id)


async def _read(connection: Any, user_id: int, now: datetime) -> Preferences:
    row = await connection.fetchrow(_READ, user_id, now)
    return Preferences(
        vetoes=row["vetoes"],
        snoozes=[Snooze(offer_id=o, until=u) for o, u in zip(row["snoozed"], row["until"], strict=True)],
        muted_until=row["muted_until"],
        quiet_hours=quiet_hours_of(row["quiet_minutes"]),
        pushes_per_day_max=row["pushes_per_day_max"],
        pushes_per_week_max=row["pushes_per_week_max"],
        feedback_applied_through=row["feedback_applied_through"],
    )


async def _read_consent(connection: Any, user_id: int) -> Consent:
    row = await connection.fetchrow(_READ_CONSENT, user_id)
    return Consent(
        push=row[0], email=row[1], personalization=row[2], opted_out_at=row[3], feedback_applied_through=row[4]
    )
