-- Exposures keep the features they were scored by, so that the shared model can be fitted anew to all of them; its sums belong to an epoch.
-- migrate:up
alter table exposures
    add column phi bytea, -- (features,) float32; null: scored by another set of features, not learned from
    add column personal_offset real not null default 0, -- the personal part of the score, on the linear predictor of head redeem
    add column is_push boolean not null default false, -- accepted by FCM, whether shown or not
    add column opened_told_at timestamptz, -- when we were first told of it
    add column redeemed_told_at timestamptz,
    add column counted_by bigint; -- transaction that wrote the row last: which rows changed since a snapshot of the database
create index exposures_counted on exposures using brin (counted_by);

-- An epoch is the mode at which the sums of every partition are linearised; the newest one is in force.
create table epochs (
    number bigint primary key,
    feature_set smallint not null,
    link text not null,
    begun_at timestamptz not null,
    modes bytea not null, -- (heads, features) float64
    dispersions float8[] not null, -- by head
    objectives float8[] not null, -- by head, minus log posterior at the mode; empty for an epoch that begins at the prior
    exposures float8 not null, -- how much was counted when it was fitted: exposures,
    answers float8 not null, -- weight of their answers,
    matured float8 not null -- exposures as far as their answers could have come
);

-- Sums of the old form are of the old features too: learning begins from the prior again. Populations and states of people stay.
delete from learner_sums;
update learner_partitions set revision = revision + 1;

-- What is known of people gets counts for what is in season (population: era, recent baskets, number of recent tags, these) and for
-- pushes that were not answered (tastes, version 2: a float at the end of the header).
update learner_partitions set population = decode(repeat('00', 24), 'hex') || population where length(population) > 0;
update user_state
   set tastes = '\x0200'::bytea || substring(tastes from 3 for 18) || '\x00000000'::bytea || substring(tastes from 21)
 where length(tastes) >= 20 and get_byte(tastes, 0) = 1;
