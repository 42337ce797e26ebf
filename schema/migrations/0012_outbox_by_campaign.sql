-- Due pushes are looked for campaign by campaign, so that what a paused one holds back is never walked.
-- migrate:up
create index outbox_planned_by_campaign on outbox (campaign_id, send_at, outbox_id) where state = 0;
create index outbox_ready_by_campaign on outbox (campaign_id, send_at, outbox_id) where state = 1;
drop index outbox_planned;
drop index outbox_ready;

-- Campaigns that have planned rows, or ready ones: one step in the index for each campaign, however many rows it has.
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
