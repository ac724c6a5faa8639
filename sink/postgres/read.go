package postgres

import (
	"context"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

// querier is the part of DB that a transaction has too.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// reading is a row as it was read.
type reading[T any] struct {
	value    T
	found    bool
	differs  []bool // for each column
	state    state
	children []childReading
}

// state is the Ref of a row: what writes are guarded by that T does not hold.
type state struct {
	version  *string
	children [][]string // the rows of each child as text, sorted
}

// ref returns what Found.Ref is to be.
func (r *reading[T]) ref() any {
	if r.state.version == nil && r.state.children == nil {
		return nil
	}
	return r.state
}

// childReading is the rows of one child as they were read.
type childReading struct {
	rows    reflect.Value
	texts   []string
	differs bool
	bad     int
}

// Get reads the row of key.
func (t *Table[T]) Get(ctx context.Context, key entity.Key) (sink.Found[T], bool, error) {
	st, err := t.statements(ctx)
	if err != nil {
		return sink.Found[T]{}, false, err
	}
	have, err := t.get(ctx, t.db, st, key, st.get)
	if err != nil || !have.found {
		return sink.Found[T]{}, false, t.failed(ctx, key, err)
	}
	return sink.Found[T]{Value: have.value, Ref: have.ref()}, true, nil
}

// get reads the row of key and its children. sql is get or lock.
func (t *Table[T]) get(ctx context.Context, db querier, st *statements, key entity.Key, sql string) (*reading[T], error) {
	all := []statement{t.keyed(key, sql)}
	for _, c := range st.children {
		all = append(all, statement{sql: c.get(), args: all[0].args, columns: all[0].columns, table: c.name})
	}
	have := &reading[T]{}
	return have, t.read(ctx, db, all, have)
}

// Observe reads the row of key, and has the server compare it with want. The
// fields have the names of their columns, and those of children come last.
func (t *Table[T]) Observe(ctx context.Context, key entity.Key, want T) (sink.Found[T], bool, []sink.Field, error) {
	st, err := t.statements(ctx)
	if err != nil {
		return sink.Found[T]{}, false, nil, err
	}
	wanted := reflect.ValueOf(want)
	have := &reading[T]{differs: make([]bool, len(t.shape.columns))}
	all, err := t.observing(st, key, wanted)
	if err == nil {
		err = t.read(ctx, t.db, all, have)
	}
	if err == nil {
		err = t.badRows(have)
	}
	if err != nil || !have.found {
		return sink.Found[T]{}, false, nil, t.failed(ctx, key, err)
	}
	return sink.Found[T]{Value: have.value, Ref: have.ref()}, true, t.fields(have, wanted), nil
}

// observing returns the statements that compare.
func (t *Table[T]) observing(st *statements, key entity.Key, want reflect.Value) ([]statement, error) {
	row := t.keyed(key, st.observe)
	for _, c := range t.shape.columns {
		row.add(c, c.value(want))
	}
	all := []statement{row}
	for _, c := range st.children {
		rows, err := c.sent(c.observe, t.shape.values(key), c.wanted(want), len(c.columns))
		if err != nil {
			return nil, err
		}
		all = append(all, rows)
	}
	return all, nil
}

// badRows returns an error if the rows that are wanted of a child cannot all be
// there.
func (t *Table[T]) badRows(have *reading[T]) error {
	for i, c := range have.children {
		if c.bad != 0 {
			return &childError{child: t.shape.children[i], bad: c.bad}
		}
	}
	return nil
}

func (t *Table[T]) fields(have *reading[T], want reflect.Value) []sink.Field {
	var fields []sink.Field
	had := reflect.ValueOf(have.value)
	add := func(c column, differs bool) {
		if differs && !c.left(want) {
			fields = append(fields, sink.Field{
				Name: c.name, Old: had.FieldByIndex(c.path).Interface(), New: want.FieldByIndex(c.path).Interface(),
			})
		}
	}
	for i, c := range t.shape.columns {
		add(c, have.differs[i])
	}
	for i, c := range t.shape.children {
		add(c.rows, have.children[i].differs)
	}
	return fields
}

// keyed returns a statement with the key as its arguments.
func (t *Table[T]) keyed(key entity.Key, sql string) statement {
	values := t.shape.values(key)
	return statement{sql: sql, args: values, columns: make([]column, len(values)), table: t.shape.name}
}

// read runs the query of the row, and those of its children, in one round trip.
func (t *Table[T]) read(ctx context.Context, db querier, all []statement, have *reading[T]) error {
	if len(all) == 1 {
		return t.readRow(ctx, db, all[0], have)
	}
	results := db.SendBatch(ctx, batchOf(all))
	err := t.readBatch(results, all, have)
	if closed := results.Close(); err == nil {
		err = closed
	}
	return err
}

func (t *Table[T]) readRow(ctx context.Context, db querier, st statement, have *reading[T]) error {
	rows, err := db.Query(ctx, st.sql, st.args...)
	if err == nil {
		err = t.scan(rows, have)
	}
	return inStatement(err, st)
}

func batchOf(all []statement) *pgx.Batch {
	b := &pgx.Batch{}
	for _, st := range all {
		b.Queue(st.sql, st.args...)
	}
	return b
}

func (t *Table[T]) readBatch(results pgx.BatchResults, all []statement, have *reading[T]) error {
	rows, err := results.Query()
	if err == nil {
		err = t.scan(rows, have)
	}
	if err != nil {
		return inBatch(err, all, 0)
	}
	row := reflect.ValueOf(&have.value).Elem()
	for i, c := range t.shape.children {
		var child childReading
		rows, err := results.Query()
		if err == nil {
			child, err = c.scan(rows)
		}
		if err != nil {
			return inBatch(err, all, i+1)
		}
		have.children = append(have.children, child)
		have.state.children = append(have.state.children, child.texts)
		if err := c.fill(row, child.rows); err != nil {
			return err
		}
	}
	return nil
}

// scan reads at most one row.
func (t *Table[T]) scan(rows pgx.Rows, have *reading[T]) error {
	defer rows.Close()
	if !rows.Next() {
		return rows.Err()
	}
	dests := make([]any, 0, len(have.differs)+len(t.shape.columns)+len(t.shape.keys)+1)
	for i := range have.differs {
		dests = append(dests, &have.differs[i])
	}
	dests, fill := destsOf(t.shape.read(), dests, reflect.ValueOf(&have.value).Elem())
	if t.shape.version != "" {
		dests = append(dests, &have.state.version)
	}
	if err := rows.Scan(dests...); err != nil {
		return err
	}
	if err := fill(); err != nil {
		return err
	}
	if rows.Next() {
		return errNotUnique
	}
	have.found = true
	return rows.Err()
}

// scan reads the rows of a child, and what is said of the wanted ones.
func (c child) scan(rows pgx.Rows) (childReading, error) {
	defer rows.Close()
	have := childReading{rows: reflect.Zero(c.rows.typ), texts: []string{}}
	for rows.Next() {
		var (
			n, bad         int
			there, differs bool
			text           string
		)
		row := reflect.New(c.elem).Elem()
		dests, fill := destsOf(c.columns, []any{&n, &bad, &there, &differs, &text}, row)
		if err := rows.Scan(dests...); err != nil {
			return have, err
		}
		if err := fill(); err != nil {
			return have, err
		}
		have.bad = max(have.bad, bad)
		have.differs = have.differs || n == 0 || !there || differs
		if there {
			have.rows = reflect.Append(have.rows, row)
			have.texts = append(have.texts, text)
		}
	}
	slices.Sort(have.texts)
	return have, rows.Err()
}

// fill puts the rows of the child into its field.
func (c child) fill(row, rows reflect.Value) error {
	field := row.FieldByIndex(c.rows.path)
	if !c.rows.optional {
		field.Set(rows)
		return nil
	}
	if o, ok := reflect.TypeAssert[assigner](field.Addr()); ok {
		return o.Assign(rows.Interface())
	}
	return nil
}
