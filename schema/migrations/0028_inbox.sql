-- The in-app inbox: what was decided for a person lies there for its life. A campaign names its channels; until now there was one.
-- migrate:up
update campaigns set body = body - 'channel' where body ? 'channel';

-- How many items a person was ever given: locked by whoever gives them more, so that positions rise in the order of commits.
create table inboxes (
    user_id bigint primary key,
    items bigint not null
) with (fillfactor = 80);

create table inbox_items (
    user_id bigint not null,
    position bigint not null, -- from 1
    decision_id uuid not null,
    campaign_id uuid not null,
    offer_id integer not null,
    is_promised boolean not null, -- reserved with the decision: gone when the promise is
    put_at timestamptz not null,
    expires_at timestamptz not null,
    shown_at timestamptz, -- when the person's app first took it
    read_at timestamptz,
    dismissed_at timestamptz,
    primary key (user_id, position)
) with (fillfactor = 80);
create unique index inbox_items_decision on inbox_items (user_id, decision_id);
create index inbox_items_expiring on inbox_items (expires_at);

-- As in 0027, and without live_since people need not be reachable by push: a campaign has other channels.
create or replace function audience_of(
    live_since timestamptz, any_tags text[], all_tags text[], no_tags text[], in_stores text[], not_in_stores text[], in_zones text[],
    active_since timestamptz, inactive_since timestamptz, new_since timestamptz, on_platforms text[], in_languages text[]
) returns table (user_id bigint, time_zone text, rhythm bytea, quiet_minutes smallint[], left_out_by text)
    language sql stable parallel safe
as $$
    select u.user_id, zone.time_zone, s.rhythm, u.quiet_minutes,
           case
               when u.opted_out_at is not null then 'opted_out'
               when live_since is not null and not u.has_push_consent then 'no_push_consent'
               when live_since is not null and phone.platform is null then 'no_address'
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
