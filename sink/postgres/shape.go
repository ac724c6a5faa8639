package postgres

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

// shape is what a Table knows without its database.
type shape struct {
	name     string // as the user wrote it
	table    string // quoted
	keys     []keyColumn
	columns  []column // without the keys
	version  string   // "" if there is none
	children []child
}

// keyColumn is a column of the key. Its path is nil if T has no field for it.
type keyColumn struct {
	column
	value func(entity.Key) string
}

// column is a column and the field that holds its value.
type column struct {
	name     string
	field    string       // name of the field
	path     []int        // index of the field, as reflect has it
	typ      reflect.Type // of an Optional, the type of its value
	optional bool
}

// quoted returns the column's name for SQL.
func (c column) quoted() string { return quote(c.name) }

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// asText reports whether the column is read as text: a string holds a value of
// any type as PostgreSQL prints it.
func (c column) asText() bool {
	return c.typ.Kind() == reflect.String || c.typ.Kind() == reflect.Pointer && c.typ.Elem().Kind() == reflect.String
}

// optionalValue is an Optional of any type.
type optionalValue interface {
	IsZero() bool
	Any() any
}

// value returns what is sent for the column of row.
func (c column) value(row reflect.Value) any {
	v := row.FieldByIndex(c.path).Interface()
	if o, ok := v.(optionalValue); ok && c.optional {
		return o.Any()
	}
	return v
}

// left reports whether row leaves the column alone.
func (c column) left(row reflect.Value) bool {
	o, ok := reflect.TypeAssert[optionalValue](row.FieldByIndex(c.path))
	return ok && c.optional && o.IsZero()
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

// shapeOf returns the shape of the rows of type t. cfg is valid and has its
// defaults.
func shapeOf(t reflect.Type, table string, cfg Config) (shape, error) {
	s := shape{name: table, version: cfg.Version}
	var err error
	if s.table, err = quoteTable(table); err != nil {
		return s, err
	}
	if t.Kind() != reflect.Struct {
		return s, fmt.Errorf("T: must be a struct, is %v", t)
	}
	all, err := fieldsOf(t, nil)
	if err != nil {
		return s, err
	}
	if s.children, all, err = childrenOf(all, cfg.Children); err != nil {
		return s, err
	}
	if err := distinct("T", all); err != nil {
		return s, err
	}
	for _, k := range cfg.Keys {
		key := keyColumn{column: column{name: k.Name}, value: k.Value}
		if i := slices.IndexFunc(all, named(k.Name)); i >= 0 {
			key.column = all[i]
			all = slices.Delete(all, i, i+1)
		}
		if key.name == s.version || key.optional {
			return s, fmt.Errorf("Key: column %q can be neither the version nor an Optional", k.Name)
		}
		s.keys = append(s.keys, key)
	}
	if slices.ContainsFunc(all, named(s.version)) {
		return s, fmt.Errorf("Version: column %q is counted up by the table itself; leave its field out of T", s.version)
	}
	s.columns = all
	return s, nil
}

func named(name string) func(column) bool { return func(c column) bool { return c.name == name } }

// distinct returns an error if two columns have the same name.
func distinct(what string, columns []column) error {
	seen := map[string]string{}
	for _, c := range columns {
		if other, ok := seen[c.name]; ok {
			return fmt.Errorf("%s: fields %s and %s are both column %q; give one another db tag", what, other, c.field, c.name)
		}
		seen[c.name] = c.field
	}
	return nil
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
		c := column{name: tag, field: f.Name, path: at, typ: f.Type}
		if v, ok := valueOfOptional(f.Type); ok {
			c.typ, c.optional = v, true
		}
		columns = append(columns, c)
	}
	return columns, nil
}

// valueOfOptional returns the type of an Optional's value.
func valueOfOptional(t reflect.Type) (reflect.Type, bool) {
	if !t.Implements(reflect.TypeFor[optionalValue]()) || !reflect.PointerTo(t).Implements(reflect.TypeFor[assigner]()) {
		return nil, false
	}
	get, ok := t.MethodByName("Get")
	if !ok || get.Type.NumOut() == 0 {
		return nil, false
	}
	return get.Type.Out(0), true
}

// assigner is a pointer to an Optional of any type.
type assigner interface{ Assign(v any) error }

// values returns what the key's columns hold.
func (s shape) values(key entity.Key) []any {
	values := make([]any, len(s.keys), len(s.keys)+2*len(s.columns)) // an update adds the old values
	for i, k := range s.keys {
		values[i] = k.value(key)
	}
	return values
}

// find returns the columns and the children that fields names, by the column's
// or by the field's name.
func (s shape) find(fields []sink.Field) ([]column, []child, error) {
	columns := make([]column, 0, len(fields))
	var children []child
	for _, f := range fields {
		i := slices.IndexFunc(s.columns, named(f.Name))
		if i < 0 {
			i = slices.IndexFunc(s.columns, func(c column) bool { return c.field == f.Name })
		}
		if i >= 0 {
			columns = append(columns, s.columns[i])
			continue
		}
		i = slices.IndexFunc(s.children, func(c child) bool { return c.rows.name == f.Name || c.rows.field == f.Name })
		if i < 0 {
			return nil, nil, fmt.Errorf("postgres: table %s: fields: T has no column or field %q to update; correct Diff", s.name, f.Name)
		}
		children = append(children, s.children[i])
	}
	slices.SortFunc(children, func(a, b child) int { return a.index - b.index })
	return columns, children, nil
}

// read returns the columns that are read, and last those of the key that T has.
func (s shape) read() []column {
	all := slices.Clone(s.columns)
	for _, k := range s.keys {
		if k.path != nil {
			all = append(all, k.column)
		}
	}
	return all
}

// dests appends destinations for columns to dests, and returns a function that
// moves what was scanned to row. A null becomes the zero value of a field that
// cannot be nil: the row must be readable to be put right.
func destsOf(columns []column, dests []any, row reflect.Value) ([]any, func() error) {
	type pending struct {
		field, pointer reflect.Value
		optional       bool
	}
	var moves []pending
	for _, c := range columns {
		field := row.FieldByIndex(c.path)
		switch field.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
			dests = append(dests, field.Addr().Interface())
		default:
			pointer := reflect.New(reflect.PointerTo(c.typ))
			moves = append(moves, pending{field: field, pointer: pointer.Elem(), optional: c.optional})
			dests = append(dests, pointer.Interface())
		}
	}
	return dests, func() error {
		for _, m := range moves {
			if err := move(m.field, m.pointer, m.optional); err != nil {
				return err
			}
		}
		return nil
	}
}

func move(field, pointer reflect.Value, optional bool) error {
	if o, ok := reflect.TypeAssert[assigner](field.Addr()); ok && optional {
		if pointer.IsNil() {
			return o.Assign(nil)
		}
		return o.Assign(pointer.Elem().Interface())
	}
	if !pointer.IsNil() {
		field.Set(pointer.Elem())
	}
	return nil
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
