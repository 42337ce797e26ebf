-- How far the taking of an allowance is ahead of time, from which its shadow price follows (bandits/policies/pacing.py).
-- migrate:up
alter table allowances
    add column ends_at timestamptz, -- until when it should last; null: it is not paced
    add column ahead float8 not null default 0,
    add column paced_at timestamptz, -- when that was reckoned, null: not yet, and what was left then
    add column paced_count bigint,
    add column paced_minor bigint;

update allowances a set ends_at = (v.body ->> 'ends_at')::timestamptz
  from offer_versions v where v.to_version is null and a.holder = holder_of(v.offer_id);
-- The end of a campaign is local time, its digits said to be UTC.
update allowances a set ends_at = (c.body ->> 'ends_at')::timestamp at time zone 'UTC'
  from campaigns c where a.holder = c.campaign_id;
