-- Keys of events by age. A BRIN index only widens: where old keys were deleted new ones take their place, until each range of pages holds
-- old instants and new ones, and every purge reads the whole table.
-- migrate:up
create index event_keys_age on event_keys (received_at);
drop index event_keys_received;
