-- Offers, the tags they share with events, and every version of the catalogue, so that an old decision can be recomputed.
-- migrate:up
create table tags (
    tag_id smallint generated always as identity primary key,
    tag text not null unique check (length(tag) between 1 and 64)
);

create table offers (
    offer_id integer generated always as identity primary key,
    external_id text not null unique check (length(external_id) between 1 and 64),
    created_at timestamptz not null
);

-- One row for each state an offer has ever had; the current one has no to_version. A deleted offer has no current row.
create table offer_versions (
    offer_id integer not null references offers,
    from_version bigint not null,
    to_version bigint,
    body jsonb not null,
    changed_at timestamptz not null,
    primary key (offer_id, from_version)
);
create unique index offer_versions_current on offer_versions (offer_id) where to_version is null;

-- The single row every change of the catalogue locks: versions are dense and ordered.
create table catalogue_head (
    singleton boolean primary key default true check (singleton),
    version bigint not null
);
insert into catalogue_head (version) values (0);
