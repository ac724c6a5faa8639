-- Times are cut to milliseconds. Keys compare as bytes. What may hold any bytes is
-- bytea; convert_from(summary, 'UTF8') reads it.

CREATE TABLE {schema}.meta (
    name  text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);

-- A row is written two or three times for each run. Room is left in its page, so
-- that marks of a row that is due or running, which change nothing that is
-- indexed, stay in the page and touch no index.
CREATE TABLE {schema}.work (
    flow          text COLLATE "C" NOT NULL,
    type          text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    dirty         bigint NOT NULL,
    done          bigint NOT NULL DEFAULT 0,
    due           timestamptz,
    priority      integer NOT NULL,
    attempts      integer NOT NULL DEFAULT 0,
    deferrals     integer NOT NULL DEFAULT 0,
    first_failure timestamptz,
    last_failure  timestamptz,
    failure_group bytea NOT NULL DEFAULT '',
    parked        boolean NOT NULL DEFAULT false,
    present       boolean NOT NULL DEFAULT false,
    applied       timestamptz,
    fingerprint   bytea,
    finished      timestamptz,
    last_result   text NOT NULL DEFAULT '',
    summary       bytea NOT NULL DEFAULT '',
    cause         text NOT NULL, -- JSON without the time
    cause_time    timestamptz,
    -- The lease: lease_until says whether there is one. The token of the last
    -- one stays. leased is dirty as the run saw it; renewed says that a mark for
    -- now has come since the lease was taken.
    token         text NOT NULL DEFAULT '',
    lease_owner   bytea NOT NULL DEFAULT '',
    lease_until   timestamptz,
    leased        bigint NOT NULL DEFAULT 0,
    renewed       boolean NOT NULL DEFAULT false,
    -- Since when the row can be leased.
    free          timestamptz GENERATED ALWAYS AS (coalesce(lease_until, due)) STORED,
    PRIMARY KEY (flow, type, id)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);

-- A statement names the condition of the index that it needs, so that it cannot
-- get the other one: which is better is not to be seen while there are few rows,
-- and a plan is kept for long.

-- For Lease by priority.
CREATE INDEX work_priority ON {schema}.work (flow, priority DESC, free) WHERE free < 'infinity';

-- For Lease by age, NextDue and Upcoming.
CREATE INDEX work_age ON {schema}.work (flow, free, type, id) WHERE free > '-infinity';

-- For listings of what are a few rows, mostly. Rows are leased all the time, so the
-- first is one that costs little: new ones come at its end.
CREATE INDEX work_leased ON {schema}.work (flow, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX work_parked ON {schema}.work (flow, type, id) WHERE parked;

-- For PruneIdle.
CREATE INDEX work_gone ON {schema}.work (finished) WHERE free IS NULL AND NOT parked AND NOT present;

-- The dates to come that marks asked for. Who changes them has locked the row
-- of work.
CREATE TABLE {schema}.later (
    flow text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    id   text COLLATE "C" NOT NULL,
    at   timestamptz NOT NULL,
    PRIMARY KEY (flow, type, id, at)
);

-- For Upcoming.
CREATE INDEX later_at ON {schema}.later (flow, at, type, id) WHERE at > '-infinity';

CREATE TABLE {schema}.rejected (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received    timestamptz,
    reason      bytea NOT NULL,
    topic       bytea NOT NULL,
    routing_key bytea NOT NULL,
    uuid        bytea NOT NULL,
    metadata    bytea NOT NULL, -- JSON
    payload     bytea,
    size        bigint NOT NULL
);

CREATE INDEX rejected_received ON {schema}.rejected (received);
