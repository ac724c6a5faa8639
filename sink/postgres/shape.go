package postgres

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/konnektor-go/konnektor/sink"
)

// shape is what a Table knows without its database.
type shape struct {
	name    string   // as the user wrote it
	table   string   // quoted
	key     column   // its path is nil if T has no field for it
	columns []column // without the key
}

// column is a column and the field of T that holds its value.
type column struct {
	name  string
	field string // name of the field
	path  []int  // index of the field, as reflect has it
	typ   reflect.Type
}

// quoted returns the column's name for SQL.
func (c column) quoted() string { return pgx.Identifier{c.name}.Sanitize() }

// asText reports whether the column is read as text: a string holds a value of
// any type as PostgreSQL prints it.
func (c column) asText() bool {
	return c.typ.Kind() == reflect.String || c.typ.Kind() == reflect.Pointer && c.typ.Elem().Kind() == reflect.String
}

// maxName is the length of PostgreSQL's names. It cuts longer ones, so that
// another table or column could be meant.
const maxName = 63

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("must not be empty")
	case strings.ContainsRune(name, 0):
		return errors.New("must not hold a zero byte")
	case len(name) > maxName:
		return fmt.Errorf("%d bytes, PostgreSQL's names have at most %d", len(name), maxName)
	}
	return nil
}

func quoteTable(table string) (string, error) {
	parts := strings.SplitN(table, ".", 2)
	for _, p := range parts {
		if err := checkName(p); err != nil {
			return "", fmt.Errorf("table: name or schema: %w; write \"table\" or \"schema.table\"", err)
		}
	}
	return pgx.Identifier(parts).Sanitize(), nil
}

// columnsOf returns the columns of struct type t, and apart from them the one
// with the name key.
func columnsOf(t reflect.Type, key string) (column, []column, error) {
	if t.Kind() != reflect.Struct {
		return column{}, nil, fmt.Errorf("T: must be a struct, is %v", t)
	}
	all, err := fieldsOf(t, nil)
	if err != nil {
		return column{}, nil, err
	}
	keyColumn := column{name: key}
	var columns []column
	seen := map[string]string{}
	for _, c := range all {
		if other, ok := seen[c.name]; ok {
			return column{}, nil, fmt.Errorf("T: fields %s and %s are both column %q; give one another db tag", other, c.field, c.name)
		}
		seen[c.name] = c.field
		if c.name == key {
			keyColumn = c
		} else {
			columns = append(columns, c)
		}
	}
	return keyColumn, columns, nil
}

func fieldsOf(t reflect.Type, path []int) ([]column, error) {
	var columns []column
	for f := range t.Fields() {
		at := append(slices.Clone(path), f.Index...)
		tag, tagged := f.Tag.Lookup("db")
		tag, _, _ = strings.Cut(tag, ",")
		switch {
		case tag == "-":
			continue
		case f.Anonymous && f.Type.Kind() == reflect.Struct && !tagged:
			embedded, err := fieldsOf(f.Type, at)
			if err != nil {
				return nil, err
			}
			columns = append(columns, embedded...)
			continue
		case !f.IsExported():
			continue
		case !tagged:
			tag = strings.ToLower(f.Name)
		}
		if err := checkName(tag); err != nil {
			return nil, fmt.Errorf("T: db tag of field %s: %w", f.Name, err)
		}
		columns = append(columns, column{name: tag, field: f.Name, path: at, typ: f.Type})
	}
	return columns, nil
}

// args returns the key and the values of columns of row.
func args(id string, columns []column, row reflect.Value) []any {
	args := make([]any, 1, 1+2*len(columns)) // an update adds the old values
	args[0] = id
	for _, c := range columns {
		args = append(args, row.FieldByIndex(c.path).Interface())
	}
	return args
}

// named returns the columns that fields names, by the column's or by the
// field's name.
func (s shape) named(fields []sink.Field) ([]column, error) {
	changed := make([]column, 0, len(fields))
	for _, f := range fields {
		i := slices.IndexFunc(s.columns, func(c column) bool { return c.name == f.Name })
		if i < 0 {
			i = slices.IndexFunc(s.columns, func(c column) bool { return c.field == f.Name })
		}
		if i < 0 {
			return nil, fmt.Errorf("postgres: table %s: fields: T has no column or field %q to update; correct Diff", s.name, f.Name)
		}
		changed = append(changed, s.columns[i])
	}
	return changed, nil
}

// dests appends destinations for the table's columns to dests, and returns a
// function that moves what was scanned to row. A null becomes the zero value
// of a field that cannot be nil: the row must be readable to be put right.
func (s shape) dests(dests []any, row reflect.Value) ([]any, func()) {
	type pending struct{ field, pointer reflect.Value }
	var moves []pending
	for _, c := range s.read() {
		field := row.FieldByIndex(c.path)
		switch field.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
			dests = append(dests, field.Addr().Interface())
		default:
			pointer := reflect.New(reflect.PointerTo(field.Type()))
			moves = append(moves, pending{field: field, pointer: pointer.Elem()})
			dests = append(dests, pointer.Interface())
		}
	}
	return dests, func() {
		for _, m := range moves {
			if !m.pointer.IsNil() {
				m.field.Set(m.pointer.Elem())
			}
		}
	}
}

// read returns the columns that are read, the key among them if T has it.
func (s shape) read() []column {
	if s.key.path == nil {
		return s.columns
	}
	return append(slices.Clone(s.columns), s.key)
}

// same reports whether two rows are equal in some columns, as far as T can
// tell.
func same(a, b reflect.Value, columns []column) bool {
	for _, c := range columns {
		x, y := a.FieldByIndex(c.path).Interface(), b.FieldByIndex(c.path).Interface()
		if len(sink.Diff(map[string]any{"": x}, map[string]any{"": y})) > 0 {
			return false
		}
	}
	return true
}
