-- The outbox by days of the occurrence: a day of which everything is settled is put aside, and what is too old goes a table at a time.
-- migrate:up
drop view campaigns_with_planned;
drop view campaigns_with_ready;
drop index outbox_planned_by_campaign, outbox_ready_by_campaign, outbox_leased, outbox_settled;
alter table outbox rename to outbox_before;
alter table outbox_before drop constraint outbox_pkey;

-- Days of which something may still be done. What runs all the time walks all of them, so they are few. There is no default: a day is
-- made before it is written to (push/outbox_days.py).
create table outbox (like outbox_before including defaults) partition by range (occurrence_at);
alter table outbox add primary key (user_id, campaign_id, occurrence_at, channel);
create index outbox_planned_by_campaign on outbox (campaign_id, send_at, outbox_id) where state = 0;
create index outbox_ready_by_campaign on outbox (campaign_id, send_at, outbox_id) where state = 1;
create index outbox_leased on outbox (lease_until) where state = 2;

-- Days of which everything is settled, until their counts are all that is kept.
create table outbox_past (like outbox including defaults) partition by range (occurrence_at);
alter table outbox_past add primary key (user_id, campaign_id, occurrence_at, channel);

create table outbox_days (
    day date primary key, -- of occurrence_at, in UTC; its rows are in the table outbox_YYYYMMDD
    closed_at timestamptz -- null: a partition of outbox; else of outbox_past, and nothing is settled later than this
);

insert into outbox_days (day) select distinct (occurrence_at at time zone 'UTC')::date from outbox_before;
do $$
declare
    opened record;
begin
    for opened in
        select 'outbox_' || to_char(day, 'YYYYMMDD') as name, day::timestamp at time zone 'UTC' as begins_at,
               (day + 1)::timestamp at time zone 'UTC' as ends_at
          from outbox_days
    loop
        execute format('create table %I (like outbox including all, check (occurrence_at >= %L and occurrence_at < %L))'
                       ' with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)', opened.name, opened.begins_at, opened.ends_at);
        execute format('alter table outbox attach partition %I for values from (%L) to (%L)', opened.name, opened.begins_at, opened.ends_at);
    end loop;
end $$;
insert into outbox select * from outbox_before;
drop table outbox_before;

-- As before: campaigns that have planned rows, or ready ones, one step in the index for each campaign.
create view campaigns_with_planned as
    with recursive found as (
        (select campaign_id from outbox where state = 0 order by campaign_id limit 1)
        union all
        select following.campaign_id
          from found cross join lateral (
            select o.campaign_id from outbox o where o.state = 0 and o.campaign_id > found.campaign_id
             order by o.campaign_id limit 1) following
    )
    select campaign_id from found;
create view campaigns_with_ready as
    with recursive found as (
        (select campaign_id from outbox where state = 1 order by campaign_id limit 1)
        union all
        select following.campaign_id
          from found cross join lateral (
            select o.campaign_id from outbox o where o.state = 1 and o.campaign_id > found.campaign_id
             order by o.campaign_id limit 1) following
    )
    select campaign_id from found;
