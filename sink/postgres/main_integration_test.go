//go:build integration

package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

func TestMain(m *testing.M) { server.Main(m) }

// counting is a pool that keeps the SQL of writes, and counts reads and the
// round trips outside of transactions. A transaction is a write.
type counting struct {
	*pgxpool.Pool
	mu     sync.Mutex
	writes []string
	reads  int
	trips  int
}

func (c *counting) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	c.mu.Lock()
	c.reads++
	c.trips++
	c.mu.Unlock()
	return c.Pool.Query(ctx, sql, args...)
}

func (c *counting) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	c.mu.Lock()
	c.writes = append(c.writes, sql)
	c.trips++
	c.mu.Unlock()
	return c.Pool.Exec(ctx, sql, args...)
}

func (c *counting) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	c.mu.Lock()
	c.reads += b.Len()
	c.trips++
	c.mu.Unlock()
	return c.Pool.SendBatch(ctx, b)
}

func (c *counting) Begin(ctx context.Context) (pgx.Tx, error) {
	c.mu.Lock()
	c.writes = append(c.writes, "BEGIN")
	c.mu.Unlock()
	return c.Pool.Begin(ctx)
}

// database returns a pool on a fresh database, in which the SQL was run.
func database(tb testing.TB, sql ...string) *counting {
	tb.Helper()
	return &counting{Pool: pool(tb, server.SharedPostgreSQL(tb).NewDatabase(tb), sql...)}
}

func pool(tb testing.TB, url string, sql ...string) *pgxpool.Pool {
	tb.Helper()
	p, err := pgxpool.New(context.Background(), url)
	require.NoError(tb, err)
	tb.Cleanup(p.Close)
	_, err = p.Exec(context.Background(), strings.Join(sql, ";"))
	require.NoError(tb, err)
	return p
}

// text returns one value as PostgreSQL prints it, "NULL" for null.
func text(tb testing.TB, db *counting, sql string, args ...any) string {
	tb.Helper()
	var s *string
	require.NoError(tb, db.QueryRow(context.Background(), sql, args...).Scan(&s))
	if s == nil {
		return "NULL"
	}
	return *s
}

func table[T any](tb testing.TB, db postgres.DB, name string, cfg postgres.Config) *postgres.Table[T] {
	tb.Helper()
	t, err := postgres.New[T](db, name, cfg)
	require.NoError(tb, err)
	return t
}

func ensured[T any](tb testing.TB, db postgres.DB, name string, cfg postgres.Config) sink.Sink[T] {
	tb.Helper()
	s, err := sink.Ensure[T](table[T](tb, db, name, cfg), sink.EnsureConfig[T]{})
	require.NoError(tb, err)
	return s
}

func id(s string) entity.Key { return entity.Key{Type: "persons", ID: s} }
