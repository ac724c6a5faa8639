//go:build integration

package sqlstore

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/internal/server"
)

func leaseOne(t *testing.T, p *Postgres) work.Lease {
	t.Helper()
	leases, err := p.Lease(t.Context(), work.LeaseRequest{Flow: "f", N: 1, TTL: time.Hour})
	require.NoError(t, err)
	require.Len(t, leases, 1)
	return leases[0]
}

// finishOne stores an outcome, which must be accepted.
func finishOne(t *testing.T, p *Postgres, o work.Outcome) {
	t.Helper()
	errs, err := p.Finish(t.Context(), []work.Outcome{o})
	require.NoError(t, err)
	require.Equal(t, []error{nil}, errs)
}

// Marks that come during a run are not written, and cost the row nothing but
// its outcome.
func TestPostgresMarksDuringRun(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	p, other := newTestPostgres(t, address), newTestPostgres(t, address)
	_, err := p.Mark(t.Context(), []work.Mark{markOf("1")})
	require.NoError(t, err)
	l := leaseOne(t, p)
	for i := range 5 {
		seqs, err := p.Mark(t.Context(), []work.Mark{markOf("1")})
		require.NoError(t, err)
		require.Equal(t, []int64{int64(i + 2)}, seqs)
	}
	require.EqualValues(t, 1, rowOf(t, other, "1").Dirty, "nothing was written")
	finishOne(t, p, work.Outcome{Lease: l, Result: work.GaveUp})
	row := rowOf(t, other, "1")
	require.Equal(t, work.Due, row.State)
	require.EqualValues(t, 6, row.Dirty)
	require.Zero(t, row.Attempts)
	require.Empty(t, p.held.rows)
}

// The number of a mark during a run leaves out what others have marked meanwhile.
// The row counts all.
func TestPostgresMarksOfOthersDuringRun(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	p, other := newTestPostgres(t, address), newTestPostgres(t, address)
	mark := func(by *Postgres) int64 {
		seqs, err := by.Mark(t.Context(), []work.Mark{markOf("1")})
		require.NoError(t, err)
		return seqs[0]
	}
	require.EqualValues(t, 1, mark(p))
	l := leaseOne(t, p)
	require.EqualValues(t, 2, mark(other))
	require.EqualValues(t, 2, mark(p), "it has not heard of the other's")
	finishOne(t, p, work.Outcome{Lease: l, Result: work.Done})
	row := rowOf(t, other, "1")
	require.Equal(t, work.Due, row.State)
	require.EqualValues(t, 3, row.Dirty)
	require.EqualValues(t, 1, row.Done)
}

// A mark that comes while the outcome is on its way is not taken for one of the
// run.
func TestPostgresMarkWhileFinishing(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	p, db := newTestPostgres(t, address), openPostgres(t, address)
	_, err := p.Mark(t.Context(), []work.Mark{markOf("1")})
	require.NoError(t, err)
	l := leaseOne(t, p)
	_, release := lockRow(t, db, "1")
	finished := make(chan error, 1)
	go func() { // ends with the call, which is waited for below
		_, err := p.Finish(t.Context(), []work.Outcome{{Lease: l, Result: work.Done}})
		finished <- err
	}()
	waitUntilBlocked(t, db)
	wait := inBackground(t, p, markOf("1"))
	require.Eventually(t, func() bool { return lines(t, db, "SELECT count(*)::text"+blocked) == "2" }, soon, 5*time.Millisecond)
	release()
	require.NoError(t, <-finished)
	require.NoError(t, wait())
	row := rowOf(t, p, "1")
	require.Equal(t, work.Due, row.State)
	require.EqualValues(t, 2, row.Dirty)
}

// Marks that were stored with an outcome whose answer was lost cost one more
// run at most, and are not lost if it was not stored.
func TestPostgresAnswerLostWithMarks(t *testing.T) {
	proxy := newLossy(t, server.SharedPostgreSQL(t).NewDatabase(t))
	p := newTestPostgres(t, proxy.url)
	mark := func(id string) {
		_, err := p.Mark(t.Context(), []work.Mark{markOf(id)})
		require.NoError(t, err)
	}
	for _, stored := range []bool{false, true} {
		mark("1")
		outcomes := []work.Outcome{{Lease: leaseOne(t, p), Result: work.Done}}
		mark("1")
		if stored {
			_, err := p.Finish(t.Context(), []work.Outcome{{Lease: work.Lease{Flow: "f", Token: "forged"}}}) // prepares the statement
			require.NoError(t, err)
		} else {
			outcomes[0].Marks = []work.Mark{markOf("2")} // a transaction, which is not begun
		}
		proxy.lose.Store(true)
		_, err := p.Finish(t.Context(), outcomes)
		require.Error(t, err)
		outcomes[0].Marks = nil
		finishOne(t, p, outcomes[0])
		require.Equal(t, work.Due, rowOf(t, p, "1").State)
		finishOne(t, p, work.Outcome{Lease: leaseOne(t, p), Result: work.Done})
		require.NoError(t, p.settle(t.Context()))
		if row := rowOf(t, p, "1"); row.State != work.Idle {
			finishOne(t, p, work.Outcome{Lease: leaseOne(t, p), Result: work.Done})
		}
		require.Equal(t, work.Idle, rowOf(t, p, "1").State)
		require.Empty(t, p.held.rows)
	}
}

// A row that is kept is given back after an eighth of its lease, not before, and
// also if others were kept for longer and have been given since. With it go those
// that soon would have to; then none are kept for a while.
func TestPostgresKeepsRowsForAWhile(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	found := findFailure(t, address, 0, func(check *require.Assertions, _ *chance, db *sql.DB) {
		p, err := newPostgres(rapidContext, db, PostgresConfig{}, processClock)
		check.NoError(err)
		mark := func(id string) {
			_, err := p.Mark(rapidContext, []work.Mark{markOf(id)})
			check.NoError(err)
		}
		lease := func(by *Postgres, n, ahead int) (ids string) {
			leases, err := by.Lease(rapidContext, work.LeaseRequest{Flow: "f", N: n, TTL: 8 * time.Minute, Ahead: ahead})
			check.NoError(err)
			for _, l := range leases {
				ids += l.Key.ID
			}
			return ids
		}
		mark("1")
		check.Empty(lease(p, 0, 9))
		time.Sleep(20 * time.Second)
		mark("2")
		check.Equal("1", lease(p, 1, 9))
		time.Sleep(20 * time.Second)
		mark("3")
		check.Empty(lease(p, 0, 9))
		time.Sleep(39 * time.Second)
		check.Empty(lease(p, 0, 9))
		check.Empty(lease(p.another(), 9, 0), "none was kept for a minute")
		time.Sleep(time.Second)
		check.Empty(lease(p, 0, 9))
		mark("4")
		check.Equal("234", lease(p.another(), 9, 0))
	})
	require.Empty(t, found)
}
