package postgres

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/konnektor-go/konnektor/failure"
)

// Check reports what would stop the connector from using the table: the table
// or a column is missing, the key column is not unique, the user lacks a right,
// a column cannot be written, or a field's type does not fit its column's. It
// writes nothing.
func (t *Table[T]) Check(ctx context.Context) error {
	t.known.Store(nil) // the table as it is now
	st, err := t.statements(ctx)
	if err != nil {
		return err
	}
	var row T
	if _, err := t.read(ctx, t.db, st.sample, nil, nil, &row); err != nil {
		return t.classified(err, nil)
	}
	// That row, or the zero T if the table is empty, shows whether all fields can
	// be sent. That the server may not take an empty string for, say, a date,
	// shows nothing.
	values := args("", t.shape.columns, reflect.ValueOf(row))
	values[0] = nil
	differs := make([]bool, len(t.shape.columns))
	_, err = t.read(ctx, t.db, st.observe, values, differs, &row)
	if server := (*pgconn.PgError)(nil); err != nil && !(errors.As(err, &server) && isData(server)) {
		return t.classified(err, t.shape.columns)
	}
	return t.checkWrites(ctx, st)
}

// checkWrites has the server plan the writes, which it does only for who may do
// them, without doing them.
func (t *Table[T]) checkWrites(ctx context.Context, st *statements) error {
	all := 1 + len(t.shape.columns)
	for _, p := range []struct {
		what, sql string
		args      int
	}{
		{"INSERT", st.create, all},
		{"UPDATE", st.update(t.shape, t.shape.columns, false), all},
		{"DELETE", st.remove, 1},
	} {
		if p.what == "UPDATE" && all == 1 {
			continue // there is nothing to update
		}
		rows, err := t.db.Query(ctx, "EXPLAIN "+p.sql, make([]any, p.args)...)
		if err == nil {
			_, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err == nil {
			continue
		}
		if server := (*pgconn.PgError)(nil); errors.As(err, &server) && server.Code == "42P10" {
			err = errNotUnique
		}
		err = t.classified(err, nil)
		return failure.As(failure.Of(err), fmt.Errorf("%w: the plan of %s", err, p.what))
	}
	return nil
}
