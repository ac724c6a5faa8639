package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// The conditions of the states, such that a listing finds its rows by an index.
// A leased row is not parked.
const (
	ifIdle    = `free IS NULL AND NOT parked`
	ifWaiting = `free > {now} AND free > '-infinity' AND lease_until IS NULL AND NOT parked`
	ifDue     = `free <= {now} AND free > '-infinity' AND NOT parked`
	ifRunning = `lease_until > {now}`
	ifParked  = `parked`
)

// sqlPostgresState is a row's state.
const sqlPostgresState = `CASE
	WHEN lease_until > {now} THEN 'running'
	WHEN parked THEN 'parked'
	WHEN free > {now} THEN 'waiting'
	WHEN free IS NOT NULL THEN 'due'
	ELSE 'idle' END`

// sqlPostgresRows reads rows, each as often as it has Later times, once if it
// has none.
const (
	sqlPostgresRows = `SELECT w.type, w.id, w.state, w.dirty, w.done, w.due, w.priority, w.attempts, w.deferrals,
	w.first_failure, w.last_failure, w.failure_group, w.present, w.applied, w.fingerprint, w.finished, w.last_result,
	w.summary, w.cause_time, w.cause, w.lease_owner, w.lease_until, l.at
FROM (SELECT *, ` + sqlPostgresState + ` AS state FROM {schema}.work WHERE flow = $1 AND `
	sqlPostgresLater = `) AS w
LEFT JOIN LATERAL (
	SELECT at FROM {schema}.later WHERE flow = w.flow AND type = w.type AND id = w.id OFFSET 0 -- one by one
) AS l ON true
ORDER BY w.type, w.id, l.at`

	sqlPostgresGet = sqlPostgresRows + `type = $2 AND id = $3` + sqlPostgresLater

	sqlPostgresPage = ` AND (type, id) > ($2, $3) AND ($4::bytea = '' OR failure_group = $4::bytea)
	ORDER BY type, id LIMIT $5` + sqlPostgresLater

	sqlPostgresListIdle    = sqlPostgresRows + ifIdle + sqlPostgresPage
	sqlPostgresListWaiting = sqlPostgresRows + ifWaiting + sqlPostgresPage
	sqlPostgresListDue     = sqlPostgresRows + ifDue + sqlPostgresPage
	sqlPostgresListRunning = sqlPostgresRows + ifRunning + sqlPostgresPage
	sqlPostgresListParked  = sqlPostgresRows + ifParked + sqlPostgresPage
)

const (
	sqlPostgresUpcoming = `(SELECT at, type, id FROM {schema}.later
	WHERE flow = $1 AND at > {now} AND at > '-infinity' AND (at, type, id) > ($2, $3, $4) ORDER BY at, type, id LIMIT $5)
UNION
(SELECT free, type, id FROM {schema}.work
	WHERE flow = $1 AND ` + ifWaiting + ` AND (free, type, id) > ($2, $3, $4) ORDER BY free, type, id LIMIT $5)
ORDER BY at, type, id LIMIT $5`

	// sqlPostgresStats reads an index for the number of all rows, and only the
	// rows that are not idle.
	sqlPostgresStats = `SELECT flow, '' AS state, count(*), NULL::timestamptz FROM {schema}.work GROUP BY flow
UNION ALL
SELECT flow, state, count(*), min(CASE state WHEN 'parked' THEN last_failure WHEN 'running' THEN NULL ELSE free END)
FROM (
	SELECT flow, ` + sqlPostgresState + ` AS state, free, last_failure FROM {schema}.work WHERE free > '-infinity'
	UNION ALL
	SELECT flow, 'parked', free, last_failure FROM {schema}.work WHERE parked AND free IS NULL
) AS busy
GROUP BY flow, state`

	sqlPostgresParkedGroups = `SELECT failure_group, count(*) AS n, min(last_failure), max(last_failure),
	(array_agg(summary ORDER BY last_failure DESC, type, id))[1]
FROM {schema}.work WHERE flow = $1 AND parked
GROUP BY failure_group ORDER BY n DESC, failure_group`
)

// Get implements [work.Store].
func (p *Postgres) Get(ctx context.Context, flow string, key entity.Key) (work.Row, bool, error) {
	id := rowID{flow, key}
	if err := p.reveal(ctx, func(of rowID) bool { return of == id }); err != nil {
		return work.Row{}, false, err
	}
	rows, err := p.rows(ctx, "get", flow, sqlPostgresGet, flow, key.Type, key.ID)
	if err != nil || len(rows) == 0 {
		return work.Row{}, false, err
	}
	return rows[0], true, nil
}

// List implements [work.Store].
func (p *Postgres) List(ctx context.Context, q work.Query) ([]work.Row, error) {
	var template string
	switch q.State {
	case work.Idle:
		template = sqlPostgresListIdle
	case work.Waiting:
		template = sqlPostgresListWaiting
	case work.Due:
		template = sqlPostgresListDue
	case work.Running:
		template = sqlPostgresListRunning
	case work.Parked:
		template = sqlPostgresListParked
	default:
		return nil, ctx.Err()
	}
	if err := p.reveal(ctx, func(id rowID) bool { return id.flow == q.Flow }); err != nil {
		return nil, err
	}
	return p.rows(ctx, "list", q.Flow, template, q.Flow, q.After.Type, q.After.ID, []byte(q.Group), max(q.Limit, 0))
}

// rows reads the rows of a flow.
func (p *Postgres) rows(ctx context.Context, what, flow, template string, args ...any) ([]work.Row, error) {
	var all []work.Row
	err := p.call(ctx, what, func(ctx context.Context, conn *sql.Conn) error {
		all = nil
		return p.each(ctx, conn, func(rows *sql.Rows) error {
			r := work.Row{Flow: flow}
			var later timestamp
			err := rows.Scan(&r.Key.Type, &r.Key.ID, &r.State, &r.Dirty, &r.Done, (*timestamp)(&r.Due), &r.Priority,
				&r.Attempts, &r.Deferrals, (*timestamp)(&r.FirstFailure), (*timestamp)(&r.LastFailure), &r.Group,
				&r.Present, (*timestamp)(&r.Applied), &r.Fingerprint, (*timestamp)(&r.Finished), &r.LastResult,
				&r.Summary, (*timestamp)(&r.Cause.Time), (*cause)(&r.Cause), &r.LeaseOwner, (*timestamp)(&r.LeaseUntil), &later)
			if err != nil {
				return err
			}
			if n := len(all); n == 0 || all[n-1].Key != r.Key {
				all = append(all, r)
			}
			if at := time.Time(later); !at.IsZero() {
				last := &all[len(all)-1]
				last.Later = append(last.Later, at)
			}
			return nil
		}, template, args...)
	})
	if err != nil {
		return nil, err
	}
	p.held.show(all)
	return all, nil
}

// Upcoming implements [work.Store].
func (p *Postgres) Upcoming(ctx context.Context, flow string, after work.Upcoming, limit int) ([]work.Upcoming, error) {
	var all []work.Upcoming
	from := instant(after.At)
	if from == nil {
		from = &firstTime
	}
	err := p.call(ctx, "list what is to come", func(ctx context.Context, conn *sql.Conn) error {
		all = nil
		return p.each(ctx, conn, func(rows *sql.Rows) error {
			var u work.Upcoming
			err := rows.Scan((*timestamp)(&u.At), &u.Key.Type, &u.Key.ID)
			all = append(all, u)
			return err
		}, sqlPostgresUpcoming, flow, *from, after.Key.Type, after.Key.ID, max(limit, 0))
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Stats implements [work.Store].
func (p *Postgres) Stats(ctx context.Context) (map[string]map[work.State]work.Stat, error) {
	var stats map[string]map[work.State]work.Stat
	err := p.call(ctx, "count", func(ctx context.Context, conn *sql.Conn) error {
		stats = make(map[string]map[work.State]work.Stat)
		return p.each(ctx, conn, func(rows *sql.Rows) error {
			var flow string
			var state work.State
			var stat work.Stat
			if err := rows.Scan(&flow, &state, &stat.Rows, (*timestamp)(&stat.Oldest)); err != nil {
				return err
			}
			states := stats[flow]
			if states == nil {
				states = make(map[work.State]work.Stat)
				stats[flow] = states
			}
			idle := stat.Rows // what is not in another state
			if state != "" {
				states[state] = stat
				idle = -idle
			}
			states[work.Idle] = work.Stat{Rows: states[work.Idle].Rows + idle}
			return nil
		}, sqlPostgresStats)
	})
	if err != nil {
		return nil, err
	}
	p.held.count(stats)
	for _, states := range stats {
		if states[work.Idle].Rows == 0 {
			delete(states, work.Idle)
		}
	}
	return stats, nil
}

// ParkedGroups implements [work.Store].
func (p *Postgres) ParkedGroups(ctx context.Context, flow string) ([]work.ParkedGroup, error) {
	var groups []work.ParkedGroup
	err := p.call(ctx, "group", func(ctx context.Context, conn *sql.Conn) error {
		groups = nil
		return p.each(ctx, conn, func(rows *sql.Rows) error {
			var g work.ParkedGroup
			err := rows.Scan(&g.Group, &g.Rows, (*timestamp)(&g.First), (*timestamp)(&g.Last), &g.Summary)
			groups = append(groups, g)
			return err
		}, sqlPostgresParkedGroups, flow)
	})
	if err != nil {
		return nil, err
	}
	return groups, nil
}
