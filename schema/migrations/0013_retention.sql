-- What is no longer kept: old pushes leave their counts behind; snapshots go by age, whoever refers to them.
-- migrate:up
create table outbox_counts (
    campaign_id uuid not null,
    state smallint not null, -- as in outbox
    outcome text, -- null for accepted pushes: theirs is FCM's name of the message
    pushes bigint not null,
    decisions bigint not null,
    unique nulls not distinct (campaign_id, state, outcome)
);
create index outbox_settled on outbox (settled_at) where settled_at is not null;
drop index decisions_snapshot;
