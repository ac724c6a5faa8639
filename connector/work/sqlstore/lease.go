package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
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
	sqlReady = `SELECT rid FROM konnektor_work
WHERE flow = $1 AND priority = $2 AND ` + ready + ` <= $3 ORDER BY ` + ready + `, rid LIMIT $4`

	sqlNextReady = `SELECT ` + ready + ` FROM konnektor_work
WHERE flow = $1 AND priority = $2 AND ` + ready + ` IS NOT NULL ORDER BY ` + ready + ` LIMIT 1`

	sqlTake = `UPDATE konnektor_work SET
	due = NULL, token = $2, lease_owner = $3, lease_until = $4, leased = dirty, renewed = 0,
	attempts = CASE parked WHEN 1 THEN 0 ELSE attempts END,
	deferrals = CASE parked WHEN 1 THEN 0 ELSE deferrals END,
	first_failure = CASE parked WHEN 1 THEN NULL ELSE first_failure END,
	last_failure = CASE parked WHEN 1 THEN NULL ELSE last_failure END,
	parked = 0
WHERE rid = $1
RETURNING type, id, dirty, attempts, deferrals, first_failure, priority,
	cause_kind, cause_event_id, cause_time, cause_routing_key`

	sqlConsumeLater = `DELETE FROM konnektor_later WHERE rid = $1 AND at <= $2`

	sqlRenew = `UPDATE konnektor_work SET lease_until = $5 WHERE flow = $1 AND type = $2 AND id = $3 AND token = $4`
)

// Lease implements [work.Store]. A negative n counts as 0.
func (s *Store) Lease(ctx context.Context, flow, owner string, n int, ttl time.Duration) ([]work.Lease, error) {
	var leases []work.Lease
	err := s.transact(ctx, "lease", func(ss session) error {
		now := time.Now()
		rids, err := ss.ready(flow, now, n)
		if err != nil || len(rids) == 0 {
			return err
		}
		leases = make([]work.Lease, len(rids))
		until := time.UnixMilli(now.Add(ttl).UnixMilli()).UTC()
		take, consume := ss.stmt(sqlTake), ss.stmt(sqlConsumeLater)
		for i, rid := range rids {
			l := &leases[i]
			l.Flow, l.Token, l.Until = flow, rand.Text(), until
			err := take.QueryRowContext(ss.ctx, rid, l.Token, owner, stamp(until)).Scan(
				&l.Key.Type, &l.Key.ID, &l.Dirty, &l.Attempts, &l.Deferrals, (*stamp)(&l.FirstFailure), &l.Priority,
				&l.Cause.Kind, &l.Cause.EventID, (*stamp)(&l.Cause.Time), &l.Cause.RoutingKey)
			if err != nil {
				return err
			}
			if _, err := consume.ExecContext(ss.ctx, rid, stamp(now)); err != nil {
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

// ready returns up to n rows of a flow that can be leased, in order.
func (ss session) ready(flow string, now time.Time, n int) ([]int64, error) {
	if n <= 0 {
		return nil, nil
	}
	levels, err := numbers(ss.stmt(sqlLevels).QueryContext(ss.ctx, flow))
	if err != nil {
		return nil, err
	}
	var rids []int64
	for _, p := range levels {
		more, err := numbers(ss.stmt(sqlReady).QueryContext(ss.ctx, flow, p, stamp(now), n-len(rids)))
		if err != nil {
			return nil, err
		}
		if rids = append(rids, more...); len(rids) == n {
			break
		}
	}
	return rids, nil
}

// numbers reads the only column of a query.
func numbers(rows *sql.Rows, err error) (all []int64, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what matters
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}

// Renew implements [work.Store].
func (s *Store) Renew(ctx context.Context, leases []work.Lease, ttl time.Duration) ([]error, error) {
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
func (s *Store) NextDue(ctx context.Context, flow string) (time.Time, error) {
	var next time.Time
	err := s.transact(ctx, "next due", func(ss session) error {
		levels, err := numbers(ss.stmt(sqlLevels).QueryContext(ss.ctx, flow))
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
