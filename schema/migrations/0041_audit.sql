-- Who did what when to keys, identity, offers, campaigns, policies, rules and switches: written by the tables themselves, chained, never changed.
-- migrate:up

-- An act is written with what it tells of, and gets its place in the chain when that commits: seq is the order of commits without gaps, entry
-- the JSON text of it, hash = sha256(hash before || entry). The first one follows 32 zero bytes.
create table audit_log (
    act_id bigint generated always as identity primary key,
    act jsonb, -- until the commit
    seq bigint unique,
    entry text,
    hash bytea,
    check ((seq is null) = (act is not null) and (seq is null) = (entry is null) and (seq is null) = (hash is null))
);

create function audit_guard() returns trigger language plpgsql as $$
declare
    last record;
begin
    if tg_op <> 'UPDATE' or old.seq is not null then
        raise exception 'the audit log is never changed' using errcode = 'insufficient_privilege';
    end if;
    -- Whoever commits next waits here: nothing else is locked after this.
    perform pg_advisory_xact_lock(7020100720);
    select seq, hash into last from audit_log where seq is not null order by seq desc limit 1;
    new := old;
    new.seq := coalesce(last.seq, 0) + 1;
    new.entry := (jsonb_build_object('seq', new.seq) || old.act)::text;
    new.hash := sha256(coalesce(last.hash, decode(repeat('00', 32), 'hex')) || convert_to(new.entry, 'UTF8'));
    new.act := null;
    return new;
end
$$;
create trigger audit_guard before update or delete on audit_log for each row execute function audit_guard();
create trigger audit_guard_all before truncate on audit_log for each statement execute function audit_guard();

create function audit_first() returns trigger language plpgsql as $$
begin
    if new.seq is not null then
        raise exception 'an act gets its place when it is committed' using errcode = 'insufficient_privilege';
    end if;
    return new;
end
$$;
create trigger audit_first before insert on audit_log for each row execute function audit_first();

create function audit_seal() returns trigger language plpgsql as $$
begin
    update audit_log set act = act where act_id = new.act_id; -- the guard writes what is to be written
    return null;
end
$$;
create constraint trigger audit_seal after insert on audit_log deferrable initially deferred for each row execute function audit_seal();

-- `who` is null where the row does not say it: then it is what the program has said of the transaction, or whoever is connected.
create function audit(what text, subject text, who text, detail jsonb) returns void language sql as $$
    insert into audit_log (act)
    values (jsonb_build_object(
        'at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'by', coalesce(who, nullif(current_setting('welltimed.by', true), ''), 'the database''s role ' || session_user),
        'what', what, 'subject', subject, 'detail', detail))
$$;

-- Arguments: what it is called, the column of the subject, the column of who did it or '', and columns of which a digest alone is kept.
create function audit_row() returns trigger language plpgsql as $$
declare
    is_now jsonb := case when tg_op = 'DELETE' then '{}' else to_jsonb(new) end;
    was jsonb := case when tg_op = 'INSERT' then '{}' else to_jsonb(old) end;
    whole jsonb := was || is_now;
    told jsonb := '{}';
    one record;
begin
    for one in select key, value from jsonb_each(case when tg_op = 'DELETE' then was else is_now end) loop
        if tg_op = 'UPDATE' and one.value is not distinct from was -> one.key then
            continue;
        end if;
        if one.key = any (string_to_array(tg_argv[3], ',')) then
            told := told || jsonb_build_object(
                one.key, case when one.value = 'null' then 'null'::jsonb
                              else to_jsonb('sha256 ' || encode(sha256(convert_to(one.value::text, 'UTF8')), 'hex')) end);
        else
            told := told || jsonb_build_object(one.key, one.value);
        end if;
    end loop;
    perform audit(tg_argv[0] || '.' || case tg_op when 'INSERT' then 'made' when 'UPDATE' then 'changed' else 'deleted' end,
                  whole ->> tg_argv[1], whole ->> nullif(tg_argv[2], ''), told);
    return null;
end
$$;

-- Of a key the digest of its secret's digest, by which nobody gets in.
create trigger audit after insert or update or delete on api_keys
    for each row execute function audit_row('key', 'key_id', '', 'secret_sha256');
create trigger audit after insert or delete on campaign_changes
    for each row execute function audit_row('campaign', 'external_id', 'changed_by', 'body');
create trigger audit after insert or update or delete on policies
    for each row execute function audit_row('policy', 'name', 'created_by', '');
create trigger audit after insert or update or delete on promotions
    for each row execute function audit_row('promotion', 'name', 'promoted_by', 'evaluation');
create trigger audit after insert or update or delete on snapshot_pins
    for each row execute function audit_row('snapshot_pin', 'version', 'pinned_by', '');
create trigger audit after insert or update or delete on sending_switches
    for each row execute function audit_row('sending_switch', 'version', 'set_by', '');
create trigger audit after insert or update or delete on contact_rules
    for each row execute function audit_row('contact_rules', 'version', 'set_by', '');

-- Signers by their names; the rest of them by digest.
create trigger audit after update on identity_settings
    for each row when (old is distinct from new) execute function audit_row('identity', 'mode', '', 'keys');

-- Where a webhook goes is told by its digest, since addresses carry passwords. How it fares is no act.
create trigger audit_made after insert or delete on webhooks
    for each row execute function audit_row('webhook', 'webhook_id', '', 'url,secret,old_secret');
create trigger audit_changed after update on webhooks
    for each row when ((old.url, old.secret, old.is_paused) is distinct from (new.url, new.secret, new.is_paused))
    execute function audit_row('webhook', 'webhook_id', '', 'url,secret,old_secret');

-- One act for a version of the catalogue, however many offers it changed.
create index offer_versions_from on offer_versions (from_version);
create index offer_versions_to on offer_versions (to_version) where to_version is not null;
create function audit_catalogue() returns trigger language plpgsql as $$
declare
    changed jsonb;
    removed jsonb;
begin
    select jsonb_agg(o.external_id order by v.offer_id) into changed
      from offer_versions v join offers o using (offer_id) where v.from_version = new.version;
    select jsonb_agg(o.external_id order by v.offer_id) into removed
      from offer_versions v join offers o using (offer_id)
     where v.to_version = new.version
       and not exists (select 1 from offer_versions n where n.offer_id = v.offer_id and n.from_version = new.version);
    perform audit('catalogue.changed', new.version::text, null, jsonb_strip_nulls(jsonb_build_object(
        'offers', coalesce(jsonb_array_length(changed), 0), 'first', jsonb_path_query_array(changed, '$[0 to 99]'), 'removed', removed)));
    return null;
end
$$;
create constraint trigger audit after update on catalogue_head deferrable initially deferred for each row execute function audit_catalogue();
