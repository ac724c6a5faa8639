package postgres

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

// Create inserts the row of key and its children. Columns that T does not name
// get their defaults.
func (t *Table[T]) Create(ctx context.Context, key entity.Key, want T) error {
	st, err := t.statements(ctx)
	if err != nil {
		return err
	}
	all, err := t.creating(st, key, reflect.ValueOf(want))
	if err != nil {
		return t.failed(ctx, key, err)
	}
	met, err := t.write(ctx, all)
	if err == nil && !met {
		err = sink.ErrExists
	}
	return t.failed(ctx, key, err)
}

func (t *Table[T]) creating(st *statements, key entity.Key, want reflect.Value) ([]statement, error) {
	columns := slices.DeleteFunc(slices.Clone(t.shape.columns), func(c column) bool { return c.left(want) })
	row := t.keyed(key, st.create(t.shape, columns))
	row.meets = true
	for _, c := range columns {
		row.add(c, c.value(want))
	}
	all := []statement{row}
	for _, c := range st.children {
		if rows := c.wanted(want); rows.Len() > 0 {
			insert, err := c.sent(c.insert, t.shape.values(key), rows, len(c.columns))
			if err != nil {
				return nil, err
			}
			all = append(all, insert)
		}
	}
	return all, nil
}

// Update writes what fields names, if it is as have says.
func (t *Table[T]) Update(ctx context.Context, key entity.Key, have sink.Found[T], want T, fields []sink.Field) error {
	if len(fields) == 0 {
		return nil
	}
	st, err := t.statements(ctx)
	if err != nil {
		return err
	}
	columns, children, err := t.shape.find(fields)
	if err != nil {
		return err
	}
	return t.failed(ctx, key, t.guarded(ctx, st, key, have, guarded{
		columns: columns, children: children,
		statements: func(g guard) ([]statement, error) {
			return t.updating(st, key, reflect.ValueOf(want), columns, children, g)
		},
	}))
}

func (t *Table[T]) updating(st *statements, key entity.Key, want reflect.Value, columns []column, children []child, g guard) ([]statement, error) {
	row := t.keyed(key, "")
	row.meets = true
	for _, c := range columns {
		row.add(c, c.value(want))
	}
	sql := g(&row)
	row.sql = st.update(t.shape, columns, sql)
	if len(children) == 0 {
		return []statement{row}, nil
	}
	all := []statement{t.keyed(key, t.locking(st)), row}
	values := t.shape.values(key)
	for _, child := range slices.Backward(children) {
		c := st.children[child.index]
		remove, err := c.sent(c.remove, values, c.wanted(want), c.keys)
		if err != nil {
			return nil, err
		}
		all = append(all, remove)
	}
	for _, child := range children {
		c := st.children[child.index]
		if rows := c.wanted(want); rows.Len() > 0 {
			writes, err := c.writes(values, rows)
			if err != nil {
				return nil, err
			}
			all = append(all, writes...)
		}
	}
	return all, nil
}

// locking returns a statement that waits until nobody else writes the row, so
// that those after it see what was written.
func (t *Table[T]) locking(st *statements) string {
	return "SELECT FROM " + t.shape.table + " AS p" + st.match + " FOR UPDATE"
}

// Delete deletes the row of key and its children, if they are as have says.
func (t *Table[T]) Delete(ctx context.Context, key entity.Key, have sink.Found[T]) error {
	st, err := t.statements(ctx)
	if err != nil {
		return err
	}
	return t.failed(ctx, key, t.guarded(ctx, st, key, have, guarded{
		columns: t.shape.columns, children: t.shape.children,
		statements: func(g guard) ([]statement, error) { return t.removing(st, key, g), nil },
	}))
}

func (t *Table[T]) removing(st *statements, key entity.Key, g guard) []statement {
	row := t.keyed(key, "")
	row.meets = true
	sql := g(&row)
	if len(st.children) == 0 {
		row.sql = st.remove + sql
		return []statement{row}
	}
	row.sql = "SELECT FROM " + t.shape.table + " AS p" + st.match + sql + " FOR UPDATE"
	all := []statement{t.keyed(key, t.locking(st)), row}
	for _, c := range slices.Backward(st.children) {
		rows := t.keyed(key, c.removeAll())
		rows.table = c.name
		all = append(all, rows)
	}
	last := t.keyed(key, st.remove)
	last.meets = true
	return append(all, last)
}

// guard adds the old values to the arguments of a statement, and returns the
// condition that the row still has them.
type guard func(st *statement) string

// guarded is a write of a row that must be as it was read in some columns and
// children.
type guarded struct {
	columns    []column
	children   []child
	statements func(guard) ([]statement, error)
}

// guarded writes, if the row is as it was read.
func (t *Table[T]) guarded(ctx context.Context, st *statements, key entity.Key, have sink.Found[T], w guarded) error {
	read, _ := have.Ref.(state)
	all, err := w.statements(func(row *statement) string { return t.guard(st, row, have.Value, read, w) })
	if err != nil {
		return err
	}
	met, err := t.write(ctx, all)
	if err != nil || met {
		return err
	}
	return t.writeLocked(ctx, st, key, have.Value, read, w)
}

func (t *Table[T]) guard(st *statements, row *statement, have T, read state, w guarded) string {
	var sql strings.Builder
	sql.WriteString(st.guard(len(row.args)+1, w.columns))
	had := reflect.ValueOf(have)
	for _, c := range w.columns {
		row.add(c, c.value(had))
	}
	if t.shape.version != "" {
		row.add(column{}, read.version)
		fmt.Fprintf(&sql, " AND p.%s::text IS NOT DISTINCT FROM $%d::text", quote(t.shape.version), len(row.args))
	}
	for _, c := range w.children {
		texts := []string{}
		if c.index < len(read.children) {
			texts = read.children[c.index]
		}
		row.add(column{}, texts)
		fmt.Fprintf(&sql, " AND %s = $%d::text[]", st.children[c.index].allAsRead(), len(row.args))
	}
	return sql.String()
}

// writeLocked decides why a write met no row: none is there, somebody changed
// it, or it is as it was, but for what a T cannot hold exactly (numeric 0.1 in a
// float64, a null in a string). Only in the last case it writes.
func (t *Table[T]) writeLocked(ctx context.Context, st *statements, key entity.Key, have T, read state, w guarded) error {
	return t.inTx(ctx, func(tx pgx.Tx) error {
		now, err := t.get(ctx, tx, st, key, st.lock)
		switch {
		case err != nil:
			return err
		case !now.found:
			return sink.ErrNotFound
		case !same(reflect.ValueOf(have), reflect.ValueOf(now.value), w.columns) || !read.same(now.state, w.children):
			return sink.ErrConflict
		}
		all, err := w.statements(func(*statement) string { return "" })
		if err != nil {
			return err
		}
		met, err := writeBatch(ctx, tx, all)
		if err == nil && !met {
			err = sink.ErrNotFound // a trigger or a policy hides it from writes
		}
		return err
	})
}

// same reports whether version and children are those of now.
func (s state) same(now state, children []child) bool {
	if (s.version == nil) != (now.version == nil) || s.version != nil && *s.version != *now.version {
		return false
	}
	for _, c := range children {
		if c.index >= len(s.children) || !slices.Equal(s.children[c.index], now.children[c.index]) {
			return false
		}
	}
	return true
}

// write runs statements, all or none of them. It reports whether those met a
// row that had to: if not, nothing was written.
func (t *Table[T]) write(ctx context.Context, all []statement) (met bool, err error) {
	if len(all) == 1 {
		tag, err := t.db.Exec(ctx, all[0].sql, all[0].args...)
		return tag.RowsAffected() > 0, inStatement(err, all[0])
	}
	err = t.inTx(ctx, func(tx pgx.Tx) error {
		if met, err = writeBatch(ctx, tx, all); err == nil && !met {
			err = errMissed
		}
		return err
	})
	if !met && err == errMissed { //nolint:errorlint // it is our own, and nobody wrapped it
		err = nil
	}
	return met, err
}

// writeBatch runs statements in one round trip. An error after a statement that
// met no row does not count: nothing is written then.
func writeBatch(ctx context.Context, tx pgx.Tx, all []statement) (met bool, err error) {
	results := tx.SendBatch(ctx, batchOf(all))
	defer func() {
		if closed := results.Close(); err == nil && met {
			err = closed
		}
	}()
	for i, st := range all {
		tag, err := results.Exec()
		if err != nil {
			return true, inBatch(err, all, i)
		}
		if st.meets && tag.RowsAffected() == 0 {
			return false, nil
		}
	}
	return true, nil
}

// inTx runs f in a transaction, and commits it if f returns no error.
func (t *Table[T]) inTx(ctx context.Context, f func(tx pgx.Tx) error) error {
	tx, err := t.db.Begin(ctx)
	if err != nil {
		return err
	}
	// After a commit it does nothing. Without one nothing was written, and a
	// connection that cannot even roll back is closed by the pool.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
