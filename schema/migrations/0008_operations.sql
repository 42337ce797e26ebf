-- Who ticks, when each tick last ran, and the clock of a virtual world.
-- migrate:up
create sequence leader_epoch;

create table ticks (
    name text primary key,
    last_run_at timestamptz not null,
    epoch bigint not null
);

-- Only `serve --virtual-clock` (demo and tests) reads this row.
create table virtual_clock (
    singleton boolean primary key default true check (singleton),
    now_at timestamptz not null,
    settled_at timestamptz not null
);
