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
)

func TestMain(m *testing.M) { server.Main(m) }

// TestRun runs the program as README.md says, on real servers.
func TestRun(t *testing.T) {
	database, pool := exampletest.Database(t)
	w := exampletest.Start(t, "-people", "30", "-positions", "4", "-orgunits", "0", "-changes", "150", "-every", "20ms")
	w.Usage()
	stop := w.Run("DATABASE_URL=" + database)
	w.WaitForLastChange()

	want := make(map[string]Account)
	positions := exampletest.All[Position](w, "positions")
	for id, p := range exampletest.All[Person](w, "persons") {
		title := positions[p.Position].Title
		p.Title = &title
		desired, err := toAccount(t.Context(), entity.Key{}, p)
		require.NoError(t, err)
		if a, present := desired.Value(); present {
			want[id] = a
		}
	}
	require.NotEmpty(t, want)
	require.Less(t, len(want), 30, "some have left, or are to come")
	require.Eventually(t, func() bool {
		rows, err := pool.Query(t.Context(), `SELECT id, name, title FROM accounts`)
		require.NoError(t, err)
		have := make(map[string]Account)
		var id string
		var a Account
		_, err = pgx.ForEachRow(rows, []any{&id, &a.Name, &a.Title}, func() error {
			have[id] = a
			return nil
		})
		require.NoError(t, err)
		return reflect.DeepEqual(want, have)
	}, time.Minute, 100*time.Millisecond)
	stop()
}
