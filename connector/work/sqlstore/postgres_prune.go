package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// Rows that are pruned wait for nothing, and so have no Later times. Rows that
// another call has locked stay.
const (
	sqlPostgresPruneIdle = `WITH old AS MATERIALIZED (
	SELECT flow, type, id FROM {schema}.work
	WHERE free IS NULL AND NOT parked AND NOT present AND finished < $1
	ORDER BY finished LIMIT $2 FOR UPDATE SKIP LOCKED
)` + sqlPostgresPrune

	sqlPostgresPruneParked = `WITH old AS MATERIALIZED (
	SELECT flow, type, id FROM {schema}.work
	WHERE free IS NULL AND parked AND last_failure < $1
	ORDER BY flow, type, id LIMIT $2 FOR UPDATE SKIP LOCKED
)` + sqlPostgresPrune

	sqlPostgresPrune = `
DELETE FROM {schema}.work AS w
USING unnest((SELECT array_agg(flow) FROM old), (SELECT array_agg(type) FROM old), (SELECT array_agg(id) FROM old))
	WITH ORDINALITY AS o (flow, type, id, num)
` + oneByOne + ` AND w.flow = o.flow AND w.type = o.type AND w.id = o.id`
)

const (
	// sqlPostgresLock locks an entity's rows in all flows, in their order.
	sqlPostgresLock = `WITH RECURSIVE every (flow) AS (
	(SELECT flow FROM {schema}.work ORDER BY flow LIMIT 1)
	UNION ALL
	SELECT (SELECT flow FROM {schema}.work WHERE flow > every.flow ORDER BY flow LIMIT 1)
	FROM every WHERE every.flow IS NOT NULL
)
SELECT r.flow, coalesce(r.lease_until > {now}, false) FROM every CROSS JOIN LATERAL (
	SELECT flow, lease_until FROM {schema}.work WHERE flow = every.flow AND type = $1 AND id = $2 FOR UPDATE
) AS r`

	sqlPostgresForget = `WITH later AS (
	DELETE FROM {schema}.later WHERE flow = ANY($1::text[]) AND type = $2 AND id = $3
)
DELETE FROM {schema}.work WHERE flow = ANY($1::text[]) AND type = $2 AND id = $3`
)

// PruneIdle implements [work.Store].
func (p *Postgres) PruneIdle(ctx context.Context, before time.Time, limit int) (int, error) {
	return p.prune(ctx, "prune idle", sqlPostgresPruneIdle, before, limit)
}

// PruneParked implements [work.Store].
func (p *Postgres) PruneParked(ctx context.Context, before time.Time, limit int) (int, error) {
	return p.prune(ctx, "prune parked", sqlPostgresPruneParked, before, limit)
}

func (p *Postgres) prune(ctx context.Context, what, template string, before time.Time, limit int) (int, error) {
	if err := p.settle(ctx); err != nil {
		return 0, err
	}
	n, err := p.change(ctx, what, template, instant(before), max(limit, 0))
	return int(n), err
}

// Forget implements [work.Store].
func (p *Postgres) Forget(ctx context.Context, key entity.Key) (int, error) {
	if err := p.reveal(ctx, func(id rowID) bool { return id.key == key }); err != nil {
		return 0, err // what is owed must not bring the rows back
	}
	var n int64
	err := p.transact(ctx, "forget", func(ctx context.Context, q querier) error {
		var flows []string
		running := false
		err := p.each(ctx, q, func(rows *sql.Rows) error {
			var flow string
			var leased bool
			err := rows.Scan(&flow, &leased)
			flows = append(flows, flow)
			running = running || leased
			return err
		}, sqlPostgresLock, key.Type, key.ID)
		if err == nil && running {
			err = work.ErrRunning
		}
		if err != nil {
			return err
		}
		n, err = changes(q.ExecContext(ctx, p.text(sqlPostgresForget), flows, key.Type, key.ID))
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(n), nil
}
