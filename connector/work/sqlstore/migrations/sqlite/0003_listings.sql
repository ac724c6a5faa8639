ALTER TABLE konnektor_work ADD COLUMN applied INTEGER;
ALTER TABLE konnektor_work ADD COLUMN fingerprint BLOB;
ALTER TABLE konnektor_work ADD COLUMN failure_group TEXT NOT NULL DEFAULT '';
ALTER TABLE konnektor_work ADD COLUMN cause_trace TEXT NOT NULL DEFAULT '';
ALTER TABLE konnektor_work ADD COLUMN cause_hops INTEGER NOT NULL DEFAULT 0;

UPDATE konnektor_work SET applied = finished WHERE last_result = 'done';

-- For PruneIdle.
CREATE INDEX konnektor_work_gone ON konnektor_work (finished)
    WHERE present = 0 AND parked = 0 AND coalesce(lease_until, due) IS NULL;

-- For Stats and ParkedGroups, for List, and for PruneParked. Parked rows are
-- few; other rows cost these indexes nothing.
DROP INDEX konnektor_work_parked;
CREATE INDEX konnektor_work_parked ON konnektor_work (flow, failure_group, last_failure) WHERE parked = 1;
CREATE INDEX konnektor_work_parked_key ON konnektor_work (flow, type, id) WHERE parked = 1;
CREATE INDEX konnektor_work_parked_age ON konnektor_work (last_failure) WHERE parked = 1 AND due IS NULL;

-- The flow of the row, so that a flow's times are in order, for Upcoming.
CREATE TABLE konnektor_later_2 (
    rid  INTEGER NOT NULL REFERENCES konnektor_work ON DELETE CASCADE,
    at   INTEGER NOT NULL,
    flow TEXT NOT NULL,
    PRIMARY KEY (rid, at)
) STRICT, WITHOUT ROWID;

INSERT INTO konnektor_later_2 (rid, at, flow)
SELECT l.rid, l.at, w.flow FROM konnektor_later AS l JOIN konnektor_work AS w ON w.rid = l.rid;

DROP TABLE konnektor_later;

ALTER TABLE konnektor_later_2 RENAME TO konnektor_later;

CREATE INDEX konnektor_later_at ON konnektor_later (flow, at);
