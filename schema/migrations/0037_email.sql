-- E-mail: consent of its own, which nobody has before they give it, and addresses apart from all that is read often.
-- migrate:up
alter table users add column has_email_consent boolean; -- null: never asked

create table email_addresses (
    user_id bigint primary key,
    address text not null check (length(address) between 3 and 254),
    updated_at timestamptz not null
);

-- By which links are signed that end all e-mail to a person.
insert into signing_keys (purpose, key)
values ('unsubscribe', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

-- As in 0028, and by_email whoever can be reached by e-mail belongs to it: without live_since they alone.
drop function audience_of(timestamptz, text[], text[], text[], text[], text[], text[], timestamptz, timestamptz, timestamptz, text[], text[]);
create function audience_of(
    live_since timestamptz, any_tags text[], all_tags text[], no_tags text[], in_stores text[], not_in_stores text[], in_zones text[],
    active_since timestamptz, inactive_since timestamptz, new_since timestamptz, on_platforms text[], in_languages text[], by_email boolean
) returns table (user_id bigint, time_zone text, rhythm bytea, quiet_minutes smallint[], left_out_by text)
    language sql stable parallel safe
as $$
    select u.user_id, zone.time_zone, s.rhythm, u.quiet_minutes,
           case
               when u.opted_out_at is not null then 'opted_out'
               when (live_since is not null or by_email)
                    and not (by_email and coalesce(u.has_email_consent, false)
                             and exists (select 1 from email_addresses e where e.user_id = u.user_id))
                    and (live_since is null or not u.has_push_consent or phone.platform is null)
                    then case when live_since is null and not coalesce(u.has_email_consent, false) then 'no_email_consent'
                              when live_since is not null and not u.has_push_consent then 'no_push_consent'
                              else 'no_address' end
               when any_tags is not null and not u.tags && any_tags
                    or all_tags is not null and not u.tags @> all_tags
                    or no_tags is not null and u.tags && no_tags then 'tags'
               when in_stores is not null and coalesce(u.traits ->> 'store_id', '') <> all (in_stores)
                    or not_in_stores is not null and u.traits ->> 'store_id' = any (not_in_stores)
                    or in_zones is not null and coalesce(zone.time_zone, '') <> all (in_zones) then 'places'
               when active_since is not null
                    and not (exists (select 1 from devices d where d.user_id = u.user_id and d.last_seen_at >= active_since)
                             or coalesce(last_visit(s.rhythm) >= active_since, false))
                    or inactive_since is not null
                    and (exists (select 1 from devices d where d.user_id = u.user_id and d.last_seen_at >= inactive_since)
                         or coalesce(last_visit(s.rhythm) >= inactive_since, false))
                    or new_since is not null and u.created_at < new_since then 'activity'
               when on_platforms is not null and coalesce(phone.platform, '') <> all (on_platforms) then 'platform'
               when in_languages is not null
                    and not exists (select 1
                                      from unnest(in_languages) as asked(language),
                                           lower(replace(coalesce(u.locale, phone.locale, ''), '_', '-')) as spoken(locale)
                                     where locale = language or starts_with(locale, language || '-')) then 'language'
           end
      from users u
      left join user_state s on s.user_id = u.user_id
      left join lateral (
        select d.platform, d.locale from devices d
         where d.user_id = u.user_id and d.is_push_enabled and (live_since is null or d.last_seen_at >= live_since)
         order by d.last_seen_at desc, d.device_id limit 1) phone on true
      cross join lateral (
        select coalesce(u.time_zone, (select d.time_zone from devices d where d.user_id = u.user_id and d.time_zone is not null
                                       order by d.last_seen_at desc limit 1)) as time_zone) zone
     where u.merged_into is null
$$;
