-- A person's own part of the model, what decisions log of it, and the taste maps it is measured along.
-- migrate:up
alter table user_state add column personal bytea not null default ''; -- packed sums (bandits.personal); empty: nobody has answered yet
alter table user_state alter column personal set storage plain;

alter table decisions
    add column personal bytea not null default '', -- the person's sums at that instant
    add column z bytea not null default '', -- (slots, personal columns) float32 of the drawn offers; empty: nothing personal was used
    add column personal_offsets real[] not null default '{}'; -- by slot, the personal part of the linear predictor of head redeem
alter table decisions alter column personal set storage plain;

-- Learned once a day from a sample of people; kept as long as a snapshot that refers to it.
create table taste_maps (
    version bigint primary key,
    learned_at timestamptz not null,
    people integer not null, -- how many it was learned from
    personal_variances float8[] not null, -- prior variance of each block of the personal part
    crc32 bigint not null,
    body bytea not null -- records by tag id (bandits.taste_map)
);
