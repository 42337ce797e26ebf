-- Answers wait a while for news of the offers they answer, which may come later: every answer of the last days, counted or not.
-- migrate:up
create table answers (
    user_id bigint not null,
    event_id uuid not null,
    answered_at timestamptz not null,
    head smallint not null, -- place in schema.snapshot.HEADS
    offer_id integer not null,
    decision_id uuid, -- null: a till that knows only the offer
    slot smallint not null,
    primary key (user_id, event_id)
);
create index answers_answered on answers (answered_at);

-- Until now an answer to an offer that was not known to have been shown waited as an exposure without an instant.
insert into answers (user_id, event_id, answered_at, head, offer_id, decision_id, slot)
select e.user_id, gen_random_uuid(), a.answered_at, a.head, e.offer_id, e.decision_id, e.slot
  from exposures e cross join lateral (values (0, e.opened_at), (1, e.redeemed_at)) as a(head, answered_at)
 where e.exposed_at is null and a.answered_at is not null;
delete from exposures where exposed_at is null;
