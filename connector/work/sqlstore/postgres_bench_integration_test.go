//go:build integration

package sqlstore_test

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/internal/server"
)

// BenchmarkPostgres measures the store, and beside it what the server takes for
// a query of nothing and for a transaction of one row. The server does not sync
// its files. Run short:
//
//	go test -tags integration -run '^$' -bench Postgres -benchtime 0.5s
func BenchmarkPostgres(b *testing.B) {
	pg := server.SharedPostgreSQL(b)
	pool := func(b *testing.B) *sql.DB {
		db, err := sql.Open("pgx", pg.NewDatabase(b))
		require.NoError(b, err)
		db.SetMaxIdleConns(100)
		b.Cleanup(func() { require.NoError(b, db.Close()) })
		var conns []*sql.Conn
		for range 64 { // connecting is not what is measured
			conn, err := db.Conn(b.Context())
			require.NoError(b, err)
			conns = append(conns, conn)
		}
		for _, conn := range conns {
			require.NoError(b, conn.Close())
		}
		return db
	}
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("round trip/callers=%d", callers), func(b *testing.B) {
			db := pool(b)
			atOnce(b, callers, func(int) error {
				var one int
				return db.QueryRowContext(b.Context(), "SELECT 1").Scan(&one)
			})
		})
		b.Run(fmt.Sprintf("one-row transaction/callers=%d", callers), func(b *testing.B) {
			db := pool(b)
			_, err := db.ExecContext(b.Context(), "CREATE TABLE one (id int PRIMARY KEY, n int NOT NULL)")
			require.NoError(b, err)
			_, err = db.ExecContext(b.Context(), "INSERT INTO one SELECT id, 0 FROM generate_series(0, 99999) AS id")
			require.NoError(b, err)
			atOnce(b, callers, func(i int) error {
				_, err := db.ExecContext(b.Context(), "UPDATE one SET n = n + 1 WHERE id = $1", i*7919%100_000)
				return err
			})
		})
	}
	benchAll(b, func(b *testing.B) work.Store {
		s, err := sqlstore.NewPostgres(b.Context(), pool(b), sqlstore.PostgresConfig{})
		require.NoError(b, err)
		return s
	})
}
