-- API workers are told also when somebody gets a name, for it says who may speak for them, and when a phone's id passes to another person.
-- migrate:up

create or replace trigger users_told after update on users for each row
    when ((old.vetoed_offer_ids, old.snoozed_offer_ids, old.snoozed_until, old.muted_until, old.opted_out_at, old.has_push_consent,
           old.has_personalization_consent, old.birth_date, old.merged_into, old.external_id)
          is distinct from
          (new.vetoed_offer_ids, new.snoozed_offer_ids, new.snoozed_until, new.muted_until, new.opted_out_at, new.has_push_consent,
           new.has_personalization_consent, new.birth_date, new.merged_into, new.external_id))
    execute function tell_of_person();

create trigger identities_told after update on identities for each row when (old.user_id <> new.user_id) execute function tell_of_person();
