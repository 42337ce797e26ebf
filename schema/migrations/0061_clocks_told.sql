-- API workers remember whose clock is where (service.store.known_users), and are told when that changes.
-- migrate:up
create or replace trigger users_told after update on users for each row
    when ((old.vetoed_offer_ids, old.snoozed_offer_ids, old.snoozed_until, old.muted_until, old.opted_out_at, old.has_push_consent,
           old.has_personalization_consent, old.birth_date, old.merged_into, old.external_id, old.time_zone)
          is distinct from
          (new.vetoed_offer_ids, new.snoozed_offer_ids, new.snoozed_until, new.muted_until, new.opted_out_at, new.has_push_consent,
           new.has_personalization_consent, new.birth_date, new.merged_into, new.external_id, new.time_zone))
    execute function tell_of_person();

-- The clock of somebody who told none is that of the device seen last.
create function tell_of_owners() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        perform pg_notify('person', old.user_id::text);
    end if;
    if tg_op <> 'DELETE' then
        perform pg_notify('person', new.user_id::text);
    end if;
    return null;
end
$$;

create function tell_of_traveller() returns trigger language plpgsql as $$
begin
    if exists (select from devices d where d.user_id = new.user_id and d.device_id <> new.device_id and d.time_zone <> new.time_zone) then
        perform pg_notify('person', new.user_id::text);
    end if;
    return null;
end
$$;

create trigger devices_come after insert on devices for each row when (new.time_zone is not null) execute function tell_of_owners();
create trigger devices_gone after delete on devices for each row when (old.time_zone is not null) execute function tell_of_owners();
create trigger devices_changed after update on devices for each row
    when ((old.user_id, old.time_zone) is distinct from (new.user_id, new.time_zone)) execute function tell_of_owners();
create trigger devices_seen after update on devices for each row
    when (new.time_zone = old.time_zone and new.user_id = old.user_id and new.last_seen_at <> old.last_seen_at)
    execute function tell_of_traveller();
