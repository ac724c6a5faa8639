package sqlstore

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// Every statement of the reconcile loop finds its rows by an index, and sorts
// nothing. sqlCounts alone reads all of an index.
func TestPlans(t *testing.T) {
	s := newStore(t, filepath.Join(t.TempDir(), "work.db"))
	for _, query := range prepared {
		rows, err := s.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		require.NoError(t, err)
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			plan = append(plan, detail)
		}
		require.NoError(t, rows.Err())
		text := strings.Join(plan, "\n")
		for _, detail := range plan {
			switch {
			case strings.Contains(query, "FROM level") && detail == "SCAN level",
				strings.Contains(query, "AS wanted") && detail == "SCAN wanted",
				query == sqlCounts && strings.Contains(detail, "USING COVERING INDEX"):
			default:
				require.NotContains(t, detail, "SCAN konnektor", "%s\n%s", query, text)
			}
			require.NotContains(t, detail, "TEMP B-TREE", "%s\n%s", query, text)
		}
		switch query {
		case sqlReady:
			require.Contains(t, text, "USING COVERING INDEX konnektor_work_ready (flow=? AND priority=? AND <expr><?)")
		case sqlNextReady, sqlLevels:
			require.Contains(t, text, "USING COVERING INDEX konnektor_work_ready (flow=?", query)
		}
	}
}

// Ending the context during a call neither stops it half-way nor costs the
// connection, and with it the file.
func TestContextEndsDuringCall(t *testing.T) {
	s := newStore(t, filepath.Join(t.TempDir(), "work.db"))
	before := s.ready
	marks := make([]work.Mark, 200)
	for i := range marks {
		marks[i] = work.Mark{Flow: "f", Key: entity.Key{ID: strconv.Itoa(i)}}
	}
	stored := 0
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(cancel)
		_, err := s.Mark(ctx, marks)
		if err == nil {
			stored++
		} else {
			require.ErrorIs(t, err, context.Canceled)
		}
		wg.Wait()
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := s.transact(ctx, "test", func(ss session) error {
		cancel()
		_, err := ss.stmt(sqlMarkNow).ExecContext(ss.ctx, "f", "", "x", 1, 0, "", "", nil, "")
		return err
	})
	require.NoError(t, err, "what has begun goes on")
	require.Same(t, before, s.ready)
	seqs, err := s.Mark(t.Context(), marks[:1])
	require.NoError(t, err)
	require.EqualValues(t, stored+1, seqs[0])
	leases, err := s.Lease(t.Context(), "f", "me", 1, time.Hour)
	require.NoError(t, err)
	require.Equal(t, "x", leases[0].Key.ID)
}
