//go:build integration

package main

import (
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/exampletest"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

func TestMain(m *testing.M) { server.Main(m) }

// TestRun runs the program as README.md says, on real servers. Units are
// announced before those above them, and then move.
func TestRun(t *testing.T) {
	const units, changes = "60", "150"
	database, pool := exampletest.Database(t)
	w := exampletest.Start(t, "-people", "1", "-positions", "0", "-orgunits", units, "-changes", changes, "-every", "20ms")
	w.Usage()
	stop := w.Run("DATABASE_URL=" + database)
	w.WaitForLastChange()
	want := exampletest.All[Unit](w, "orgunits")
	require.Len(t, want, 60)
	require.Eventually(t, func() bool {
		rows, err := pool.Query(t.Context(), `SELECT id, name, parent FROM orgunits`)
		require.NoError(t, err)
		have := make(map[string]Unit)
		var id string
		var u Unit
		_, err = pgx.ForEachRow(rows, []any{&id, &u.Name, &u.Parent}, func() error {
			have[id] = u
			return nil
		})
		require.NoError(t, err)
		return reflect.DeepEqual(want, have)
	}, time.Minute, 100*time.Millisecond)
	stop()

	// A unit does not go before those below it, and the error says so.
	table, err := postgres.New[Row](pool, "orgunits", postgres.Config{})
	require.NoError(t, err)
	rows, err := sink.Ensure[Row](table, sink.EnsureConfig[Row]{})
	require.NoError(t, err)
	_, err = rows.Remove(t.Context(), entity.Key{Type: "orgunits", ID: "1"})
	require.EqualError(t, err, `postgres: table orgunits: a row refers to one that is not there, or is referred to still, `+
		`constraint "orgunits_parent_fkey" (SQLSTATE 23503)`)
}
