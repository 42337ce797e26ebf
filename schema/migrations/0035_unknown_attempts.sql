-- Transactional pushes are sent again when nobody knows whether an attempt arrived; from then on a push cannot be said not to have been sent.
-- migrate:up
alter table outbox add column unknowns smallint not null default 0; -- attempts of which that is not known
alter table outbox_past add column unknowns smallint not null default 0;
update outbox set unknowns = 1 where state = 7;
update outbox_past set unknowns = 1 where state = 7;
alter table outbox_counts add column unknowns bigint not null default 0;
update outbox_counts set unknowns = pushes where state = 7;
