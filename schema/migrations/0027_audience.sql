-- Tags of people, and who belongs to an audience: in one place, so that planning and the funnel of a dry run cannot disagree.
-- migrate:up

-- What the shop calls a person ('staff', 'newsletter'), told by its server; never what was learned. Read with the person's row: no index.
alter table users add column tags text[] not null default '{}';

-- The last visit, with which a packed rhythm begins (seconds since 1970, four bytes, the lowest first); null: never came.
create function last_visit(rhythm bytea) returns timestamptz
    language sql immutable parallel safe
    return case when length(rhythm) >= 4
                then to_timestamp(get_byte(rhythm, 0) + (get_byte(rhythm, 1) << 8) + (get_byte(rhythm, 2) << 16)
                                  + (get_byte(rhythm, 3)::bigint << 24)) end;

-- Every person there is, and the first rule that leaves them out (null: they belong to the audience). A rule that is null is not asked.
-- A person is active by what they did, not by what was sent to them: a device that reported itself, or a visit; user_state.updated_at
-- would also move with a push. The phone is the one that a claim would choose. One statement that PostgreSQL inlines: an index on
-- user_id, an order and a limit of the caller's hold within.
create function audience_of(
    live_since timestamptz, any_tags text[], all_tags text[], no_tags text[], in_stores text[], not_in_stores text[], in_zones text[],
    active_since timestamptz, inactive_since timestamptz, new_since timestamptz, on_platforms text[], in_languages text[]
) returns table (user_id bigint, time_zone text, rhythm bytea, quiet_minutes smallint[], left_out_by text)
    language sql stable parallel safe
as $$
    select u.user_id, zone.time_zone, s.rhythm, u.quiet_minutes,
           case
               when u.opted_out_at is not null then 'opted_out'
               when not u.has_push_consent then 'no_push_consent'
               when phone.platform is null then 'no_address'
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
               when on_platforms is not null and phone.platform <> all (on_platforms) then 'platform'
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
         where d.user_id = u.user_id and d.is_push_enabled and d.last_seen_at >= live_since
         order by d.last_seen_at desc, d.device_id limit 1) phone on true
      cross join lateral (
        select coalesce(u.time_zone, (select d.time_zone from devices d where d.user_id = u.user_id and d.time_zone is not null
                                       order by d.last_seen_at desc limit 1)) as time_zone) zone
     where u.merged_into is null
$$;
