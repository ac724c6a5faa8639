package postgres

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DB is what a [Table] needs of pgx. [*pgxpool.Pool], [*pgx.Conn] and [pgx.Tx]
// have it; only the pool may be used concurrently, as a connector does.
//
// [*pgxpool.Pool]: https://pkg.go.dev/github.com/jackc/pgx/v5/pgxpool#Pool
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	Begin(ctx context.Context) (pgx.Tx, error)
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
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	cfg = cfg.withDefaults()
	made, err := shapeOf(reflect.TypeFor[T](), table, cfg)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return &Table[T]{db: db, shape: made}, nil
}

// statements returns the table's statements. They need the types of columns, so
// that the first call asks the catalog. Callers that come at once
// all ask, which does no harm.
func (t *Table[T]) statements(ctx context.Context) (*statements, error) {
	if st := t.known.Load(); st != nil {
		return st, nil
	}
	types, err := typesOf(ctx, t.db, t.shape.table)
	if err != nil {
		return nil, t.classified(err)
	}
	st, err := t.shape.statements(types)
	if err != nil {
		return nil, err
	}
	for _, c := range t.shape.children {
		if types, err = typesOf(ctx, t.db, c.table); err != nil {
			return nil, t.classified(err)
		}
		made, err := c.statements(t.shape, st, types)
		if err != nil {
			return nil, err
		}
		st.children = append(st.children, made)
	}
	t.known.Store(st)
	return st, nil
}
