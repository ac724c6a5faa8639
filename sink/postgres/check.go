package postgres

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
)

// Check reports what would stop the connector from using the table and its
// children: a table or a column is missing, a key is not unique, the user lacks
// a right, a column cannot be written, or a field's type does not fit its
// column's. It writes nothing.
func (t *Table[T]) Check(ctx context.Context) error {
	t.known.Store(nil) // the table as it is now
	st, err := t.statements(ctx)
	if err != nil {
		return err
	}
	have := &reading[T]{}
	if err := t.readRow(ctx, t.db, statement{sql: st.sample, table: t.shape.name}, have); err != nil {
		return t.classified(err)
	}
	// That row, or the zero T if the table is empty, shows whether all fields can
	// be sent. That the server may not take an empty string for, say, a date,
	// shows nothing.
	want := reflect.New(reflect.TypeFor[T]()).Elem()
	want.Set(reflect.ValueOf(have.value))
	for _, c := range t.shape.children {
		if err := c.fill(want, reflect.MakeSlice(c.rows.typ, 1, 1)); err != nil {
			return t.classified(err)
		}
	}
	all, err := t.observing(st, entity.Key{}, want)
	if err != nil {
		return t.classified(err)
	}
	for i := range t.shape.keys {
		for _, observe := range all {
			observe.args[i] = nil
		}
	}
	have = &reading[T]{differs: make([]bool, len(t.shape.columns))}
	err = t.read(ctx, t.db, all, have)
	if server := (*pgconn.PgError)(nil); err != nil && !(errors.As(err, &server) && isData(server)) {
		return t.classified(err)
	}
	return t.checkWrites(ctx, st)
}

// plan is a statement that Check has the server plan.
type plan struct {
	what  string
	sql   string
	args  int
	table string
	key   string // what is not unique if the server says so
}

// checkWrites has the server plan the writes, which it does only for who may do
// them, without doing them.
func (t *Table[T]) checkWrites(ctx context.Context, st *statements) error {
	for _, p := range t.plans(st) {
		rows, err := t.db.Query(ctx, "EXPLAIN "+p.sql, make([]any, p.args)...)
		if err == nil {
			_, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err == nil {
			continue
		}
		if server := (*pgconn.PgError)(nil); errors.As(err, &server) && server.Code == "42P10" {
			err = failure.As(failure.Unavailable, fmt.Errorf("postgres: %s of table %s is not unique; "+
				"add a unique index, or name another column", p.key, p.table))
		} else {
			err = t.classified(inStatement(err, statement{table: p.table}))
		}
		return failure.As(failure.Of(err), fmt.Errorf("%w: the plan of %s", err, p.what))
	}
	return nil
}

func (t *Table[T]) plans(st *statements) []plan {
	keys := len(t.shape.keys)
	all := keys + len(t.shape.columns)
	plans := []plan{{what: "INSERT", sql: st.create(t.shape, t.shape.columns), args: all, key: "Key: " + t.keyColumns()}}
	if all > keys || t.shape.version != "" {
		plans = append(plans, plan{what: "UPDATE", sql: st.update(t.shape, t.shape.columns, ""), args: all})
	}
	plans = append(plans, plan{what: "DELETE", sql: st.remove, args: keys})
	if len(st.children) > 0 {
		plans = append(plans, plan{what: "SELECT FOR UPDATE", sql: t.locking(st), args: keys})
	}
	for i := range plans {
		plans[i].table = t.shape.name
	}
	for _, c := range st.children {
		all := keys + 1 + len(c.columns)
		key := fmt.Sprintf("Children[%d].Key: with Parent, the key", c.index)
		plans = append(plans, plan{what: "INSERT", sql: c.unique(), args: all, table: c.name, key: key})
		if c.keys < len(c.columns) {
			plans = append(plans, plan{what: "UPDATE", sql: c.change(1), args: all, table: c.name})
		}
		plans = append(plans, plan{what: "DELETE", sql: c.removeAll(), args: keys, table: c.name})
	}
	return plans
}
