-- A campaign may be a draft until somebody else approves it; who made, changed and approved what stays on record.
-- migrate:up
alter table campaigns drop constraint campaigns_status_check;
alter table campaigns add constraint campaigns_status_check check (status in ('draft', 'active', 'paused', 'ended'));

-- Never changed, and kept when a draft is deleted. `body` is what was made or changed to.
create table campaign_changes (
    campaign_id uuid not null,
    change bigint generated always as identity,
    external_id text not null,
    what text not null check (what in ('made', 'changed', 'approved', 'paused', 'resumed', 'ended', 'deleted')),
    changed_at timestamptz not null,
    changed_by text not null,
    body jsonb,
    primary key (campaign_id, change)
);
