-- An Idempotency-Key belongs to the user a user token names: two phones that share a publishable key may both say "1".
-- migrate:up
alter table idempotency_keys add column user_external_id text not null default ''; -- '' without a user token
alter table idempotency_keys
    drop constraint idempotency_keys_pkey,
    add primary key (key_id, user_external_id, idempotency_key);
