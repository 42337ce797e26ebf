-- Secrets of this installation, made here and told to nobody: what a phone is handed to speak for one decision is signed by one.
-- migrate:up
create table signing_keys (
    purpose text primary key,
    key bytea not null check (length(key) = 32)
);
-- Two UUIDs of version 4 hold 244 bits of PostgreSQL's strong random numbers.
insert into signing_keys (purpose, key)
values ('feedback', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
