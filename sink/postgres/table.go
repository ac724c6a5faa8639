package postgres

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// DB is what a [Table] needs of pgx. [*pgxpool.Pool], [*pgx.Conn] and [pgx.Tx]
// have it; only the pool may be used concurrently, as a connector does.
//
// [*pgxpool.Pool]: https://pkg.go.dev/github.com/jackc/pgx/v5/pgxpool#Pool
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Config configures a [Table]. The zero Config works.
type Config struct {
	// Key is the name of the column that holds entity.Key.ID. It must be
	// unique. Default "id".
	Key string
}

func (c Config) withDefaults() Config {
	if c.Key == "" {
		c.Key = "id"
	}
	return c
}

func (c Config) validate() error {
	if err := checkName(c.Key); err != nil {
		return fmt.Errorf("Key: %w", err)
	}
	return nil
}

// Table is a [sink.Target] and a [sink.Observer]: the rows of a table, one for
// each entity.
type Table[T any] struct {
	db    DB
	shape shape
	known atomic.Pointer[statements] // nil until the catalog was read
}

// New returns the Table with the given name, "people" or "hr.people". What
// stands before the first dot is the schema; both parts may hold any
// character. T is a struct, the package comment says how its fields become
// columns. Nothing is asked of the database yet, see [Table.Check].
func New[T any](db DB, table string, cfg Config) (*Table[T], error) {
	if db == nil {
		return nil, errors.New("postgres: db: must not be nil")
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	quoted, err := quoteTable(table)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	key, columns, err := columnsOf(reflect.TypeFor[T](), cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return &Table[T]{db: db, shape: shape{name: table, table: quoted, key: key, columns: columns}}, nil
}

// Get reads the row of key.
func (t *Table[T]) Get(ctx context.Context, key entity.Key) (sink.Found[T], bool, error) {
	var have sink.Found[T]
	st, err := t.statements(ctx)
	if err != nil {
		return have, false, err
	}
	found, err := t.read(ctx, t.db, st.get, []any{key.ID}, nil, &have.Value)
	return have, found, t.failed(ctx, key, err, nil)
}

// Observe reads the row of key, and has the server compare it with want. The
// fields have the names of their columns.
func (t *Table[T]) Observe(ctx context.Context, key entity.Key, want T) (sink.Found[T], bool, []sink.Field, error) {
	var have sink.Found[T]
	st, err := t.statements(ctx)
	if err != nil {
		return have, false, nil, err
	}
	wanted := reflect.ValueOf(want)
	differs := make([]bool, len(t.shape.columns))
	found, err := t.read(ctx, t.db, st.observe, args(key.ID, t.shape.columns, wanted), differs, &have.Value)
	if err != nil || !found {
		return have, false, nil, t.failed(ctx, key, err, t.shape.columns)
	}
	var fields []sink.Field
	had := reflect.ValueOf(have.Value)
	for i, c := range t.shape.columns {
		if differs[i] {
			fields = append(fields, sink.Field{
				Name: c.name, Old: had.FieldByIndex(c.path).Interface(), New: wanted.FieldByIndex(c.path).Interface(),
			})
		}
	}
	return have, true, fields, nil
}

// Create inserts the row of key. Columns that T does not name get their
// defaults.
func (t *Table[T]) Create(ctx context.Context, key entity.Key, want T) error {
	st, err := t.statements(ctx)
	if err != nil {
		return err
	}
	tag, err := t.db.Exec(ctx, st.create, args(key.ID, t.shape.columns, reflect.ValueOf(want))...)
	if err == nil && tag.RowsAffected() == 0 {
		err = sink.ErrExists
	}
	return t.failed(ctx, key, err, t.shape.columns)
}

// Update writes the columns that fields names, if they are as have says.
func (t *Table[T]) Update(ctx context.Context, key entity.Key, have sink.Found[T], want T, fields []sink.Field) error {
	if len(fields) == 0 {
		return nil
	}
	st, err := t.statements(ctx)
	if err != nil {
		return err
	}
	changed, err := t.shape.named(fields)
	if err != nil {
		return err
	}
	values := args(key.ID, changed, reflect.ValueOf(want))
	olds := args(key.ID, changed, reflect.ValueOf(have.Value))
	tag, err := t.db.Exec(ctx, st.update(t.shape, changed, true), append(values, olds[1:]...)...)
	if err == nil && tag.RowsAffected() == 0 {
		err = t.updateLocked(ctx, st, key, have.Value, changed, values)
	}
	return t.failed(ctx, key, err, append(changed, changed...))
}

// updateLocked decides why an update met no row: none is there, somebody
// changed it, or it is as it was, but for what a T cannot hold exactly (numeric
// 0.1 in a float64, a null in a string). Only in the last case it writes.
func (t *Table[T]) updateLocked(ctx context.Context, st *statements, key entity.Key, have T, changed []column, values []any) error {
	tx, err := t.db.Begin(ctx)
	if err != nil {
		return err
	}
	// After a commit it does nothing. Without one nothing was written, and a
	// connection that cannot even roll back is closed by the pool.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var now T
	found, err := t.read(ctx, tx, st.lock, []any{key.ID}, nil, &now)
	switch {
	case err != nil:
		return err
	case !found:
		return sink.ErrNotFound
	case !same(reflect.ValueOf(have), reflect.ValueOf(now), changed):
		return sink.ErrConflict
	}
	tag, err := tx.Exec(ctx, st.update(t.shape, changed, false), values...)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return sink.ErrNotFound // a trigger or a policy hides it from updates
	}
	return tx.Commit(ctx)
}

// Delete deletes the row of key.
func (t *Table[T]) Delete(ctx context.Context, key entity.Key, _ sink.Found[T]) error {
	st, err := t.statements(ctx)
	if err != nil {
		return err
	}
	tag, err := t.db.Exec(ctx, st.remove, key.ID)
	if err == nil && tag.RowsAffected() == 0 {
		err = sink.ErrNotFound
	}
	return t.failed(ctx, key, err, nil)
}

// querier is the part of DB that a transaction has too.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// read runs a query for at most one row of the table's columns into row, after
// as many booleans as differs has.
func (t *Table[T]) read(ctx context.Context, db querier, sql string, args []any, differs []bool, row *T) (bool, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return false, rows.Err()
	}
	dests := make([]any, 0, len(differs)+len(t.shape.columns)+1)
	for i := range differs {
		dests = append(dests, &differs[i])
	}
	dests, fill := t.shape.dests(dests, reflect.ValueOf(row).Elem())
	if err := rows.Scan(dests...); err != nil {
		return false, err
	}
	fill()
	if rows.Next() {
		return false, errNotUnique
	}
	return true, rows.Err()
}

// statements returns the table's statements. They need the types of its
// columns, so that the first call asks the catalog. Callers that come at once
// all ask, which does no harm.
func (t *Table[T]) statements(ctx context.Context) (*statements, error) {
	if st := t.known.Load(); st != nil {
		return st, nil
	}
	types, err := t.shape.types(ctx, t.db)
	if err != nil {
		return nil, t.classified(err, nil)
	}
	st, err := t.shape.statements(types)
	if err != nil {
		return nil, failure.As(failure.Unavailable, err)
	}
	t.known.Store(st)
	return st, nil
}
