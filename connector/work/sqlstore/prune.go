package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

const (
	sqlPruneIdle = `DELETE FROM konnektor_work WHERE rid IN (
	SELECT rid FROM konnektor_work
	WHERE present = 0 AND parked = 0 AND ` + ready + ` IS NULL AND finished < $1 ORDER BY finished LIMIT $2
)`

	// A parked row that has Later times is due at the first of them.
	sqlPruneParked = `DELETE FROM konnektor_work WHERE rid IN (
	SELECT rid FROM konnektor_work WHERE parked = 1 AND due IS NULL AND last_failure < $1 ORDER BY last_failure LIMIT $2
)`

	// sqlOfEntity looks for an entity in each flow, of which there are few.
	sqlOfEntity = `WITH RECURSIVE known (flow) AS (
	SELECT (SELECT min(flow) FROM konnektor_work)
	UNION ALL
	SELECT (SELECT min(flow) FROM konnektor_work WHERE flow > known.flow) FROM known WHERE known.flow IS NOT NULL
)
SELECT w.rid, coalesce(w.lease_until > $3, 0) FROM known CROSS JOIN konnektor_work AS w
WHERE w.flow = known.flow AND w.type = $1 AND w.id = $2`

	sqlDelete = `DELETE FROM konnektor_work WHERE rid = $1`
)

// PruneIdle implements [work.Store]. It also cleans the file of what was
// forgotten before.
func (s *SQLite) PruneIdle(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := s.vacuumOnce(ctx); err != nil {
		return 0, fmt.Errorf("work store: prune idle: %w", err)
	}
	return s.prune(ctx, "prune idle", sqlPruneIdle, before, limit)
}

// PruneParked implements [work.Store].
func (s *SQLite) PruneParked(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.prune(ctx, "prune parked", sqlPruneParked, before, limit)
}

func (s *SQLite) prune(ctx context.Context, what, query string, before time.Time, limit int) (int, error) {
	return s.countChanges(ctx, what, func(ss *session) (int64, error) {
		return changes(ss.stmt(query).ExecContext(ss.ctx, stamp(before), max(limit, 0)))
	})
}

// Forget implements [work.Store].
func (s *SQLite) Forget(ctx context.Context, key entity.Key) (int, error) {
	type place struct {
		rid     int64
		running bool
	}
	return s.countChanges(ctx, "forget", func(ss *session) (int64, error) {
		places, err := collect(ss, func(rows *sql.Rows, p *place) error { return rows.Scan(&p.rid, &p.running) },
			sqlOfEntity, key.Type, key.ID, stamp(time.Now()))
		if err != nil {
			return 0, err
		}
		for _, p := range places {
			if p.running {
				return 0, work.ErrRunning
			}
		}
		for _, p := range places {
			if _, err := ss.stmt(sqlDelete).ExecContext(ss.ctx, p.rid); err != nil {
				return 0, err
			}
		}
		s.forgotten.Store(s.forgotten.Load() || len(places) > 0)
		return int64(len(places)), nil
	})
}

// vacuumOnce writes the file anew if something was forgotten since it was
// last. SQLite overwrites what it deletes, but not the copies that it left where
// it once moved rows to other pages.
func (s *SQLite) vacuumOnce(ctx context.Context) error {
	if !s.forgotten.Load() || ctx.Err() != nil {
		return nil
	}
	conn, err := s.conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back
	return s.vacuum(conn)
}

func (s *SQLite) vacuum(conn *sql.Conn) error {
	if !s.forgotten.CompareAndSwap(true, false) {
		return nil
	}
	_, err := conn.ExecContext(context.Background(), "VACUUM") // see hold for why it is not stopped
	if err != nil {
		s.forgotten.Store(true)
	}
	return err
}
