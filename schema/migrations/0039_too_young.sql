-- What is for adults is not told to whom it was drawn for by an older birth date, or before it was for adults: asked at the claim too.
-- migrate:up

create or replace view person_terms as
    select user_id, external_id, opted_out_at, has_push_consent, has_email_consent, muted_until, vetoed_offer_ids, snoozed_offer_ids,
           snoozed_until, coalesce(traits ->> 'store_id', '') as store_id, birth_date
      from users
     where merged_into is null;

create or replace view offer_terms as
    select offer_id, (body ->> 'starts_at')::timestamptz as starts_at, (body ->> 'ends_at')::timestamptz as ends_at,
           (body ->> 'paused')::boolean as is_paused, body -> 'channels' ? 'push' as is_sent,
           nullif(body -> 'store_ids', '[]') as only_in, body -> 'exclude_store_ids' as not_in,
           array(select jsonb_array_elements_text(body -> 'tags')) as tags,
           (body ->> 'min_age')::integer as min_age
      from offer_versions
     where to_version is null;

-- As in 0038. Digits of days as numbers: their difference holds the whole years, counted when the day has begun everywhere on Earth, as by the
-- mask of the draw (service/decision/masks.py). Who tells no birth date is too young.
create or replace function stopped_by(
    channel smallint, at timestamptz, has_campaign_ended boolean, until timestamptz, person person_terms, offer offer_terms,
    reservation text, address text
) returns table (reason text)
    language sql stable parallel safe
as $$
    select case
               when has_campaign_ended then 'campaign_ended'
               when until <= at then 'expired'
               when (person).user_id is null then 'person_gone'
               when (person).opted_out_at is not null then 'opted_out'
               when channel = 1 and not (person).has_push_consent then 'no_push_consent'
               when channel = 3 and (person).has_email_consent is not true then 'no_email_consent'
               when (person).muted_until > at then 'muted'
               when (offer).offer_id = any ((person).vetoed_offer_ids) then 'vetoed'
               when (offer).offer_id = any ((person).snoozed_offer_ids)
                    and exists (select 1 from unnest((person).snoozed_offer_ids, (person).snoozed_until) as s(offer_id, snoozed_until)
                                 where s.offer_id = (offer).offer_id and s.snoozed_until > at) then 'snoozed'
               when (offer).ends_at <= at then 'offer_ended'
               when (offer).offer_id is null or (offer).is_paused or (offer).starts_at > at or not (offer).is_sent then 'offer_gone'
               when (offer).not_in ? (person).store_id or not (offer).only_in ? (person).store_id then 'wrong_store'
               when (offer).min_age > 0
                    and ((person).birth_date is null
                         or to_char(at at time zone 'UTC' - interval '12 hours', 'YYYYMMDD')::integer
                            - to_char((person).birth_date, 'YYYYMMDD')::integer < (offer).min_age * 10000) then 'too_young'
               when reservation is not null and not exists (
                        select 1 from reservations r
                         where r.user_id = (person).user_id and r.offer_id = (offer).offer_id and r.state = 0 and r.expires_at > at
                           and (r.reservation_id = reservation::uuid
                                or exists (select 1 from reservations n
                                            where n.user_id = r.user_id and n.reservation_id = reservation::uuid and n.state = 2)))
                    then 'not_reserved'
               when address is null then 'no_address'
           end
$$;
