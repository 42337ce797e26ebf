-- What a push says is written once by the draw and read once by the claim, as a whole: text, for making jsonb of it costs more than the rest
-- of its row. What the claim asks of it stands beside it.
-- migrate:up
alter table outbox add column reservation_id uuid;
alter table outbox_past add column reservation_id uuid;
update outbox set reservation_id = (message -> 'data' ->> 'reservation_id')::uuid where message -> 'data' ? 'reservation_id';
alter table outbox alter column message type bytea using convert_to(message::text, 'UTF8');
alter table outbox_past alter column message type bytea using convert_to(message::text, 'UTF8');
