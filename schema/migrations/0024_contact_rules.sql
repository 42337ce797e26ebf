-- Rules of contact, and the pushes each person was sent of late: caps are counted in the transaction that claims a push.
-- migrate:up

-- The newest row is in force; without one the program's defaults are. Rows are never changed: they say who set what, and when.
create table contact_rules (
    version bigint primary key, -- from 1
    rules jsonb not null,
    set_at timestamptz not null,
    set_by text not null
);

-- Marketing pushes of the last eight days: [[unix milliseconds, outbox_id, [tag, ...]], ...] in no order. One row a person, locked by
-- whoever counts: two campaigns cannot both take the last place. No other index, and room on the page: its updates stay on it (HOT).
create table contacts (
    user_id bigint primary key,
    sent jsonb not null default '[]'
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- A person's own rules: quiet hours as minutes of the local day, begin and end by turns; null: no limit of their own.
alter table users
    add column quiet_minutes smallint[] not null default '{}',
    add column pushes_per_day_max smallint,
    add column pushes_per_week_max smallint;
