package sqlstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"slices"
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

const (
	sqlReady = `SELECT rid, ` + ready + ` FROM konnektor_work
WHERE flow = $1 AND priority = $2 AND ` + ready + ` <= $3 ORDER BY ` + ready + `, rid LIMIT $4`

	sqlNextReady = `SELECT ` + ready + ` FROM konnektor_work
WHERE flow = $1 AND priority = $2 AND ` + ready + ` IS NOT NULL ORDER BY ` + ready + ` LIMIT 1`

	sqlTake = `UPDATE konnektor_work SET
	due = NULL, token = $2, lease_owner = $3, lease_until = $4, leased = dirty, renewed = 0,
	attempts = CASE parked WHEN 1 THEN 0 ELSE attempts END,
	deferrals = CASE parked WHEN 1 THEN 0 ELSE deferrals END,
	first_failure = CASE parked WHEN 1 THEN NULL ELSE first_failure END,
	last_failure = CASE parked WHEN 1 THEN NULL ELSE last_failure END,
	failure_group = CASE parked WHEN 1 THEN '' ELSE failure_group END,
	parked = 0
WHERE rid = $1
RETURNING type, id, dirty, done, attempts, deferrals, first_failure, priority,
	cause_kind, cause_event_id, cause_time, cause_routing_key, cause_trace, cause_hops`

	sqlConsumeLater = `DELETE FROM konnektor_later WHERE rid = $1 AND at <= $2`

	sqlRenew = `UPDATE konnektor_work SET lease_until = $5 WHERE flow = $1 AND type = $2 AND id = $3 AND token = $4`
)

// Lease implements [work.Store].
func (s *SQLite) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	var leases []work.Lease
	err := s.transact(ctx, "lease", func(ss session) error {
		now := time.Now()
		due, err := ss.ready(req, now)
		if err != nil || len(due) == 0 {
			return err
		}
		leases = make([]work.Lease, len(due))
		until := time.UnixMilli(now.Add(req.TTL).UnixMilli()).UTC()
		take, consume := ss.stmt(sqlTake), ss.stmt(sqlConsumeLater)
		for i, r := range due {
			l := &leases[i]
			l.Flow, l.Token, l.Until, l.Due = req.Flow, rand.Text(), until, time.Time(r.since)
			err := take.QueryRowContext(ss.ctx, r.rid, l.Token, req.Owner, stamp(until)).Scan(
				&l.Key.Type, &l.Key.ID, &l.Dirty, &l.Done, &l.Attempts, &l.Deferrals, (*stamp)(&l.FirstFailure), &l.Priority,
				&l.Cause.Kind, &l.Cause.EventID, (*stamp)(&l.Cause.Time), &l.Cause.RoutingKey, &l.Cause.Trace, &l.Cause.Hops)
			if err != nil {
				return err
			}
			if _, err := consume.ExecContext(ss.ctx, r.rid, stamp(now)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return leases, nil
}

// readyRow is a row that can be leased since a time.
type readyRow struct {
	rid   int64
	since stamp
}

// ready returns the rows that a request is to be given. By age it looks at the
// oldest of each priority.
func (ss session) ready(req work.LeaseRequest, now time.Time) (due []readyRow, _ error) {
	if req.N <= 0 {
		return nil, nil
	}
	levels, err := ss.numbers(sqlLevels, req.Flow)
	if err != nil {
		return nil, err
	}
	for _, p := range levels {
		limit := req.N
		if req.Order != work.ByAge {
			limit -= len(due)
		}
		more, err := collect(ss, func(rows *sql.Rows, r *readyRow) error { return rows.Scan(&r.rid, &r.since) },
			sqlReady, req.Flow, p, stamp(now.Add(-max(0, req.Waited))), limit)
		if err != nil {
			return nil, err
		}
		due = append(due, more...)
		if req.Order != work.ByAge && len(due) == req.N {
			return due, nil
		}
	}
	if req.Order == work.ByAge {
		slices.SortStableFunc(due, func(a, b readyRow) int { return cmp.Compare(a.since.millis(), b.since.millis()) })
	}
	return due[:min(req.N, len(due))], nil
}

// collect returns the rows of a query.
func collect[T any](ss session, scan func(*sql.Rows, *T) error, query string, args ...any) (all []T, _ error) {
	rows, err := ss.stmt(query).QueryContext(ss.ctx, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what matters
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// numbers returns the only column of a query.
func (ss session) numbers(query string, args ...any) ([]int64, error) {
	return collect(ss, func(rows *sql.Rows, n *int64) error { return rows.Scan(n) }, query, args...)
}

// Renew implements [work.Store].
func (s *SQLite) Renew(ctx context.Context, leases []work.Lease, ttl time.Duration) ([]error, error) {
	errs := make([]error, len(leases))
	err := s.transact(ctx, "renew", func(ss session) error {
		renew, until := ss.stmt(sqlRenew), stamp(time.Now().Add(ttl))
		for i, l := range leases {
			var err error
			if errs[i], err = held(renew.ExecContext(ss.ctx, l.Flow, l.Key.Type, l.Key.ID, l.Token, until)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return errs, nil
}

// held reads from the result of an update by token whether the lease was still
// the row's.
func held(result sql.Result, err error) (lost, _ error) {
	if err != nil {
		return nil, err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		lost = work.ErrLeaseLost
	}
	return lost, err
}

// NextDue implements [work.Store].
func (s *SQLite) NextDue(ctx context.Context, flow string) (time.Time, error) {
	var next time.Time
	err := s.transact(ctx, "next due", func(ss session) error {
		levels, err := ss.numbers(sqlLevels, flow)
		if err != nil {
			return err
		}
		for _, p := range levels {
			var t stamp
			err := ss.stmt(sqlNextReady).QueryRowContext(ss.ctx, flow, p).Scan(&t)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if t := time.Time(t); err == nil && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
		return nil
	})
	return next, err
}
