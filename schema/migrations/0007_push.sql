-- Campaigns, their occurrences, and the outbox: one row for each person and occurrence.
-- migrate:up
create table campaigns (
    campaign_id uuid primary key,
    external_id text not null unique,
    body jsonb not null,
    status text not null check (status in ('active', 'paused', 'ended')),
    created_at timestamptz not null,
    next_occurrence_at timestamptz, -- local start of the occurrence to plan next, its digits said to be UTC; null: none is left
    plan_at timestamptz -- when it has to be planned
);
create index campaigns_due on campaigns (plan_at) where status = 'active';

create table occurrences (
    campaign_id uuid not null references campaigns,
    occurrence_at timestamptz not null, -- local start of the window, its digits said to be UTC
    planned_through bigint not null, -- last user_id planned: planning restarts here
    is_planned boolean not null,
    primary key (campaign_id, occurrence_at)
);

create table outbox (
    user_id bigint not null,
    campaign_id uuid not null,
    occurrence_at timestamptz not null,
    channel smallint not null,
    outbox_id uuid not null,
    bucket smallint not null, -- partition of the user, 0..63: claims stay on one shard
    state smallint not null, -- 0 planned, 1 ready, 2 sending, 3 accepted, 4 failed, 5 expired, 6 withdrawn, 7 unknown, 8 no_send
    send_at timestamptz not null,
    send_until timestamptz not null, -- not sent from then on: the end of its life, or of the hours that may be used
    expires_at timestamptz not null, -- end of the message's life on the phone
    moment_propensity float8 not null,
    decision_id uuid,
    offer_id integer,
    message jsonb,
    address text,
    lease_until timestamptz,
    fence bigint, -- of the last claim: only its holder may settle
    attempts smallint not null default 0,
    outcome text,
    settled_at timestamptz,
    primary key (user_id, campaign_id, occurrence_at, channel)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
create index outbox_planned on outbox (send_at) where state = 0;
create index outbox_ready on outbox (send_at) where state = 1;
create index outbox_leased on outbox (lease_until) where state = 2;

create sequence outbox_fence;
