-- Every decision with all that is needed to recompute it, and what became of the offers that were shown.
-- migrate:up
create table decisions (
    user_id bigint not null,
    decision_id uuid not null, -- UUIDv7 of the instant of the decision; seeds its draw
    placement text not null,
    channel smallint not null,
    action smallint not null, -- 0 no_send, 1 offer
    in_holdout boolean not null,
    in_control boolean not null,
    is_degraded boolean not null,
    policy text not null,
    snapshot_version bigint not null,
    catalogue_version bigint not null,
    user_version bigint not null,
    campaign_id uuid,
    request jsonb not null, -- context, slots, exclusions and policy settings as they entered the draw
    tastes bytea not null, -- packed state of the user at that instant
    eligible bytea not null, -- bitmap over the catalogue's offers, packed little-endian
    offer_ids integer[] not null, -- drawn, by slot; also when nothing was sent
    propensities float8[] not null, -- conditional on the slots before
    send_probability float8 not null,
    phi bytea not null, -- (slots, features) float32
    predictions bytea not null, -- (slots, heads, mean and variance) float32
    pmf_sha256 bytea not null,
    reason_codes text[] not null,
    primary key (user_id, decision_id)
) partition by range (decision_id);
create table decisions_default partition of decisions default;
create index decisions_snapshot on decisions (snapshot_version); -- which snapshots are still referred to
alter table decisions alter column tastes set storage plain;

-- Made when an offer was shown (or accepted by FCM); answered by the first open and the first redemption within the window.
create table exposures (
    user_id bigint not null,
    decision_id uuid not null,
    slot smallint not null,
    offer_id integer not null,
    exposed_at timestamptz, -- null: the answer came before the exposure was logged
    opened_at timestamptz,
    redeemed_at timestamptz,
    primary key (user_id, decision_id, slot)
) partition by range (decision_id);
create table exposures_default partition of exposures default;
