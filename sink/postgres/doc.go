// Package postgres is a target in PostgreSQL: each entity is a row of a table,
// and rows of other tables that belong to it. [New] makes a [Table], which
// [sink.Ensure] makes a sink of.
//
// T, the row as the connector wants it, is a struct. Each exported field is a
// column, with the name of its db tag or else its own in lower case; the tag "-"
// leaves a field out; the fields of embedded structs count as T's own. A
// pointer is null when it is nil, and so are nil slices and maps. A
// [sink.Optional] is null, set, or not named at all. A string holds any type as
// PostgreSQL prints it; for the other types, pgx says what fits.
//
// The key is a column with a unique index that holds entity.Key.ID, or several
// that hold parts of the key, see Config.Keys. It can be the table's natural
// key; a surrogate key that the table makes by itself needs no field then. T
// need not have a field for the key; one that it has is filled by reads and
// ignored by writes. The ID is converted to the column's type, so that IDs which
// convert to the same value ("7" and "007" for a bigint) are the same row.
//
// A field that Config.Children names is a slice of structs: the rows of another
// table that refer to the entity's. They have no children of their own.
//
// What it promises:
//   - Columns that T does not name, or that are left alone, stay as they are;
//     a new row gets their defaults. That goes for rows of children too.
//   - An update writes only the columns that differ, and only if they are still
//     as they were read: else it is a conflict. A delete holds for all columns
//     of T.
//   - With a version column, every write counts it up, and a row whose version
//     is not the one that was read is neither updated nor deleted.
//   - The server compares, with what the column would hold of the wanted value:
//     a time without its nanoseconds, a numeric(9,2) with its two decimals, a
//     jsonb in its own order. So what was written is found equal.
//   - A null where T holds none (a string, an int) differs from everything that
//     T can hold. It is read as the zero value and put right.
//   - Rows of children are a set: of those that are there and those that are
//     wanted, matched by the server by their key, it deletes, updates and
//     inserts what differs. In a Change they are one field.
//   - An entity and its children are written together or not at all, by one
//     writer at a time: the row is locked first, and conflicts if the children
//     are not as they were read.
//   - A delete deletes the children first, whether the tables cascade or not.
//   - Two wanted rows with the same key, or one without, are refused before
//     anything is written.
//   - Names and values never become SQL: names are quoted, whatever characters
//     they hold, and values are sent apart.
//   - One round trip finds that nothing differs, children or not, and one more
//     writes; with children it is three, for the transaction. Only the first
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
//	child rows with the same key, without, or too many   none                   Rejected
//	the ID is none of the key column's type              22                     Rejected
//	a field that pgx cannot send as the column's type    none                   Rejected
//	a value that must be unique, a foreign key           23505, 23503           Failed
//	deadlock, serialization: a conflict for Ensure       40                     Failed
//	a lock that somebody else holds for too long         55P03                  Failed
//	a key with several rows: sink.ErrAmbiguous           none                   Failed
//	a column that holds what its field cannot            none                   Failed
//	anything else, such as a trigger's refusal           P0, 0A and others      Failed
//
// A trigger that changes what is written, so that it never reads as wanted,
// makes every Apply an update.
package postgres
