//go:build integration

package server_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

func TestPostgreSQLKeepsItsDataOverOutages(t *testing.T) {
	pg := server.PostgreSQL(t)
	url := pg.NewDatabase(t)
	for _, outage := range []struct {
		name string
		end  func() error
	}{{"stopped in order", pg.Stop}, {"killed", pg.Kill}} {
		t.Run(outage.name, func(t *testing.T) {
			conn, err := pgx.Connect(t.Context(), url)
			require.NoError(t, err)
			_, err = conn.Exec(t.Context(), "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 7 AS n")
			require.NoError(t, err)

			require.NoError(t, outage.end())
			_, err = conn.Exec(t.Context(), "SELECT 1")
			require.Error(t, err, "the connection is closed")
			_, err = pgx.Connect(t.Context(), url)
			require.Error(t, err, "the server is down")

			require.NoError(t, pg.Start())
			conn, err = pgx.Connect(t.Context(), url)
			require.NoError(t, err)
			var n int
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT n FROM kept").Scan(&n))
			require.Equal(t, 7, n)
			require.NoError(t, conn.Close(t.Context()))
		})
	}
}

func TestSharedPostgreSQLHasDatabasesOfOnesOwn(t *testing.T) {
	first := server.SharedPostgreSQL(t)
	require.Same(t, first, server.SharedPostgreSQL(t))
	var url string
	t.Run("a test with a database", func(t *testing.T) {
		url = server.SharedPostgreSQL(t).NewDatabase(t)
		require.NotEqual(t, url, server.SharedPostgreSQL(t).NewDatabase(t))
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "CREATE TABLE left_behind (id int)")
		require.NoError(t, err) // the connection stays open: it is dropped all the same
	})
	_, err := pgx.Connect(t.Context(), url)
	require.ErrorContains(t, err, "does not exist")
}

func TestPostgreSQLLeavesNothingBehind(t *testing.T) {
	dir, err := os.MkdirTemp("", "leaves-nothing-") // the user postgres must get in
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Setenv("TMPDIR", dir)
	var url string
	t.Run("a test with a server", func(t *testing.T) { url = server.PostgreSQL(t).URL() })
	_, err = pgx.Connect(t.Context(), url)
	require.Error(t, err)
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
