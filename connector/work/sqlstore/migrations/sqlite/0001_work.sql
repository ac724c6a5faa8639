-- Times are milliseconds since 1970 in UTC, NULL for none. Flags are 0 or 1.

CREATE TABLE konnektor_meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE konnektor_work (
    rid               INTEGER PRIMARY KEY,
    flow              TEXT NOT NULL,
    type              TEXT NOT NULL,
    id                TEXT NOT NULL,
    dirty             INTEGER NOT NULL,
    done              INTEGER NOT NULL DEFAULT 0,
    due               INTEGER,
    priority          INTEGER NOT NULL,
    attempts          INTEGER NOT NULL DEFAULT 0,
    deferrals         INTEGER NOT NULL DEFAULT 0,
    first_failure     INTEGER,
    last_failure      INTEGER,
    parked            INTEGER NOT NULL DEFAULT 0,
    present           INTEGER NOT NULL DEFAULT 0,
    finished          INTEGER,
    last_result       TEXT NOT NULL DEFAULT '',
    summary           TEXT NOT NULL DEFAULT '',
    cause_kind        TEXT NOT NULL,
    cause_event_id    TEXT NOT NULL,
    cause_time        INTEGER,
    cause_routing_key TEXT NOT NULL,
    -- The lease. leased is dirty as the run saw it; renewed says that a mark for
    -- now came during the run.
    token             TEXT,
    lease_owner       TEXT NOT NULL DEFAULT '',
    lease_until       INTEGER,
    leased            INTEGER NOT NULL DEFAULT 0,
    renewed           INTEGER NOT NULL DEFAULT 0,
    UNIQUE (flow, type, id)
) STRICT;

-- The expression is since when a row can be leased. For Lease and NextDue; the
-- last two columns are there for Counts, which then reads the index alone.
CREATE INDEX konnektor_work_ready
    ON konnektor_work (flow, priority, coalesce(lease_until, due), rid, lease_until, parked)
    WHERE coalesce(lease_until, due) IS NOT NULL;

CREATE INDEX konnektor_work_parked ON konnektor_work (flow)
    WHERE parked = 1;

CREATE TABLE konnektor_later (
    rid INTEGER NOT NULL REFERENCES konnektor_work ON DELETE CASCADE,
    at  INTEGER NOT NULL,
    PRIMARY KEY (rid, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE konnektor_rejected (
    rid         INTEGER PRIMARY KEY,
    received    INTEGER,
    reason      TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    payload     BLOB,
    metadata    TEXT NOT NULL
) STRICT;
