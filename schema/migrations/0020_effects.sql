-- What a push adds to what people buy anyway, as it was learned from the outcomes of what was sent and of what was not.
-- migrate:up
create table effects (
    version bigint primary key,
    learned_at timestamptz not null,
    feature_set smallint not null, -- of phi (bandits.features)
    effect_set smallint not null, -- of the effect's own columns (bandits.incremental)
    windows bigint not null, -- learned from so many,
    pushes bigint not null, -- of which so many followed a push
    crc32 bigint not null,
    body bytea not null -- float64: mean, covariance, prior variance of people's own parts, share of purchases that redeem
);

-- What pushes do to a person beyond that, on the log-odds; people who are not here have the prior. Replaced as a whole with each version.
create table own_effects (
    user_id bigint primary key,
    mean float8 not null,
    variance float8 not null
);

-- An outcome window for each push decision whose offer was drawn: it begins when FCM accepted the push, or when silence was decided (the
-- gate, the holdout). What was drawn to be sent and never was accepted (withdrawn, failed, expired), or of which that is not known, is in none.
create view push_windows as
    select coalesce(u.merged_into, u.user_id) as user_id, d.decision_id, d.catalogue_version, d.offer_ids[1] as offer_id, d.phi, d.feature_set,
           d.action = 1 as is_sent,
           case when d.action = 1 then e.exposed_at else (d.request ->> 'decided_at')::timestamptz end as began_at,
           e.redeemed_at, coalesce((d.request ->> 'may_personalise')::boolean, false) as may_personalise
      from decisions d
      join users u on u.user_id = d.user_id
      left join lateral ( -- one look by the key for each, whatever the planner believes of their number
        select exposed_at, redeemed_at from exposures
         where user_id = d.user_id and decision_id = d.decision_id and slot = 0 and is_push limit 1) e on true
     where d.channel = 1 and cardinality(d.offer_ids) = 1 and (d.action = 0 or e.exposed_at is not null);
