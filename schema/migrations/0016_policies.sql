-- Policies an operator has made, which of them is in force since when and why, and the snapshot that decisions are held to.
-- migrate:up
create table policies (
    name text not null,
    version integer not null, -- from 1; the built-in policy has version 0 and no row
    settings jsonb not null,
    created_at timestamptz not null,
    created_by text not null,
    primary key (name, version)
);

-- The newest row is in force; without one the built-in policy is. Rows are never changed.
create table promotions (
    promotion_id bigint primary key,
    name text not null,
    version integer not null,
    before_id bigint not null, -- what a rollback returns to: the promotion that was in force before, 0 for the built-in policy
    kind text not null check (kind in ('promote', 'rollback')),
    promoted_at timestamptz not null,
    promoted_by text not null,
    is_forced boolean not null,
    reason text not null,
    evaluation jsonb -- what was known of it then; null after a rollback
);

-- The newest row holds: decisions use that snapshot, or with null the newest one, while the learner goes on publishing.
create table snapshot_pins (
    pin_id bigint primary key,
    version bigint,
    taste_map_version integer, -- the map it needs, kept as long
    pinned_at timestamptz not null,
    pinned_by text not null,
    reason text not null
);
