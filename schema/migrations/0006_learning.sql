-- What the learner has counted, partition by partition, and the snapshots composed from it.
-- migrate:up

-- Advanced by compare-and-set on revision in the transaction that writes the sums: redelivery or a second learner counts nothing twice.
-- Whoever changes what was learned of a partition raises its revision, so that nobody writes what they remember over it.
create table learner_partitions (
    partition smallint primary key check (partition between 0 and 63),
    revision bigint not null default 0,
    last_seq bigint not null,
    population bytea not null -- packed counts of the people of this partition (bandits.population)
);
-- Doubles do not compress: external storage spares the attempt.
alter table learner_partitions alter column population set storage external;
insert into learner_partitions (partition, last_seq, population) select p, 0, ''::bytea from generate_series(0, 63) p;

-- Sums over the exposures of one cohort (the same six hours); closed cohorts are merged into cohort -1.
create table learner_sums (
    partition smallint not null,
    cohort integer not null,
    sums bytea not null,
    primary key (partition, cohort)
);
alter table learner_sums alter column sums set storage plain;

create table snapshots (
    version bigint primary key,
    published_at timestamptz not null,
    crc32 bigint not null,
    body bytea not null
);
