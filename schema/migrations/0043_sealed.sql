-- Addresses are kept sealed (docs/decisions/0014), which makes them longer; the program seals what is there when it starts.
-- migrate:up
alter table email_addresses drop constraint email_addresses_address_check;
alter table email_addresses add constraint email_addresses_address_check check (length(address) between 3 and 1024);
