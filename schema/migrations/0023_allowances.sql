-- What may be given away in all, of an offer or by a campaign; what of it is promised to whom; and what was redeemed.
-- migrate:up

-- Allowances are held by offers and campaigns: a campaign by its own id, an offer by its number written as a UUID.
create function holder_of(offer_id integer) returns uuid
    language sql immutable strict parallel safe return lpad(to_hex(offer_id), 32, '0')::uuid;

-- Whoever changes a reservation or a redemption of an offer locks its row here first, and those of several in their order:
-- so nothing is promised twice, and nobody waits in a circle.
create table allowances (
    holder uuid primary key,
    redemptions_max bigint, -- null: no limit
    budget_minor bigint, -- null: no budget
    reserved bigint not null default 0 check (reserved >= 0),
    reserved_minor bigint not null default 0 check (reserved_minor >= 0),
    redeemed bigint not null default 0 check (redeemed >= 0),
    redeemed_minor bigint not null default 0 check (redeemed_minor >= 0)
) with (fillfactor = 50); -- rows are rewritten in place
insert into allowances (holder) select holder_of(offer_id) from offers;

-- A promise to one person: one open one for each of their offers, whoever told them of it.
create table reservations (
    user_id bigint not null,
    reservation_id uuid not null,
    offer_id integer not null,
    taken_from uuid[] not null, -- whose allowances it counts in
    discount_minor bigint not null, -- what it takes of a budget
    state smallint not null, -- 0 open, 1 redeemed, 2 released
    made_at timestamptz not null,
    expires_at timestamptz not null,
    held_by uuid[] not null, -- decisions that told of it by push; the nil UUID for all that did in the app
    primary key (user_id, reservation_id)
) with (fillfactor = 80);
create unique index reservations_open on reservations (user_id, offer_id) where state = 0;
create index reservations_expiring on reservations (expires_at) where state = 0;
create index reservations_past on reservations (expires_at) where state <> 0;
create index reservations_by_id on reservations (reservation_id); -- a till knows nothing else

create table redemptions (
    user_id bigint not null,
    redemption_id uuid not null, -- UUIDv7 of the instant it was told
    offer_id integer not null,
    reservation_id uuid,
    taken_from uuid[] not null,
    discount_minor bigint not null,
    occurred_at timestamptz not null,
    store_id text,
    reference text, -- the till's own name for the sale
    event_id uuid not null, -- of the reward in the log
    rolled_back_at timestamptz,
    primary key (user_id, redemption_id)
);
create index redemptions_by_id on redemptions (redemption_id);
