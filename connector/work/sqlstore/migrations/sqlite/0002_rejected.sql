-- AUTOINCREMENT: no ID is given twice, so that whoever has listed a message does
-- not discard another one.
CREATE TABLE konnektor_rejected_2 (
    rid         INTEGER PRIMARY KEY AUTOINCREMENT,
    received    INTEGER,
    reason      TEXT NOT NULL,
    topic       TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    uuid        TEXT NOT NULL,
    metadata    TEXT NOT NULL,
    payload     BLOB,
    size        INTEGER NOT NULL
) STRICT;

INSERT INTO konnektor_rejected_2 (rid, received, reason, topic, routing_key, uuid, metadata, payload, size)
SELECT rid, received, reason, '', routing_key, '', metadata, payload, coalesce(length(payload), 0)
FROM konnektor_rejected ORDER BY rid;

DROP TABLE konnektor_rejected;

ALTER TABLE konnektor_rejected_2 RENAME TO konnektor_rejected;

CREATE INDEX konnektor_rejected_received ON konnektor_rejected (received);
