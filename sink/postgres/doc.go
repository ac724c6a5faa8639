// Package postgres is a target in PostgreSQL: each entity is a row of a table.
// [New] makes a [Table], which [sink.Ensure] makes a sink of.
//
// T, the row as the connector wants it, is a struct. Each exported field is a
// column, with the name of its db tag or else its own in lower case; the tag "-"
// leaves a field out; the fields of embedded structs count as T's own. A
// pointer is null when it is nil, and so are nil slices and maps. A string holds
// any type as PostgreSQL prints it; for the other types, pgx says what fits.
//
// The key is a column with a unique index that holds entity.Key.ID. T need not
// have a field for it; one that it has is filled by reads and ignored by writes.
// The ID is converted to the column's type, so that IDs which convert to the
// same value ("7" and "007" for a bigint) are the same row.
//
// What it promises:
//   - Columns that T does not name are left alone, but for a new row, where
//     they get their defaults.
//   - An update writes only the columns that differ, and only if they are still
//     as they were read: else it is a conflict.
//   - The server compares, with what the column would hold of the wanted value:
//     a time without its nanoseconds, a numeric(9,2) with its two decimals, a
//     jsonb in its own order. So what was written is found equal.
//   - A null where T holds none (a string, an int) differs from everything that
//     T can hold. It is read as the zero value and put right.
//   - Names and values never become SQL: names are quoted, whatever characters
//     they hold, and values are sent apart.
//   - One statement finds that nothing differs, one more writes. Only the first
//     call asks the catalog too, and an update that met no row looks again, in
//     a transaction.
//   - All of pgx's ways to run a statement work, for connections through a pooler.
//   - Error texts name the table, the column or constraint, and the SQLSTATE,
//     never a value. The SQLSTATE can be had by errors.As with
//     interface{ SQLState() string }.
//
// Errors are classified for package failure:
//
//	what happened                                        SQLSTATE               class
//	no connection, no answer in time, ctx ended          none, 08, 57           Unavailable
//	no login, no such database, no such table or column  28, 3D, 3F, 42         Unavailable
//	a right is missing                                   42501                  Unavailable
//	the key column has no unique index                   42P10                  Unavailable
//	the server is full, broken, or read-only             25, 53, 58, F0, XX     Unavailable
//	the table cannot be written, an unknown statement    55000, 26              Unavailable
//	a value does not fit its column or its type          22, 44, 54             Rejected
//	null where it is not allowed, a check constraint     23502, 23514           Rejected
//	the ID is none of the key column's type              22                     Rejected
//	a field that pgx cannot send as the column's type    none                   Rejected
//	a value that must be unique, a foreign key           23505, 23503           Failed
//	deadlock, serialization: a conflict for Ensure       40                     Failed
//	a lock that somebody else holds for too long         55P03                  Failed
//	a column that holds what its field cannot            none                   Failed
//	anything else, such as a trigger's refusal           P0, 0A and others      Failed
//
// A trigger that changes what is written, so that it never reads as wanted,
// makes every Apply an update.
package postgres
