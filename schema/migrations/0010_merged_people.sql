-- Who was merged into a person is asked when a decision was on its way meanwhile: without an index that reads everybody.
-- migrate:up
create index users_merged on users (merged_into) where merged_into is not null;
