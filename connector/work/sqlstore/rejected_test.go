package sqlstore

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
)

// Tables of version 1 bring their rejected messages along.
func TestMigrateRejected(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "work.db"))
	first, err := migrations.ReadFile("migrations/sqlite/0001_work.sql")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), string(first)+`
CREATE TABLE konnektor_schema (version INTEGER NOT NULL);
INSERT INTO konnektor_schema VALUES (1);
INSERT INTO konnektor_rejected (rid, received, reason, routing_key, payload, metadata) VALUES
	(3, 1700000000000, 'first', 'a.b', x'00ff', '{"k":"v"}'),
	(9, NULL, 'second', '', NULL, 'null');`)
	require.NoError(t, err)

	s, err := NewSQLite(t.Context(), db, SQLiteConfig{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	all, err := s.ListRejected(t.Context(), "", 10)
	require.NoError(t, err)
	require.Equal(t, []work.Rejected{
		{ID: "9", Reason: "second"},
		{
			ID: "3", Received: time.UnixMilli(1700000000000).UTC(), Reason: "first", RoutingKey: "a.b",
			Payload: []byte("\x00\xff"), Size: 2, Metadata: map[string]string{"k": "v"},
		},
	}, all)
	n, err := s.DeleteRejected(t.Context(), []string{"9"})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, s.Reject(t.Context(), []work.Rejected{{Reason: "third"}}))
	all, err = s.ListRejected(t.Context(), "", 1)
	require.NoError(t, err)
	require.Equal(t, "10", all[0].ID, "no ID is given twice")
}
