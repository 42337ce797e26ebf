-- Why an occurrence is not planned: its campaign has nothing to send.
-- migrate:up
alter table occurrences add column obstacle text; -- a code; null: none is known
