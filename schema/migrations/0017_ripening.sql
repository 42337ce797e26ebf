-- A person's own sums fade by half in 56 days instead of 180, and count an unredeemed showing when its window is over instead of at once.
-- migrate:up

-- How far unredeemed showings are counted in people's own sums: an instant that moves with the revisions of all partitions, the same in each.
alter table learner_partitions add column ripe_through timestamptz not null default '2020-01-01 00:00:00+00';
create index exposures_ripening on exposures (exposed_at) where redeemed_at is null;

-- What the old sums hold cannot be weighed anew: they go, and people's own parts begin again from the prior. So what was decided until now
-- is not learned from in this way any more, neither its showings nor answers to come, which would be taken for changes of what was counted.
update user_state set personal = '' where personal <> '';
update decisions set z = '' where z <> '';
update learner_partitions
   set revision = revision + 1, ripe_through = coalesce((select max(exposed_at) from exposures), ripe_through);
