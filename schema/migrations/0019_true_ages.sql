-- Sums know when their exposures were, by the hour while they are young; what was decided and shown says by which set of features.
-- migrate:up

-- Until now every row was of the second set. A row that says nothing is of none, and not learned from.
alter table exposures add column feature_set smallint not null default 2;
alter table exposures alter column feature_set set default 0;
alter table decisions add column feature_set smallint not null default 2;
alter table decisions alter column feature_set set default 0;

-- What the old sums hold cannot be told apart by the hour: they go, and a refit makes them anew. Its epoch was fitted to an unknown extent (-1),
-- so the refit is due at once, and until then the last snapshot stays.
delete from learner_sums;
update learner_partitions set revision = revision + 1;
update epochs set exposures = -1, answers = -1, matured = -1 where number = (select max(number) from epochs);
