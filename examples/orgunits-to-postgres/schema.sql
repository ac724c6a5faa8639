-- The target. A unit cannot be there before the one above it, nor go before
-- those below it.
CREATE TABLE orgunits (
    id     text PRIMARY KEY,
    name   text NOT NULL,
    parent text REFERENCES orgunits
);
CREATE INDEX ON orgunits (parent);
