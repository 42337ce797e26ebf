-- API keys, the public keys that sign user tokens, and answers kept for Idempotency-Key.
-- migrate:up
create table api_keys (
    key_id uuid primary key,
    kind text not null check (kind in ('pk', 'sk')),
    secret_sha256 bytea not null unique,
    prefix text not null,
    scopes text[] not null,
    created_at timestamptz not null,
    revoked_at timestamptz
);

create table identity_settings (
    singleton boolean primary key default true check (singleton),
    mode text not null check (mode in ('disabled', 'optional', 'required')),
    keys jsonb not null
);
insert into identity_settings (mode, keys) values ('required', '[]');

create table idempotency_keys (
    key_id uuid not null,
    idempotency_key text not null,
    request_sha256 bytea not null,
    status smallint,
    answer bytea,
    created_at timestamptz not null,
    primary key (key_id, idempotency_key)
);
create index idempotency_keys_created on idempotency_keys (created_at);
