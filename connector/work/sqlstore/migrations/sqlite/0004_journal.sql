-- What has changed since it was last written to the rows: for each call that marks
-- or finishes, the rows as it left them. See journal.go.
CREATE TABLE konnektor_journal (
    seq    INTEGER PRIMARY KEY,
    states BLOB NOT NULL
) STRICT;
