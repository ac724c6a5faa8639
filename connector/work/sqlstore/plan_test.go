package sqlstore

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// sorts are the statements that sort: those that find rows by their time for a
// listing by key, up to [fewRows], and rows that wait for the very same time.
var sorts = map[string]string{
	sqlListFew:       "USE TEMP B-TREE FOR ORDER BY",
	sqlUpcomingDue:   "USE TEMP B-TREE FOR LAST 2 TERMS OF ORDER BY",
	sqlUpcomingLater: "USE TEMP B-TREE FOR LAST 2 TERMS OF ORDER BY",
}

// Every statement of the reconcile loop, of the listings and of the pruning
// finds its rows by an index. Stats alone reads all of an index.
func TestPlans(t *testing.T) {
	s := newStore(t, filepath.Join(t.TempDir(), "work.db"))
	for _, query := range prepared {
		text := plan(t, s, query)
		for detail := range strings.Lines(text) {
			detail = strings.TrimSpace(detail)
			switch {
			case (query == sqlCountAll || query == sqlCountReady) && strings.Contains(detail, "USING COVERING INDEX"):
			default:
				require.NotContains(t, detail, "SCAN konnektor", "%s\n%s", query, text)
			}
			if strings.Contains(detail, "TEMP B-TREE") {
				require.Equal(t, sorts[query], detail, "%s\n%s", query, text)
			}
		}
		if want := searches[query]; want != "" {
			require.Contains(t, text, want, query)
		}
	}
}

// searches are the steps that matter most.
var searches = map[string]string{
	sqlCold:          "USING COVERING INDEX konnektor_work_ready (flow=? AND priority=? AND <expr>>?)",
	sqlHotByID:       "USING INDEX sqlite_autoindex_konnektor_work_1 (flow=? AND type=? AND id=?)",
	sqlHotByRID:      "USING INTEGER PRIMARY KEY (rowid=?)",
	sqlRID:           "USING COVERING INDEX sqlite_autoindex_konnektor_work_1 (flow=? AND type=? AND id=?)",
	sqlLevels:        "USING COVERING INDEX konnektor_work_ready (flow=?",
	sqlAreFew:        "USING COVERING INDEX konnektor_work_ready (flow=?)",
	sqlListFew:       "USING INDEX konnektor_work_ready (flow=?)",
	sqlListMany:      "USING INDEX sqlite_autoindex_konnektor_work_1 (flow=? AND (type,id)>(?,?))",
	sqlListParked:    "USING INDEX konnektor_work_parked_key (flow=? AND (type,id)>(?,?))",
	sqlUpcomingDue:   "USING INDEX konnektor_work_ready (flow=? AND priority=? AND <expr>>?)",
	sqlUpcomingLater: "USING COVERING INDEX konnektor_later_at (flow=? AND at>?)",
	sqlParkedGroups:  "USING COVERING INDEX konnektor_work_parked (flow=?)",
	sqlPruneIdle:     "USING INDEX konnektor_work_gone (finished<?)",
	sqlPruneParked:   "USING INDEX konnektor_work_parked_age (last_failure<?)",
	sqlOfEntity:      "(flow=? AND type=? AND id=?)",
}

func plan(t *testing.T, s *SQLite, query string) string {
	t.Helper()
	rows, err := s.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, slices.Repeat([]any{1}, 31)...)
	require.NoError(t, err)
	defer rows.Close()
	var text strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
		text.WriteString(detail + "\n")
	}
	require.NoError(t, rows.Err())
	return text.String()
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
	err := s.transact(ctx, "test", func(ss *session) error {
		cancel()
		r := newHotRow(work.Mark{Flow: "f", Key: entity.Key{ID: "x"}})
		r.mark(work.Mark{}, 1)
		return ss.write(r)
	})
	require.NoError(t, err, "what has begun goes on")
	require.Same(t, before, s.ready)
	seqs, err := s.Mark(t.Context(), marks[:1])
	require.NoError(t, err)
	require.EqualValues(t, stored+1, seqs[0])
	leases, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: 1, TTL: time.Hour})
	require.NoError(t, err)
	require.Equal(t, "x", leases[0].Key.ID)
}

// Pages are the same whether rows of the state are sorted or looked for.
func TestListManyAndFew(t *testing.T) {
	s := newStore(t, filepath.Join(t.TempDir(), "work.db"))
	const rows = fewRows + 2
	marks := make([]work.Mark, rows)
	for i := range marks {
		marks[i] = work.Mark{Flow: "f", Key: entity.Key{ID: strconv.Itoa(100_000 + i*7%rows)}}
	}
	_, err := s.Mark(t.Context(), marks)
	require.NoError(t, err)
	check := func(state work.State, first int) {
		after := entity.Key{ID: strconv.Itoa(100_000 + first - 1)}
		page, err := s.List(t.Context(), work.Query{Flow: "f", State: state, After: after, Limit: 3})
		require.NoError(t, err)
		require.Len(t, page, 3)
		for i, row := range page {
			require.Equal(t, strconv.Itoa(100_000+first+i), row.Key.ID)
			require.Equal(t, state, row.State)
		}
	}
	check(work.Due, 5000) // many
	for i := range 2 {
		_, err := s.Forget(t.Context(), entity.Key{ID: strconv.Itoa(100_000 + i)})
		require.NoError(t, err)
	}
	check(work.Due, 5000) // few
	leases, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: 10, TTL: time.Hour})
	require.NoError(t, err)
	page, err := s.List(t.Context(), work.Query{Flow: "f", State: work.Running, Limit: 99})
	require.NoError(t, err)
	require.Len(t, page, len(leases))
}
