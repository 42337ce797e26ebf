-- One switch that stops all sending on every node. The newest row is in force; without one everything goes. Rows are never changed.
-- migrate:up
create table sending_switches (
    version bigint primary key, -- from 1
    is_stopped boolean not null,
    spares_transactional boolean not null,
    reason text not null,
    set_at timestamptz not null,
    set_by text not null
);

-- One row while sending is stopped, else none.
create view sending_stop as
    select newest.* from (select * from sending_switches order by version desc limit 1) newest where newest.is_stopped;
