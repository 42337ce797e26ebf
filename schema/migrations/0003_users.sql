-- People: who they are (identities), what they told us (users), what we have learned of them (user_state), where to reach them (devices).
-- migrate:up

-- The directory from an app's own id to ours. It is distributed by its own key, hence the one table whose key does not begin with user_id.
create table identities (
    kind smallint not null check (kind in (0, 1)), -- 0 user_id, 1 anonymous_id
    external_id text not null check (length(external_id) between 1 and 128),
    user_id bigint not null,
    linked_at timestamptz not null,
    primary key (kind, external_id)
);
create index identities_user on identities (user_id);

-- Written by the ledger lane only; every write raises `version`, and a decision reads this row.
create table users (
    user_id bigint generated always as identity primary key,
    version bigint not null default 0,
    external_id text not null,
    merged_into bigint,
    time_zone text,
    locale text,
    birth_date date,
    traits jsonb not null default '{}',
    has_push_consent boolean not null default true,
    has_personalization_consent boolean not null default true,
    opted_out_at timestamptz,
    muted_until timestamptz,
    vetoed_offer_ids integer[] not null default '{}',
    snoozed_offer_ids integer[] not null default '{}',
    snoozed_until timestamptz[] not null default '{}',
    feedback_applied_through timestamptz,
    created_at timestamptz not null
);

-- Written by the fold over the event log only. `tastes` and `rhythm` are packed little-endian records (bandits.tastes, bandits.rhythm).
create table user_state (
    user_id bigint primary key,
    tastes bytea not null,
    rhythm bytea not null,
    updated_at timestamptz not null
);
alter table user_state alter column tastes set storage plain, alter column rhythm set storage plain;
alter table user_state set (fillfactor = 80);

create table devices (
    user_id bigint not null,
    device_id text not null check (length(device_id) between 1 and 128),
    address text not null check (length(address) between 1 and 4096),
    address_kind text not null check (address_kind in ('token', 'fid')),
    platform text not null check (platform in ('android', 'ios', 'web')),
    app_version text,
    time_zone text,
    locale text,
    is_push_enabled boolean not null default true,
    address_updated_at timestamptz not null,
    last_seen_at timestamptz not null,
    primary key (user_id, device_id)
);
create index devices_address on devices using hash (address);
