-- When answers are told, by their age and by the hour of the week, is learned by a refit and belongs to its epoch.
-- migrate:up
alter table epochs add column tellings bytea; -- (heads, age buckets + 168) float64; null: fitted by an older program, nothing is known of it

-- Sums no longer count answers by age, so the old ones cannot be read: a refit makes them anew. Its epoch was fitted to an unknown extent (-1),
-- so the refit is due at once, and until then the last snapshot stays.
delete from learner_sums;
update learner_partitions set revision = revision + 1;
update epochs set exposures = -1, answers = -1, matured = -1 where number = (select max(number) from epochs);
