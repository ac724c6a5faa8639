package sqlstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// A full disk fails a call as a whole, and the store works on once there is
// room. No error tells whose row it was.
func TestDiskFull(t *testing.T) {
	s := newStore(t, filepath.Join(t.TempDir(), "work.db"))
	limit := func(pages int) {
		_, err := s.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		require.NoError(t, err)
	}
	var pages int
	require.NoError(t, s.db.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages))
	marks := make([]work.Mark, 1000)
	for i := range marks {
		marks[i] = work.Mark{Flow: "f", Key: entity.Key{ID: strings.Repeat("secret-", 30) + strconv.Itoa(i)}}
	}
	rejected := []work.Rejected{{Payload: []byte(strings.Repeat("secret-", 10_000))}}

	limit(pages + 5)
	_, err := s.Mark(t.Context(), marks)
	require.ErrorContains(t, err, "work store: mark: ")
	require.ErrorContains(t, err, "full")
	require.NotContains(t, err.Error(), "secret")
	limit(pages + 5) // of a new connection, if there is one
	err = s.Reject(t.Context(), rejected)
	require.ErrorContains(t, err, "work store: reject: ")
	require.NotContains(t, err.Error(), "secret")
	_, found, err := s.Get(t.Context(), "f", marks[0].Key)
	require.NoError(t, err)
	require.False(t, found)
	seqs, err := s.Mark(t.Context(), marks[:1])
	require.NoError(t, err, "a small one still fits")
	require.Equal(t, []int64{1}, seqs)

	limit(1_000_000)
	seqs, err = s.Mark(t.Context(), marks)
	require.NoError(t, err)
	require.EqualValues(t, 2, seqs[0])
	require.EqualValues(t, 1, seqs[999])
}

// A transaction that cannot be committed is rolled back, and the next one does
// not find it open.
func TestFailedCommit(t *testing.T) {
	s := newStore(t, filepath.Join(t.TempDir(), "work.db"))
	err := s.transact(t.Context(), "break", func(ss *session) error {
		if _, err := ss.tx.ExecContext(ss.ctx, "PRAGMA defer_foreign_keys = ON"); err != nil {
			return err
		}
		_, err := ss.stmt(sqlAddLater).ExecContext(ss.ctx, 4711, 1, "f") // there is no such row
		return err
	})
	require.ErrorContains(t, err, "work store: break: ")
	require.ErrorContains(t, err, "FOREIGN KEY")
	seqs, err := s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}})
	require.NoError(t, err)
	require.Equal(t, []int64{1}, seqs)
	leases, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: 1, TTL: time.Hour})
	require.NoError(t, err)
	require.Len(t, leases, 1)
}

const crashKeys = 50

// crashLoop marks and finishes rows and reports what was stored, for ever.
func crashLoop(s *SQLite) error {
	for i := 0; ; i++ {
		ctx := context.Background()
		marks := make([]work.Mark, 1+rand.IntN(20))
		for i := range marks {
			marks[i] = work.Mark{Flow: "f", Key: entity.Key{ID: strconv.Itoa(rand.IntN(crashKeys))}}
		}
		seqs, err := s.Mark(ctx, marks)
		if err != nil {
			return err
		}
		var report strings.Builder
		for i, m := range marks {
			fmt.Fprintf(&report, "dirty %s %d\n", m.Key.ID, seqs[i])
		}
		fmt.Print(report.String())
		leases, err := s.Lease(ctx, work.LeaseRequest{Flow: "f", Owner: "child", N: 5, TTL: time.Hour})
		if err != nil {
			return err
		}
		outcomes := make([]work.Outcome, len(leases))
		for i, l := range leases {
			outcomes[i] = work.Outcome{Lease: l, Result: work.Done}
		}
		if _, err := s.Finish(ctx, outcomes); err != nil {
			return err
		}
		report.Reset()
		for _, l := range leases {
			fmt.Fprintf(&report, "done %s %d\n", l.Key.ID, l.Dirty)
		}
		fmt.Print(report.String())
	}
}

// Whenever the process is killed, all that it was told is stored is there, but for
// numbers of rows that are due.
func TestCrash(t *testing.T) {
	file := filepath.Join(t.TempDir(), "work.db")
	reported := map[string]int64{}
	total := 0
	for range 5 {
		cmd, lines := child(t, "crash", file)
		for left := 20 + rand.IntN(300); lines.Scan(); left-- {
			if left == 0 { // it goes on meanwhile: somewhere in a call
				require.NoError(t, cmd.Process.Kill())
			}
			what, id, _ := strings.Cut(lines.Text(), " ")
			id, number, _ := strings.Cut(id, " ")
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				continue // the line that was cut by the kill
			}
			reported[what+id] = max(reported[what+id], n)
			total++
		}
		require.Error(t, cmd.Wait())
		s := newStore(t, file)
		leasable, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: crashKeys, TTL: time.Hour})
		require.NoError(t, err)
		due := map[string]bool{}
		for _, l := range leasable {
			due[l.Key.ID] = true
		}
		for i := range crashKeys {
			id := strconv.Itoa(i)
			row, _, err := s.Get(t.Context(), "f", entity.Key{ID: id})
			require.NoError(t, err)
			require.True(t, row.Dirty >= reported["dirty"+id] || due[id])
			require.GreaterOrEqual(t, row.Done, reported["done"+id])
			require.Equal(t, row.Dirty > row.Done, due[id], "what is dirty is due, leased or not")
			reported["dirty"+id] = row.Dirty
		}
		require.NoError(t, s.Close())
	}
	t.Logf("%d reports", total)
}
