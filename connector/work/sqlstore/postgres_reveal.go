package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// settle writes the marks of leases that have ended without an outcome.
func (p *Postgres) settle(ctx context.Context) error {
	p.held.expire(time.Now())
	return p.writeHeld(ctx, nil)
}

// reveal gives back rows that have no run yet and writes the marks of others, before
// they are read.
func (p *Postgres) reveal(ctx context.Context, wanted func(rowID) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return cmp.Or(p.giveBack(ctx, p.held.unkeep(wanted)), p.writeHeld(ctx, wanted))
}

// writeHeld writes marks that are in memory, see [held.take].
func (p *Postgres) writeHeld(ctx context.Context, wanted func(rowID) bool) error {
	all := p.held.take(wanted)
	for len(all.rows) > 0 {
		b := &batch{rows: all.rows[:min(len(all.rows), aheadAtOnce)], byID: all.byID}
		err := p.call(ctx, "mark", func(ctx context.Context, conn *sql.Conn) error { return p.mark(ctx, conn, b) })
		if err != nil {
			p.held.takeBack(all.rows)
			return err
		}
		p.held.wrote(b)
		all.rows = all.rows[len(b.rows):]
	}
	return nil
}

// show adds to rows what their runs have seen.
func (h *held) show(rows []work.Row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range rows {
		r := &rows[i]
		row := h.rows[rowID{r.Flow, r.Key}]
		if row == nil || row.seen.n == 0 {
			continue
		}
		r.Dirty += row.seen.n
		r.Attempts, r.Deferrals, r.FirstFailure, r.LastFailure, r.Group = 0, 0, time.Time{}, time.Time{}, ""
		if !row.written {
			r.Cause = storedCause(row.seen.cause)
		}
	}
}

const sqlPostgresGiveBack = `UPDATE {schema}.work AS w SET
	due = least(w.due, o.due), lease_owner = '', lease_until = NULL, renewed = false
FROM (
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
		WITH ORDINALITY AS o (flow, type, id, token, due, num) ` + oneByOne + `
) AS o
WHERE w.flow = o.flow AND w.type = o.type AND w.id = o.id AND w.token = o.token AND w.lease_until IS NOT NULL`

// giveBack lets others have rows that were leased, and had no run. The context's
// end does not stop it: nobody else will do it.
func (p *Postgres) giveBack(ctx context.Context, leases []work.Lease) (err error) {
	slices.SortFunc(leases, func(a, b work.Lease) int { return rowID{a.Flow, a.Key}.compare(rowID{b.Flow, b.Key}) })
	for some := range slices.Chunk(leases, aheadAtOnce) {
		n := len(some)
		flows, types, ids, tokens, dues := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]*time.Time, n)
		for i, l := range some {
			flows[i], types[i], ids[i], tokens[i], dues[i] = l.Flow, l.Key.Type, l.Key.ID, l.Token, instant(l.Due)
		}
		_, failed := p.change(context.WithoutCancel(ctx), "lease", sqlPostgresGiveBack, flows, types, ids, tokens, dues)
		err = errors.Join(err, failed)
	}
	return err
}
