package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// typeNames are a column's type as casts need it.
type typeNames struct {
	// plain is without length or precision: a value is converted, never cut.
	// Of a domain it is the base type.
	plain string
	// rounded is with the precision of numbers and times, so that a value
	// becomes what the column would hold of it.
	rounded string
}

// The types whose precision rounds what is stored. Lengths are not among them:
// to store what is too long is an error, but a cast would cut it.
const catalogSQL = `
WITH RECURSIVE columns AS (
	SELECT attname AS name, atttypid AS type, atttypmod AS modifier
	FROM pg_catalog.pg_attribute
	WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
	UNION ALL
	SELECT c.name, t.typbasetype, t.typtypmod
	FROM columns c JOIN pg_catalog.pg_type t ON t.oid = c.type WHERE t.typtype = 'd'
)
SELECT c.name::text, format_type(c.type, -1), format_type(c.type, CASE
	WHEN ltrim(t.typname::text, '_') IN ('numeric', 'timestamp', 'timestamptz', 'time', 'timetz', 'interval')
	THEN c.modifier ELSE -1 END)
FROM columns c JOIN pg_catalog.pg_type t ON t.oid = c.type WHERE t.typtype <> 'd'`

// types returns the types of the table's columns by their names.
func (s shape) types(ctx context.Context, db DB) (map[string]typeNames, error) {
	rows, err := db.Query(ctx, catalogSQL, s.table)
	if err != nil {
		return nil, err
	}
	types := map[string]typeNames{}
	var name string
	var names typeNames
	_, err = pgx.ForEachRow(rows, []any{&name, &names.plain, &names.rounded}, func() error {
		types[name] = names
		return nil
	})
	return types, err
}

// statements are a table's statements. The first argument of each is the key,
// then come the values of all columns.
type statements struct {
	types  map[string]typeNames
	match  string // the condition that finds the row
	get    string
	lock   string // get, and keep others from writing until the transaction ends
	sample string // get of any row
	// observe has a boolean for each column before what get has: is it
	// different from the value that was given? They are compared as text, which
	// is exact, nulls included, and works for types without equality too (json,
	// xml, point).
	observe string
	create  string
	remove  string
	// cast only casts the key.
	cast string
}

// statements builds the statements, or says what the table lacks.
func (s shape) statements(types map[string]typeNames) (*statements, error) {
	if len(types) == 0 {
		return nil, fmt.Errorf("postgres: table: there is no %s that the user can see; create it, or correct the name", s.name)
	}
	for _, c := range append([]column{s.key}, s.columns...) {
		if _, ok := types[c.name]; ok {
			continue
		}
		if c.name == s.key.name {
			return nil, fmt.Errorf("postgres: Key: table %s has no column %q; add it, or name another", s.name, c.name)
		}
		return nil, fmt.Errorf("postgres: T: table %s has no column %q; add it, or correct the db tag of field %s", s.name, c.name, c.field)
	}
	cast := "($1::text)::" + types[s.key.name].plain
	st := &statements{types: types, match: " WHERE " + s.key.quoted() + " = " + cast, cast: "SELECT " + cast}

	var read, differ []string
	names, values := []string{s.key.quoted()}, []string{cast}
	for i, c := range s.columns {
		names = append(names, c.quoted())
		values = append(values, param(i+2, types[c.name].plain))
		differ = append(differ, c.quoted()+"::text IS DISTINCT FROM ("+param(i+2, types[c.name].rounded)+")::text")
	}
	for _, c := range s.read() {
		if c.asText() {
			read = append(read, c.quoted()+"::text")
		} else {
			read = append(read, c.quoted())
		}
	}
	from := " FROM " + s.table
	st.sample = "SELECT " + strings.Join(read, ", ") + from + " LIMIT 1"
	st.get = "SELECT " + strings.Join(read, ", ") + from + st.match
	st.lock = st.get + " FOR UPDATE"
	st.observe = "SELECT " + strings.Join(append(differ, read...), ", ") + from + st.match
	st.create = "INSERT INTO " + s.table + " (" + strings.Join(names, ", ") + ") VALUES (" +
		strings.Join(values, ", ") + ") ON CONFLICT (" + s.key.quoted() + ") DO NOTHING"
	st.remove = "DELETE" + from + st.match
	return st, nil
}

// update builds the statement that sets the changed columns to the arguments
// after the key. If guarded, the old values follow them, and a row that has
// others is not met.
func (st *statements) update(s shape, changed []column, guarded bool) string {
	var set, guard strings.Builder
	for n, c := range changed {
		if n > 0 {
			set.WriteString(", ")
		}
		set.WriteString(c.quoted() + " = " + param(n+2, st.types[c.name].plain))
		old := "$" + strconv.Itoa(n+2+len(changed)) + "::text" // as it was read
		if !c.asText() {
			old = "(" + param(n+2+len(changed), st.types[c.name].rounded) + ")::text"
		}
		guard.WriteString(" AND " + c.quoted() + "::text IS NOT DISTINCT FROM " + old)
	}
	sql := "UPDATE " + s.table + " SET " + set.String() + st.match
	if guarded {
		sql += guard.String()
	}
	return sql
}

func param(n int, typ string) string { return "$" + strconv.Itoa(n) + "::" + typ }
