package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/konnektor-go/konnektor/failure"
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

// typesOf returns the types of a table's columns by their names.
func typesOf(ctx context.Context, db DB, table string) (map[string]typeNames, error) {
	rows, err := db.Query(ctx, catalogSQL, table)
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

// statement is SQL with its arguments.
type statement struct {
	sql     string
	args    []any
	columns []column // of each argument, without a name where it is no column's
	table   string   // as the user wrote it
	meets   bool     // it is a conflict if it meets no row
}

func (s *statement) add(c column, value any) {
	s.args = append(s.args, value)
	s.columns = append(s.columns, c)
}

// statements are a table's statements. In each of them p is the row, and the
// first arguments are the key's.
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
	observe  string
	remove   string
	cast     string // only casts the key
	children []childSQL
}

// statements builds the statements but for those of the children, or says what
// the table lacks.
func (s shape) statements(types map[string]typeNames) (*statements, error) {
	if err := s.lacks(types); err != nil {
		return nil, failure.As(failure.Unavailable, err)
	}
	st := &statements{types: types}
	var match, casts, read, differ []string
	for i, k := range s.keys {
		cast := keyParam(i, types[k.name])
		casts = append(casts, cast)
		match = append(match, "p."+k.quoted()+" = "+cast)
	}
	st.match = " WHERE " + strings.Join(match, " AND ")
	st.cast = "SELECT " + strings.Join(casts, ", ")
	for i, c := range s.columns {
		differ = append(differ, c.quoted()+"::text IS DISTINCT FROM ("+param(len(s.keys)+i+1, types[c.name].rounded)+")::text")
	}
	for _, c := range s.read() {
		if c.asText() {
			read = append(read, c.quoted()+"::text")
		} else {
			read = append(read, c.quoted())
		}
	}
	if s.version != "" {
		read = append(read, quote(s.version)+"::text")
	}
	from := " FROM " + s.table + " AS p"
	st.sample = "SELECT " + strings.Join(read, ", ") + from + " LIMIT 1"
	st.get = "SELECT " + strings.Join(read, ", ") + from + st.match
	st.lock = st.get + " FOR UPDATE"
	st.observe = "SELECT " + strings.Join(append(differ, read...), ", ") + from + st.match
	st.remove = "DELETE" + from + st.match
	return st, nil
}

// lacks returns an error if the table has not what the shape needs.
func (s shape) lacks(types map[string]typeNames) error {
	if len(types) == 0 {
		return fmt.Errorf("postgres: table: there is no %s that the user can see; create it, or correct the name", s.name)
	}
	for _, k := range s.keys {
		if _, ok := types[k.name]; !ok {
			return fmt.Errorf("postgres: Key: table %s has no column %q; add it, or name another", s.name, k.name)
		}
	}
	if _, ok := types[s.version]; !ok && s.version != "" {
		return fmt.Errorf("postgres: Version: table %s has no column %q; add it, or name another", s.name, s.version)
	}
	for _, c := range s.columns {
		if _, ok := types[c.name]; !ok {
			return fmt.Errorf("postgres: T: table %s has no column %q; add it, or correct the db tag of field %s", s.name, c.name, c.field)
		}
	}
	return nil
}

// create builds the statement that inserts the row with some columns.
func (st *statements) create(s shape, columns []column) string {
	var names, values, unique []string
	for i, k := range s.keys {
		unique = append(unique, k.quoted())
		values = append(values, keyParam(i, st.types[k.name]))
	}
	names = append(names, unique...)
	for i, c := range columns {
		names = append(names, c.quoted())
		values = append(values, param(len(s.keys)+i+1, st.types[c.name].plain))
	}
	return "INSERT INTO " + s.table + " (" + strings.Join(names, ", ") + ") VALUES (" +
		strings.Join(values, ", ") + ") ON CONFLICT (" + strings.Join(unique, ", ") + ") DO NOTHING"
}

// update builds the statement that sets the changed columns to the arguments
// after the key, and counts up the version. If there is nothing to set, it only
// locks the row. What guard says comes after the values.
func (st *statements) update(s shape, changed []column, guard string) string {
	set := make([]string, 0, len(changed)+1)
	for i, c := range changed {
		set = append(set, c.quoted()+" = "+param(len(s.keys)+i+1, st.types[c.name].plain))
	}
	if s.version != "" {
		set = append(set, quote(s.version)+" = coalesce("+quote(s.version)+", 0) + 1")
	}
	if len(set) == 0 {
		return "SELECT FROM " + s.table + " AS p" + st.match + guard + " FOR UPDATE"
	}
	return "UPDATE " + s.table + " AS p SET " + strings.Join(set, ", ") + st.match + guard
}

// guard is a condition that holds as long as a row has the old values.
func (st *statements) guard(first int, columns []column) string {
	var sql strings.Builder
	for i, c := range columns {
		old := "$" + strconv.Itoa(first+i) + "::text" // as it was read
		if !c.asText() {
			old = "(" + param(first+i, st.types[c.name].rounded) + ")::text"
		}
		sql.WriteString(" AND p." + c.quoted() + "::text IS NOT DISTINCT FROM " + old)
	}
	return sql.String()
}

func param(n int, typ string) string { return "$" + strconv.Itoa(n) + "::" + typ }

func keyParam(i int, typ typeNames) string { return "($" + strconv.Itoa(i+1) + "::text)::" + typ.plain }
