-- No query is planned by what packed bytes and JSON of the logs hold, and to sample and sort it is most of what ANALYZE costs there.
-- Of partitions that are made later service/store/partitions_by_day.py says the same: they do not inherit it.
-- migrate:up
do $$
declare
    told text;
begin
    for told in
        select format('alter table only %s %s', a.attrelid::regclass,
                      string_agg(format('alter column %I set statistics 0', a.attname), ', ' order by a.attnum))
          from pg_attribute a
         where a.atttypid in ('bytea'::regtype, 'jsonb'::regtype) and a.attnum > 0 and not a.attisdropped
           and a.attrelid in (
               select 'user_state'::regclass::oid
               union all select 'event_log'::regclass
               union all select t.relid from unnest(array['events', 'decisions', 'exposures']) as n(name)
                                             cross join pg_partition_tree(n.name::regclass) t)
         group by a.attrelid
    loop
        execute told;
    end loop;
end
$$;
