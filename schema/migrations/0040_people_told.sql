-- API workers keep people's rows for decisions while the database is down, and are told when a row changes in what forbids something.
-- migrate:up

create function tell_of_person() returns trigger language plpgsql as $$
begin
    perform pg_notify('person', old.user_id::text);
    return null;
end
$$;

create trigger users_told after update on users for each row
    when ((old.vetoed_offer_ids, old.snoozed_offer_ids, old.snoozed_until, old.muted_until, old.opted_out_at, old.has_push_consent,
           old.has_personalization_consent, old.birth_date, old.merged_into)
          is distinct from
          (new.vetoed_offer_ids, new.snoozed_offer_ids, new.snoozed_until, new.muted_until, new.opted_out_at, new.has_push_consent,
           new.has_personalization_consent, new.birth_date, new.merged_into))
    execute function tell_of_person();
create trigger users_gone after delete on users for each row execute function tell_of_person();
