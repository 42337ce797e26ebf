-- Channels besides push and inbox: endpoints of webhooks, and deliveries, what is on its way to them (docs/decisions/0011).
-- migrate:up
create table webhooks (
    webhook_id text primary key, -- as the operator calls it
    url text not null,
    secret text not null,
    old_secret text, -- signs too until then: receivers change at their leisure
    old_secret_until timestamptz,
    created_at timestamptz not null,
    created_by text not null,
    is_paused boolean not null default false,
    failures integer not null default 0, -- batches in a row of which nothing was taken
    rests_until timestamptz -- null: it does not
) with (fillfactor = 50);

create table deliveries (
    user_id bigint not null,
    delivery_id uuid not null,
    outbox_id uuid not null, -- of the person's row in the outbox: what the receiver knows it by, and the contact that is counted
    campaign_id uuid not null,
    channel smallint not null, -- schema.decision.Channel
    endpoint text not null, -- of a webhook its name, else empty
    decision_id uuid not null,
    offer_ids integer[] not null, -- by slot
    message jsonb not null,
    state smallint not null, -- as in outbox, from 1 ready
    send_at timestamptz not null,
    expires_at timestamptz not null,
    lease_until timestamptz,
    fence bigint,
    attempts smallint not null default 0,
    outcome text,
    settled_at timestamptz,
    primary key (user_id, delivery_id)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
create index deliveries_ready on deliveries (channel, campaign_id, endpoint, send_at, delivery_id) where state = 1;
create index deliveries_expiring on deliveries (expires_at) where state = 1;
create index deliveries_leased on deliveries (lease_until) where state = 2;
create index deliveries_settled on deliveries (settled_at) where settled_at is not null;
create index deliveries_campaign on deliveries (campaign_id);

-- Of those that were settled long ago.
create table delivery_counts (
    campaign_id uuid not null,
    channel smallint not null,
    state smallint not null,
    outcome text,
    deliveries bigint not null,
    unique nulls not distinct (campaign_id, channel, state, outcome)
);

-- Campaigns that have ready deliveries, by channel: one step in the index for each, however many rows it has.
create view campaigns_with_deliveries as
    with recursive found as (
        (select channel, campaign_id from deliveries where state = 1 order by channel, campaign_id limit 1)
        union all
        select following.channel, following.campaign_id
          from found cross join lateral (
            select d.channel, d.campaign_id from deliveries d
             where d.state = 1 and (d.channel, d.campaign_id) > (found.channel, found.campaign_id)
             order by d.channel, d.campaign_id limit 1) following
    )
    select channel, campaign_id from found;
