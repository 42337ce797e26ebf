-- How fast an account of the push service may be sent to, by all dispatchers together. One row an account (FCM: the project), which each
-- of them changes for a moment before a batch; nobody holds it while sending.
-- migrate:up
create table send_rates (
    account text primary key,
    rate_per_s float8 not null, -- grows by steps while it is used, is halved when the service says that it is too much
    free_at timestamptz not null, -- until then every permit has been given away
    leased_at timestamptz not null,
    paused_until timestamptz not null,
    halved_at timestamptz not null
) with (fillfactor = 50); -- room for new versions of the row in its own page

-- Kinds of phones that the service cannot reach for us (iOS, when the project's APNs key is no good): their pushes wait.
create table platform_stops (
    account text not null,
    platform text not null, -- as in devices
    until timestamptz not null, -- then one batch tries again
    primary key (account, platform)
);
