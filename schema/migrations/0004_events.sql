-- What apps and tills report: the events themselves, the keys that make them idempotent for 7 days, and the log that learning reads.
-- migrate:up
create table events (
    user_id bigint not null,
    event_id uuid not null, -- UUIDv7 of the instant it was received
    type smallint not null,
    occurred_at timestamptz not null,
    received_at timestamptz not null,
    offer_id integer,
    decision_id uuid,
    slot smallint not null,
    properties jsonb not null,
    primary key (user_id, event_id)
) partition by range (event_id);
create table events_default partition of events default;

create table event_keys (
    user_id bigint not null,
    event_key uuid not null,
    received_at timestamptz not null,
    primary key (user_id, event_key)
);
create index event_keys_received on event_keys using brin (received_at);

-- The counter row is locked by each append, so that within a partition the order of seq is the order of commits.
create table event_log_heads (
    partition smallint primary key check (partition between 0 and 63),
    seq bigint not null
);
insert into event_log_heads (partition, seq) select p, 0 from generate_series(0, 63) p;

-- One row is a micro-batch of one partition.
create table event_log (
    partition smallint not null,
    seq bigint not null,
    body bytea not null,
    appended_at timestamptz not null,
    primary key (partition, seq)
);
