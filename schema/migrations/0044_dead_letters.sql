-- Entries of the event log that could not be counted, put aside in the transaction that moves the learner's offset past them.
-- migrate:up
create table dead_letters (
    user_id bigint not null,
    event_id uuid not null,
    body bytea not null, -- the entry, as in event_log: a batch of one
    reason text not null, -- the type of the error
    failed_at timestamptz not null,
    primary key (user_id, event_id)
);
