-- Pushes that an event sets off: how long a person's events set off no other of the same campaign.
-- migrate:up

-- Written with the planned row, in the transaction of the event: of two events at once one plans, and an event told twice plans once.
create table triggerings (
    user_id bigint not null,
    campaign_id uuid not null,
    triggered_at timestamptz not null, -- when the event was received: occurrence_at of the row in the outbox
    rests_until timestamptz not null,
    primary key (user_id, campaign_id)
);
create index triggerings_over on triggerings (rests_until);
-- Read once a second by each API worker.
create index campaigns_triggered on campaigns (campaign_id)
    where status = 'active' and jsonb_typeof(body -> 'trigger') = 'object';
