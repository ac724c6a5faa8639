package postgres

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/konnektor-go/konnektor/failure"
)

// child is what a Table knows of a table with child rows.
type child struct {
	index      int    // in shape.children
	rows       column // the field of T that holds the rows
	elem       reflect.Type
	name       string // as the user wrote it
	table      string // quoted
	parent     []string
	references []string
	columns    []column // of elem, those of the key first
	keys       int      // so many of them are the key
}

// childrenOf returns the children, and those of columns that are not their
// fields.
func childrenOf(columns []column, cfg []Child) ([]child, []column, error) {
	var children []child
	for i, c := range cfg {
		at := slices.IndexFunc(columns, func(column column) bool { return column.field == c.Field })
		if at < 0 {
			return nil, nil, fmt.Errorf("Children[%d].Field: T has no field %q that is not a child already", i, c.Field)
		}
		made, err := childOf(columns[at], c)
		if err != nil {
			return nil, nil, fmt.Errorf("Children[%d].%w", i, err)
		}
		made.index = i
		children = append(children, made)
		columns = slices.Delete(slices.Clone(columns), at, at+1)
	}
	return children, columns, nil
}

func childOf(rows column, cfg Child) (child, error) {
	c := child{rows: rows, name: cfg.Table, parent: cfg.Parent, references: cfg.References}
	if c.name == "" {
		c.name = rows.name
	}
	var err error
	if c.table, err = quoteTable(c.name); err != nil {
		return c, fmt.Errorf("Table: %w", err)
	}
	if rows.typ.Kind() != reflect.Slice || rows.typ.Elem().Kind() != reflect.Struct {
		return c, fmt.Errorf("Field: %s must be a slice of structs, is %v", rows.field, rows.typ)
	}
	c.elem = rows.typ.Elem()
	if len(c.parent) != len(c.references) {
		return c, fmt.Errorf("Parent: has %d columns to refer to %d in References", len(c.parent), len(c.references))
	}
	for _, name := range slices.Concat(c.parent, c.references) {
		if err := checkName(name); err != nil {
			return c, fmt.Errorf("Parent or References: %w", err)
		}
	}
	if c.columns, err = fieldsOf(c.elem, nil); err != nil {
		return c, fmt.Errorf("Field: %s: %w", rows.field, err)
	}
	err = c.checkColumns(cfg.Key)
	return c, err
}

// checkColumns checks the columns, and puts those of the key first.
func (c *child) checkColumns(key []string) error {
	if err := distinct("Field: "+c.rows.field, c.columns); err != nil {
		return err
	}
	for _, column := range c.columns {
		switch {
		case column.optional:
			return fmt.Errorf("Field: %s: field %s is an Optional, which the rows of a child cannot have", c.rows.field, column.field)
		case slices.Contains(c.parent, column.name):
			return fmt.Errorf("Parent: %q is also field %s; leave the field out", column.name, column.field)
		}
	}
	if len(c.columns) == 0 {
		return fmt.Errorf("Field: %s: %v has no exported fields", c.rows.field, c.elem)
	}
	if len(key) == 0 {
		c.keys = len(c.columns)
		return nil
	}
	for n, name := range key {
		at := slices.IndexFunc(c.columns, named(name))
		if at < n {
			return fmt.Errorf("Key: %v has no column %q, or it is there twice", c.elem, name)
		}
		moved := c.columns[at]
		c.columns = slices.Insert(slices.Delete(c.columns, at, at+1), n, moved)
	}
	c.keys = len(key)
	return nil
}

// wanted returns the rows that the entity wants.
func (c child) wanted(row reflect.Value) reflect.Value {
	v := row.FieldByIndex(c.rows.path)
	if !c.rows.optional {
		return v
	}
	if rows := c.rows.value(row); rows != nil {
		return reflect.ValueOf(rows)
	}
	return reflect.Zero(c.rows.typ)
}

// maxArgs is the number of arguments that a statement of PostgreSQL's protocol
// can have.
const maxArgs = 65535

var errTooMany = errors.New("too many rows")

// padded returns for how many rows a statement is made that gets n: a few sizes
// only, so that the statements which connections keep are few.
func padded(n int) int {
	size := 1
	for size < n && size < 256 {
		size *= 2
	}
	return (max(n, 1) + size - 1) / size * size
}

// childSQL makes the statements of a child. In all of them p is the entity's
// row and c the child's; the key is the first arguments.
type childSQL struct {
	child
	types map[string]typeNames
	of    string // FROM or USING this
	match string // finds the entity's row
	join  string // c refers to p
	first int    // the number of the first argument after the key
}

// statements builds what makes the statements, or says what the table lacks.
func (c child) statements(s shape, st *statements, types map[string]typeNames) (childSQL, error) {
	fail := func(what, format string, args ...any) (childSQL, error) {
		return childSQL{}, failure.As(failure.Unavailable,
			fmt.Errorf("postgres: Children[%d].%s: %s", c.index, what, fmt.Sprintf(format, args...)))
	}
	if len(types) == 0 {
		return fail("Table", "there is no %s that the user can see; create it, or correct the name", c.name)
	}
	for _, name := range c.parent {
		if _, ok := types[name]; !ok {
			return fail("Parent", "table %s has no column %q; add it, or name another", c.name, name)
		}
	}
	for _, name := range c.references {
		if _, ok := st.types[name]; !ok {
			return fail("References", "table %s has no column %q; add it, or name another", s.name, name)
		}
	}
	for _, column := range c.columns {
		if _, ok := types[column.name]; !ok {
			return fail("Field", "table %s has no column %q; add it, or correct the db tag of field %s", c.name, column.name, column.field)
		}
	}
	join := make([]string, len(c.parent))
	for i := range c.parent {
		join[i] = "c." + quote(c.parent[i]) + " = p." + quote(c.references[i])
	}
	return childSQL{
		child: c, types: types, of: s.table + " AS p", match: st.match,
		join: strings.Join(join, " AND "), first: len(s.keys) + 1,
	}, nil
}

// each returns what f makes of the columns from one to another, joined.
func (c childSQL) each(from, to int, separator string, f func(i int, column string, typ typeNames) string) string {
	parts := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		parts = append(parts, f(i, c.columns[i].quoted(), c.types[c.columns[i].name]))
	}
	return strings.Join(parts, separator)
}

// wanted returns the wanted value of column i.
func wanted(i int) string { return "want.w" + strconv.Itoa(i) }

// wantedAs returns it as the column would hold it.
func wantedAs(i int, typ typeNames) string { return wanted(i) + "::" + typ.rounded }

// want returns a relation of the given number of wanted rows, in the first so
// many columns, and more. It is no WITH, whose name could be that of a table.
func (c childSQL) want(rows, columns int, more string) string {
	var sql strings.Builder
	sql.WriteString("(SELECT *" + more + " FROM (VALUES ")
	n := c.first + 1
	for row := range rows {
		if row > 0 {
			sql.WriteString(", ")
		}
		sql.WriteString("(" + strconv.Itoa(row+1))
		for _, column := range c.columns[:columns] {
			sql.WriteString(", " + param(n, c.types[column.name].plain))
			n++
		}
		sql.WriteString(")")
	}
	sql.WriteString(") AS want (n")
	for i := range columns {
		sql.WriteString(", w" + strconv.Itoa(i))
	}
	sql.WriteString(") WHERE want.n <= " + param(c.first, "int") + ") AS want")
	return sql.String()
}

// sameKey holds where a row of the child has the key of a wanted one.
func (c childSQL) sameKey() string {
	return c.each(0, c.keys, " AND ", func(i int, column string, typ typeNames) string {
		return "c." + column + " = " + wantedAs(i, typ)
	})
}

// differs holds where a row of the child is not as the wanted one.
func (c childSQL) differs(have func(i int, column string) string) string {
	if c.keys == len(c.columns) {
		return "false"
	}
	return "(" + c.each(c.keys, len(c.columns), " OR ", func(i int, column string, typ typeNames) string {
		return have(i, column) + "::text IS DISTINCT FROM " + wantedAs(i, typ) + "::text"
	}) + ")"
}

// asRead is a row of the child as one text.
func (c childSQL) asRead() string {
	return "ROW(" + c.each(0, len(c.columns), ", ", func(_ int, column string, _ typeNames) string {
		return "c." + column + "::text"
	}) + `)::text COLLATE "C"`
}

// allAsRead is an array of all rows of the child as text.
func (c childSQL) allAsRead() string {
	return "ARRAY(SELECT " + c.asRead() + " FROM " + c.table + " AS c WHERE " + c.join + " ORDER BY 1)"
}
