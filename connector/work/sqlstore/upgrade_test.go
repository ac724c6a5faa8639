package sqlstore

import (
	"database/sql"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// oldRows are rows as versions 1 and 2 kept them: done and present, done with a
// date to come and another after that, gone, parked, parked with a date, and
// leased by a process that is dead.
const oldRows = `
INSERT INTO konnektor_work (rid, flow, type, id, dirty, done, due, priority, attempts, deferrals, first_failure,
	last_failure, parked, present, finished, last_result, summary, cause_kind, cause_event_id, cause_time,
	cause_routing_key, token, lease_owner, lease_until, leased, renewed)
VALUES
	(1, 'f', 't', 'present', 2, 2, NULL, 0, 0, 0, NULL, NULL, 0, 1, 5000, 'done', 'created', 'notification', 'e', 4000, 'k', NULL, '', NULL, 2, 0),
	(2, 'f', 't', 'dates', 1, 1, 9000000000000, 0, 0, 0, NULL, NULL, 0, 1, 6000, 'done', '', '', '', NULL, '', NULL, '', NULL, 1, 0),
	(3, 'f', 't', 'gone', 1, 1, NULL, 0, 0, 0, NULL, NULL, 0, 0, 7000, 'done', '', '', '', NULL, '', NULL, '', NULL, 1, 0),
	(4, 'f', 't', 'parked', 3, 1, NULL, -10, 5, 0, 1000, 8000, 1, 1, 8000, 'gave_up', 'bad', '', '', NULL, '', NULL, '', NULL, 3, 0),
	(7, 'g', 't', 'parked, date', 1, 0, 9000000000001, -10, 1, 0, 8500, 8500, 1, 0, 8500, 'gave_up', 'bad', '', '', NULL, '', NULL, '', NULL, 1, 0),
	(9, 'f', 't', 'leased', 4, 1, NULL, -100, 2, 1, 1000, 2000, 0, 1, 2000, 'failed', 'bad', '', '', NULL, '', 'x', 'me', 9000000000009, 4, 0);
INSERT INTO konnektor_later (rid, at) VALUES (2, 9000000000000), (2, 9000000000005), (7, 9000000000001);
INSERT INTO konnektor_meta (name, value) VALUES ('secret', x'0102');`

// oldDB returns a database as a version made it.
func oldDB(t *testing.T, version int) *sql.DB {
	t.Helper()
	db := openDB(t, filepath.Join(t.TempDir(), "work.db"))
	text := "CREATE TABLE konnektor_schema (version INTEGER NOT NULL);"
	for i, file := range []string{"0001_work.sql", "0002_rejected.sql", "0003_listings.sql"}[:version] {
		step, err := migrations.ReadFile("migrations/sqlite/" + file)
		require.NoError(t, err)
		text += string(step) + "INSERT INTO konnektor_schema VALUES (" + strconv.Itoa(i+1) + ");"
	}
	rows := oldRows
	if version == 3 { // what the step to it makes of them
		rows = strings.Replace(rows, "INTO konnektor_later (rid, at) VALUES (2, 9000000000000), (2, 9000000000005), (7, 9000000000001)",
			"INTO konnektor_later (rid, at, flow) VALUES (2, 9000000000000, 'f'), (2, 9000000000005, 'f'), (7, 9000000000001, 'g')", 1)
		rows += "UPDATE konnektor_work SET applied = finished WHERE last_result = 'done';"
	}
	_, err := db.ExecContext(t.Context(), text+rows)
	require.NoError(t, err)
	return db
}

// Tables of older versions bring their rows along.
func TestUpgrade(t *testing.T) {
	for _, version := range []int{1, 2, 3} {
		db := oldDB(t, version)
		start := time.Now()
		s, err := NewSQLite(t.Context(), db, SQLiteConfig{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		at := func(millis int64) time.Time { return time.UnixMilli(millis).UTC() }
		row := func(flow, id string) work.Row {
			r, found, err := s.Get(t.Context(), flow, entity.Key{Type: "t", ID: id})
			require.NoError(t, err)
			require.True(t, found, id)
			return r
		}
		key := func(id string) entity.Key { return entity.Key{Type: "t", ID: id} }
		require.Equal(t, work.Row{
			Flow: "f", Key: key("present"), State: work.Idle, Dirty: 2, Done: 2, Present: true, Applied: at(5000),
			Finished: at(5000), LastResult: work.Done, Summary: "created",
			Cause: work.Cause{Kind: "notification", EventID: "e", Time: at(4000), RoutingKey: "k"},
		}, row("f", "present"))
		require.Equal(t, work.Row{
			Flow: "f", Key: key("dates"), State: work.Waiting, Dirty: 1, Done: 1, Present: true, Applied: at(6000),
			Finished: at(6000), LastResult: work.Done, Due: at(9000000000000),
			Later: []time.Time{at(9000000000000), at(9000000000005)},
		}, row("f", "dates"))
		require.Equal(t, work.Row{
			Flow: "f", Key: key("parked"), State: work.Parked, Dirty: 3, Done: 1, Priority: work.Retry, Attempts: 5,
			FirstFailure: at(1000), LastFailure: at(8000), Present: true, Finished: at(8000), LastResult: work.GaveUp, Summary: "bad",
		}, row("f", "parked"))
		leased := row("f", "leased")
		require.Equal(t, work.Due, leased.State)
		require.False(t, leased.Due.Before(start.Truncate(time.Millisecond)))
		require.Equal(t, []any{int64(4), 2, 1, work.Bulk}, []any{leased.Dirty, leased.Attempts, leased.Deferrals, leased.Priority})
		require.True(t, leased.Applied.IsZero(), "its last run was not done")
		secret, err := s.Secret(t.Context())
		require.NoError(t, err)
		require.Equal(t, []byte{1, 2}, secret)

		upcoming, err := s.Upcoming(t.Context(), "f", work.Upcoming{}, 9)
		require.NoError(t, err)
		require.Equal(t, []work.Upcoming{
			{At: at(9000000000000), Key: key("dates")}, {At: at(9000000000005), Key: key("dates")},
		}, upcoming)
		upcoming, err = s.Upcoming(t.Context(), "g", work.Upcoming{}, 9)
		require.NoError(t, err)
		require.Equal(t, []work.Upcoming{{At: at(9000000000001), Key: key("parked, date")}}, upcoming)
		groups, err := s.ParkedGroups(t.Context(), "f")
		require.NoError(t, err)
		require.Equal(t, []work.ParkedGroup{{Rows: 1, Summary: "bad", First: at(8000), Last: at(8000)}}, groups)
		n, err := s.PruneIdle(t.Context(), at(7001), 9)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		n, err = s.PruneParked(t.Context(), at(9000), 9)
		require.NoError(t, err)
		require.Equal(t, 1, n, "one has a date")
		n, err = s.Forget(t.Context(), key("dates"))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		stats, err := s.Stats(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[string]map[work.State]work.Stat{
			"f": {work.Idle: {Rows: 1}, work.Due: {Rows: 1, Oldest: leased.Due}},
			"g": {work.Parked: {Rows: 1, Oldest: at(8500)}},
		}, stats)
		var orphans int
		require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM konnektor_later WHERE flow = 'f'").Scan(&orphans))
		require.Zero(t, orphans, "the dates go with the row")
	}
}
