package sqlstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// oneByOne stands after a list of rows, with their numbers. It is true, but the planner
// takes it that one row is left, and so it looks up each of them by its key,
// whatever it believes of the tables' sizes: a plan that was made for small ones
// is kept while they grow.
const oneByOne = `WHERE num % 1 = 0`

// sqlPostgresTake takes the rows that picked has locked, where they are: nobody
// else has them nor waits for them. One that was moved just before it was locked
// is not found there, and stays for the next call. Tokens are one random text with
// numbers: the server takes long to make random ones.
const sqlPostgresTake = `, given AS MATERIALIZED (
	SELECT * FROM unnest((SELECT array_agg(place) FROM picked), (SELECT array_agg(free) FROM picked), (SELECT array_agg(level) FROM picked))
		WITH ORDINALITY AS p (place, free, level, num) ` + oneByOne + `
), taken AS (
	UPDATE {schema}.work AS w SET
		due = NULL, token = $6::text || p.num, lease_owner = $3::bytea, lease_until = {now} + $4::bigint * interval '1 millisecond',
		leased = w.dirty, renewed = false,
		priority = CASE WHEN w.priority < -10 AND EXISTS (SELECT FROM {schema}.later AS l
				WHERE l.flow = w.flow AND l.type = w.type AND l.id = w.id AND l.at <= {now})
			THEN -10 ELSE w.priority END,
		attempts = CASE WHEN w.parked THEN 0 ELSE w.attempts END,
		deferrals = CASE WHEN w.parked THEN 0 ELSE w.deferrals END,
		first_failure = CASE WHEN w.parked THEN NULL ELSE w.first_failure END,
		last_failure = CASE WHEN w.parked THEN NULL ELSE w.last_failure END,
		failure_group = CASE WHEN w.parked THEN '' ELSE w.failure_group END,
		parked = false
	FROM given AS p WHERE w.ctid = p.place
	RETURNING w.flow, w.type, w.id, w.token, w.dirty, w.done, p.free AS since, p.level, w.attempts, w.deferrals, w.first_failure,
		w.priority, w.cause_time, w.cause
), consumed AS (
	DELETE FROM {schema}.later AS l USING taken AS p
	WHERE l.flow = p.flow AND l.type = p.type AND l.id = p.id AND l.at <= {now}
)
SELECT type, id, token, dirty, done, since, attempts, deferrals, first_failure, priority, cause_time, cause, {now} FROM taken
ORDER BY `

const (
	// sqlPostgresLeaseByPriority goes through the priorities that waiting rows
	// have, highest first and not below the last argument; there are few. PostgreSQL
	// reads no more of them, and locks no more rows, than it needs.
	sqlPostgresLeaseByPriority = `WITH RECURSIVE level (p) AS (
	(SELECT priority FROM {schema}.work WHERE flow = $1 AND free < 'infinity' ORDER BY priority DESC LIMIT 1)
	UNION ALL
	SELECT (SELECT priority FROM {schema}.work
		WHERE flow = $1 AND free < 'infinity' AND priority < level.p ORDER BY priority DESC LIMIT 1)
	FROM level WHERE level.p > $7::integer
), picked AS MATERIALIZED (
	SELECT r.place, r.free, level.p AS level FROM level CROSS JOIN LATERAL (
		SELECT ctid AS place, free FROM {schema}.work
		WHERE flow = $1 AND priority = level.p AND free <= {now} - $5::bigint * interval '1 millisecond' AND free < 'infinity'
		ORDER BY free LIMIT (SELECT $2::bigint) FOR UPDATE SKIP LOCKED
	) AS r
	WHERE level.p >= $7::integer
	LIMIT (SELECT $2::bigint)
)` + sqlPostgresTake + `level DESC, since`

	sqlPostgresLeaseByAge = `WITH picked AS MATERIALIZED (
	SELECT ctid AS place, free, 0 AS level FROM {schema}.work
	WHERE flow = $1 AND free <= {now} - $5::bigint * interval '1 millisecond' AND free > '-infinity'
	ORDER BY free LIMIT (SELECT $2::bigint) FOR UPDATE SKIP LOCKED
)` + sqlPostgresTake + `since`

	sqlPostgresRenew = `WITH held AS MATERIALIZED (
	SELECT l.num, l.flow, l.type, l.id
	FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS l (flow, type, id, token, num)
	JOIN {schema}.work AS w ON w.flow = l.flow AND w.type = l.type AND w.id = l.id
	` + oneByOne + ` AND w.lease_until IS NOT NULL AND w.token = l.token
	ORDER BY l.num FOR UPDATE OF w
), renewed AS (
	UPDATE {schema}.work AS w SET lease_until = {now} + $5::bigint * interval '1 millisecond'
	FROM held AS h WHERE w.flow = h.flow AND w.type = h.type AND w.id = h.id
)
SELECT num FROM held`

	sqlPostgresNextDue = `SELECT free, {now} FROM {schema}.work WHERE flow = $1 AND free > '-infinity' ORDER BY free LIMIT 1`
)

// Lease implements [work.Store]. Until is by the local clock, and not after the
// time at which the database lets others have the row.
func (p *Postgres) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("work store: lease: %w", err)
	}
	if req.N <= 0 && req.Ahead <= 0 {
		return nil, cmp.Or(p.giveBack(ctx, p.held.leave(holderOf(req))), p.settle(ctx))
	}
	p.held.hears(req, time.Now())
	if err := cmp.Or(p.giveBack(ctx, p.held.unkeepOld(req, time.Now())), p.settle(ctx), p.leaseAhead(ctx, req)); err != nil {
		return nil, err
	}
	query := req
	if req.Order == work.ByPriority {
		query.N -= p.held.ready(req, time.Now())
	}
	more, asked, _, err := p.lease(ctx, query, math.MinInt32)
	if err != nil {
		return nil, err
	}
	p.held.given(more, asked, req.TTL)
	leases, late := p.held.give(req, more, time.Now())
	_ = p.giveBack(ctx, late) // or their leases end by themselves
	return leases, nil
}

// lease takes rows of at least a priority in the database. It returns when it asked,
// and what time it was then by the database.
func (p *Postgres) lease(ctx context.Context, req work.LeaseRequest, lowest work.Priority) (leases []work.Lease, asked, now time.Time, err error) {
	if req.N <= 0 {
		return nil, asked, now, ctx.Err()
	}
	template, args := sqlPostgresLeaseByPriority, []any{
		req.Flow, req.N, []byte(req.Owner), req.TTL.Milliseconds(), max(0, req.Waited.Milliseconds()), rand.Text() + "-", int32(lowest),
	}
	if req.Order == work.ByAge {
		template, args = sqlPostgresLeaseByAge, args[:6]
	}
	err = p.call(ctx, "lease", func(ctx context.Context, conn *sql.Conn) error {
		leases, asked = nil, time.Now()
		until := time.UnixMilli(asked.UnixMilli() + req.TTL.Milliseconds()).UTC()
		return p.each(ctx, conn, func(rows *sql.Rows) error {
			l := work.Lease{Flow: req.Flow, Until: until}
			err := rows.Scan(&l.Key.Type, &l.Key.ID, &l.Token, &l.Dirty, &l.Done, (*timestamp)(&l.Due), &l.Attempts, &l.Deferrals,
				(*timestamp)(&l.FirstFailure), &l.Priority, (*timestamp)(&l.Cause.Time), (*cause)(&l.Cause), (*timestamp)(&now))
			leases = append(leases, l)
			return err
		}, template, args...)
	})
	if err != nil {
		return nil, asked, now, err
	}
	return leases, asked, now, nil
}

// Renew implements [work.Store].
func (p *Postgres) Renew(ctx context.Context, leases []work.Lease, ttl time.Duration) ([]error, error) {
	errs := make([]error, len(leases))
	order := make([]int, len(leases)) // of the leases by their keys
	for i := range leases {
		order[i] = i
	}
	id := func(i int) rowID { return rowID{leases[i].Flow, leases[i].Key} }
	slices.SortFunc(order, func(i, j int) int { return id(i).compare(id(j)) })
	flows, types := make([]string, 0, len(leases)), make([]string, 0, len(leases))
	ids, tokens := make([]string, 0, len(leases)), make([]string, 0, len(leases))
	for _, i := range order {
		l := leases[i]
		flows, types, ids, tokens = append(flows, l.Flow), append(types, l.Key.Type), append(ids, l.Key.ID), append(tokens, l.Token)
	}
	var until time.Time // as this store counts on it
	err := p.call(ctx, "renew", func(ctx context.Context, conn *sql.Conn) error {
		until = ends(time.Now(), ttl)
		p.held.limit(leases, until) // ttl may be less than what is left
		for i := range errs {
			errs[i] = work.ErrLeaseLost
		}
		return p.each(ctx, conn, func(rows *sql.Rows) error {
			var num int
			err := rows.Scan(&num)
			if err == nil {
				errs[order[num-1]] = nil
			}
			return err
		}, sqlPostgresRenew, flows, types, ids, tokens, ttl.Milliseconds())
	})
	if err != nil {
		return nil, err
	}
	p.held.renewed(leases, errs, until)
	return errs, nil
}

// NextDue implements [work.Store]. The time is by the local clock: as long from
// now as it is by the database's.
func (p *Postgres) NextDue(ctx context.Context, flow string) (next time.Time, err error) {
	if p.held.keeps(flow) {
		return time.UnixMilli(time.Now().UnixMilli()).UTC(), ctx.Err()
	}
	err = p.call(ctx, "next due", func(ctx context.Context, conn *sql.Conn) error {
		return p.each(ctx, conn, func(rows *sql.Rows) error {
			var free, now time.Time
			if err := rows.Scan(&free, &now); err != nil {
				return err
			}
			next = time.UnixMilli(time.Now().UnixMilli() + free.UnixMilli() - now.UnixMilli()).UTC()
			return nil
		}, sqlPostgresNextDue, flow)
	})
	return next, err
}
