//go:build integration

package sqlstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
)

// skewed is the clock of a database whose time is an hour ahead of ours.
const skewed clock = "(date_trunc('milliseconds', now()) + interval '1 hour')"

// Leases are judged by the database's clock, whatever ours says; times to wait
// for are by ours.
func TestPostgresClock(t *testing.T) {
	db := openPostgres(t, server.SharedPostgreSQL(t).NewDatabase(t))
	p, err := newPostgres(t.Context(), db, PostgresConfig{}, skewed)
	require.NoError(t, err)
	near := func(want, got time.Time) {
		t.Helper()
		require.WithinDuration(t, want, got, 10*time.Minute)
	}
	ours := time.Now()
	theirs := ours.Add(time.Hour)
	dated := markOf("2")
	dated.Due = theirs.Add(2 * time.Hour)
	past := markOf("3")
	past.Due = ours.Add(30 * time.Minute) // to come by our clock
	_, err = p.Mark(t.Context(), []work.Mark{markOf("1"), dated, past})
	require.NoError(t, err)
	near(theirs, rowOf(t, p, "1").Due)
	require.Equal(t, work.Due, rowOf(t, p, "3").State)

	leases, err := p.Lease(t.Context(), work.LeaseRequest{Flow: "f", N: 9, TTL: 4 * time.Hour})
	require.NoError(t, err)
	require.Len(t, leases, 2)
	near(ours.Add(4*time.Hour), leases[0].Until)
	require.False(t, leases[0].Until.After(time.Now().Add(4*time.Hour)))
	near(theirs.Add(4*time.Hour), rowOf(t, p, "1").LeaseUntil)
	next, err := p.NextDue(t.Context(), "f")
	require.NoError(t, err)
	near(ours.Add(2*time.Hour), next)

	_, err = db.ExecContext(t.Context(), "UPDATE konnektor.work SET lease_until = now() + interval '30 minutes' WHERE id = '1'")
	require.NoError(t, err)
	again, err := p.Lease(t.Context(), work.LeaseRequest{Flow: "f", N: 9, TTL: time.Hour})
	require.NoError(t, err)
	require.Len(t, again, 1, "it has expired by the database's clock")
	require.Equal(t, entity.Key{ID: "1"}, again[0].Key)
	require.NotEqual(t, leases[0].Token, again[0].Token)

	plain, err := newPostgres(t.Context(), db, PostgresConfig{}, serverClock)
	require.NoError(t, err)
	_, err = plain.Mark(t.Context(), []work.Mark{markOf("4")})
	require.NoError(t, err)
	near(ours, rowOf(t, plain, "4").Due)
}
