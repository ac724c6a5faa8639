package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// ready is since when a row can be leased, as the index has it.
const ready = `coalesce(lease_until, due)`

// sqlLevels lists the priorities that a flow's waiting rows have, highest first.
// There are few of them, and each step is one look into the index. Within one
// priority the index is in the order of readiness, so that neither Lease nor
// NextDue reads rows that they do not give.
const sqlLevels = `WITH RECURSIVE level (p) AS (
	SELECT (SELECT priority FROM konnektor_work
		WHERE flow = $1 AND ` + ready + ` IS NOT NULL ORDER BY priority DESC LIMIT 1)
	UNION ALL
	SELECT (SELECT priority FROM konnektor_work
		WHERE flow = $1 AND ` + ready + ` IS NOT NULL AND priority < level.p ORDER BY priority DESC LIMIT 1)
	FROM level WHERE level.p IS NOT NULL
)
SELECT p FROM level WHERE p IS NOT NULL`

// Lease implements [work.Store]. Leases are in memory alone, until all rows have
// to be in the table: they do not wait for what others store, where rows in memory
// are the next.
func (s *SQLite) Lease(ctx context.Context, req work.LeaseRequest) (leases []work.Lease, err error) {
	if leases = s.leaseInMemory(ctx, req); len(leases) > 0 {
		return leases, nil
	}
	err = s.hold(ctx, "lease", func(ss *session) (err error) {
		leases, err = ss.lease(req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return leases, nil
}

// leaseInMemory leases rows, without the connection, that nobody is about to
// change. It gives none if the file has to be asked.
func (s *SQLite) leaseInMemory(ctx context.Context, req work.LeaseRequest) []work.Lease {
	s.memory.Lock()
	defer s.memory.Unlock()
	if !s.taken || s.db.Stats().OpenConnections == 0 || ctx.Err() != nil {
		return nil
	}
	ss := s.session(ctx, nil)
	leases, err := ss.lease(req)
	if err != nil {
		return nil
	}
	ss.done()
	return leases
}

func (ss *session) lease(req work.LeaseRequest) ([]work.Lease, error) {
	now := time.Now()
	picked, err := ss.picks(req, millisOf(now.Add(-max(0, req.Waited))))
	if err != nil {
		return nil, err
	}
	leases := make([]work.Lease, len(picked))
	for i, p := range picked {
		ss.change(p.row, func() {
			leases[i] = p.row.lease(req.Owner, rand.Text(), millisOf(now), millisOf(now.Add(req.TTL)))
		})
	}
	return leases, nil
}

// collect returns the rows of a query, which others do not wait for.
func collect[T any](ss *session, scan func(*sql.Rows, *T) error, query string, args ...any) (all []T, _ error) {
	err := ss.beside(func() error {
		rows, err := ss.stmt(query).QueryContext(ss.ctx, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err says what matters
		for rows.Next() {
			var one T
			if err := scan(rows, &one); err != nil {
				return err
			}
			all = append(all, one)
		}
		return rows.Err()
	})
	return all, err
}

// numbers returns the only column of a query.
func (ss *session) numbers(query string, args ...any) ([]int64, error) {
	return collect(ss, func(rows *sql.Rows, n *int64) error { return rows.Scan(n) }, query, args...)
}

// Renew implements [work.Store].
func (s *SQLite) Renew(ctx context.Context, leases []work.Lease, ttl time.Duration) ([]error, error) {
	errs := make([]error, len(leases))
	err := s.hold(ctx, "renew", func(ss *session) error {
		ids := make([]rowID, len(leases))
		for i, l := range leases {
			ids[i] = rowID{l.Flow, l.Key}
		}
		if err := ss.load(ids); err != nil {
			return err
		}
		until := millisOf(time.Now().Add(ttl))
		for i, l := range leases {
			r := ss.held(l)
			if r == nil {
				errs[i] = work.ErrLeaseLost
				continue
			}
			ss.change(r, func() { r.until, r.changed = until, true })
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return errs, nil
}

// NextDue implements [work.Store].
func (s *SQLite) NextDue(ctx context.Context, flow string) (time.Time, error) {
	var next millis
	err := s.hold(ctx, "next due", func(ss *session) error {
		if f := ss.hot.flows[flow]; f != nil {
			for _, q := range *f {
				if q.Len() > 0 {
					next = earliest(next, q.rows[0].free())
				}
			}
		}
		queues, err := ss.coldQueues(flow)
		if err != nil {
			return err
		}
		for _, q := range queues {
			r, err := ss.first(q)
			if err != nil {
				return err
			}
			if r != nil {
				next = earliest(next, millis(r.since-zeroMillis))
			}
		}
		return nil
	})
	if err != nil || next == 0 {
		return time.Time{}, err
	}
	return next.time(), nil
}
