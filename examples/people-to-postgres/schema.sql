-- The target. The connector writes the columns that Row names and leaves the
-- others alone.
CREATE TABLE people (
    id    text PRIMARY KEY,
    name  text NOT NULL,
    email text
);
