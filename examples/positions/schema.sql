-- The target. The connector writes the columns that Account names and leaves the
-- others alone.
CREATE TABLE accounts (
    id    text PRIMARY KEY,
    name  text NOT NULL,
    title text
);
