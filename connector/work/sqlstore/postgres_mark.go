package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

const (
	// sqlPostgresMark makes the marks of distinct rows, which come in the order of
	// their keys, so that two calls never wait for each other. Whether a due time
	// has come is for the database's clock to say. Excluded are the values of a
	// new row; its renewed or lease_until says that one of the marks is for now, which
	// came age milliseconds ago. Marks that claim their row are all for now and new:
	// they lease it, see [aheadQueue], unless it is due or leased already. later
	// locks nothing before marked has locked all rows.
	sqlPostgresMark = `WITH given AS MATERIALIZED (
	SELECT num, flow, type, id, marks, first, cause, cause_time, due, coalesce(claim, false) AS claim,
		top IS NOT NULL OR coalesce(due <= {now}, false) AS come,
		{now} - coalesce(age, 0) * interval '1 millisecond' AS since,
		greatest(top, CASE WHEN due <= {now} THEN due_priority END) AS top
	FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[], $6::integer[],
			$7::timestamptz[], $8::integer[], $9::text[], $10::timestamptz[], $11::bigint[], $12::boolean[])
		WITH ORDINALITY AS m (flow, type, id, marks, first, top, due, due_priority, cause, cause_time, age, claim, num)
), marked AS (
	INSERT INTO {schema}.work AS w (flow, type, id, dirty, due, priority, renewed, cause, cause_time,
		token, lease_owner, lease_until, leased)
	SELECT flow, type, id, marks, CASE WHEN claim THEN NULL WHEN come THEN since ELSE due END, CASE WHEN come THEN top ELSE first END,
		come AND NOT claim, cause, cause_time,
		CASE WHEN claim THEN $15::text || num ELSE '' END, CASE WHEN claim THEN $13::bytea ELSE '' END,
		CASE WHEN claim THEN {now} + $14::bigint * interval '1 millisecond' END, CASE WHEN claim THEN marks ELSE 0 END
	FROM given ORDER BY num
	ON CONFLICT (flow, type, id) DO UPDATE SET
		dirty = w.dirty + excluded.dirty,
		due = CASE WHEN ` + sqlClaimed + ` THEN NULL WHEN excluded.lease_until IS NOT NULL THEN least(w.due, {now})
			ELSE least(w.due, excluded.due) END,
		cause = excluded.cause,
		cause_time = excluded.cause_time,
		renewed = NOT ` + sqlClaimed + ` AND (w.renewed OR ` + sqlForNow + `),
		priority = CASE
			WHEN NOT ` + sqlForNow + ` THEN w.priority
			WHEN w.lease_until IS NOT NULL OR w.due <= {now} OR w.last_result NOT IN ('', 'done')
				THEN greatest(w.priority, excluded.priority)
			ELSE excluded.priority END,
		attempts = CASE WHEN ` + sqlForNow + ` THEN 0 ELSE w.attempts END,
		deferrals = CASE WHEN ` + sqlForNow + ` THEN 0 ELSE w.deferrals END,
		first_failure = CASE WHEN ` + sqlForNow + ` THEN NULL ELSE w.first_failure END,
		last_failure = CASE WHEN ` + sqlForNow + ` THEN NULL ELSE w.last_failure END,
		failure_group = CASE WHEN ` + sqlForNow + ` THEN '' ELSE w.failure_group END,
		parked = w.parked AND NOT ` + sqlForNow + `,
		token = CASE WHEN ` + sqlClaimed + ` THEN excluded.token ELSE w.token END,
		lease_owner = CASE WHEN ` + sqlClaimed + ` THEN excluded.lease_owner ELSE w.lease_owner END,
		lease_until = CASE WHEN ` + sqlClaimed + ` THEN excluded.lease_until ELSE w.lease_until END,
		leased = CASE WHEN ` + sqlClaimed + ` THEN w.dirty + excluded.dirty ELSE w.leased END
	RETURNING w.flow, w.type, w.id, w.dirty, w.done, w.priority, w.token
), later AS (
	INSERT INTO {schema}.later (flow, type, id, at)
	SELECT flow, type, id, due FROM given WHERE due > {now} AND (SELECT count(*) FROM marked) > 0
	ON CONFLICT DO NOTHING
)
SELECT flow, type, id, dirty, done, priority, token, {now} FROM marked`

	sqlForNow  = `(excluded.renewed OR excluded.lease_until IS NOT NULL)`
	sqlClaimed = `(excluded.lease_until IS NOT NULL AND w.lease_until IS NULL AND (w.due IS NULL OR w.due > {now}))`
)

// Mark implements [work.Store]. Marks of rows whose lease this store has given out
// stay in memory, see [held].
func (p *Postgres) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	b, err := batchOf(marks)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("work store: mark: %w", err)
	}
	if err := p.giveBack(ctx, p.held.unkeepRows(b.dated())); err != nil {
		return nil, err
	}
	taken := p.held.absorb(b, time.Now())
	switch rounds := b.rounds(); {
	case len(b.rows) == 0 && len(marks) > 0:
	case rounds > 1:
		err = p.transact(ctx, "mark", func(ctx context.Context, q querier) error { return p.mark(ctx, q, b) })
	default:
		b.claims = p.held.claims(b, time.Now())
		err = p.call(ctx, "mark", func(ctx context.Context, conn *sql.Conn) error { return p.mark(ctx, conn, b) })
	}
	if err != nil {
		p.held.takeBack(b.rows)
		p.held.restore(taken)
		return nil, err
	}
	p.held.wrote(b)
	if c := b.claims; c != nil {
		// What cannot be given back ends by itself.
		_ = p.giveBack(ctx, p.held.keepClaimed(c))
	}
	seqs := make([]int64, len(marks))
	for i, r := range b.of {
		r.counted++
		seqs[i] = r.dirty - r.marks + r.counted
	}
	return seqs, nil
}

// mark makes a batch of marks.
func (p *Postgres) mark(ctx context.Context, q querier, b *batch) error {
	if b.claims != nil {
		b.claims.reset(time.Now())
	}
	for round := range b.rounds() {
		err := p.each(ctx, q, func(rows *sql.Rows) error {
			var id rowID
			var l work.Lease
			err := rows.Scan(&id.flow, &id.key.Type, &id.key.ID, &l.Dirty, &l.Done, &l.Priority, &l.Token, (*timestamp)(&l.Due))
			if err != nil {
				return err
			}
			r := b.byID[id]
			r.dirty = l.Dirty
			if b.claims != nil {
				b.claims.got(r, l)
			}
			return nil
		}, sqlPostgresMark, b.args(round)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// rowID names a row.
type rowID struct {
	flow string
	key  entity.Key
}

func (id rowID) compare(other rowID) int {
	if c := strings.Compare(id.flow, other.flow); c != 0 {
		return c
	}
	if c := strings.Compare(id.key.Type, other.key.Type); c != 0 {
		return c
	}
	return strings.Compare(id.key.ID, other.key.ID)
}

// validate reports why PostgreSQL cannot keep the row.
func (id rowID) validate() error {
	for _, f := range []struct{ name, value string }{{"Flow", id.flow}, {"Key.Type", id.key.Type}, {"Key.ID", id.key.ID}} {
		if !utf8.ValidString(f.value) || strings.Contains(f.value, "\x00") {
			return fmt.Errorf("%s: must be valid UTF-8 without NUL", f.name)
		}
	}
	return nil
}

// batch is a list of marks, those of one row as one.
type batch struct {
	rows []*markedRow
	byID map[rowID]*markedRow
	of   []*markedRow // each mark's row

	claims *claims // nil: none
}

// markedRow is what the marks of one row come to.
type markedRow struct {
	id    rowID
	marks int64
	first int32 // priority, of the first mark
	// The highest priority of the marks without a due time, nil if there are
	// none.
	top   *int32
	dated []datedMark
	cause work.Cause // of the last mark
	held  heldMarks  // that came before and are written with them
	claim bool

	dirty   int64 // as stored
	counted int64
}

// datedMark is a mark with a due time, which may have come.
type datedMark struct {
	due      *time.Time
	priority int32
}

// batchOf collects marks. The rows are in the order of their keys.
func batchOf(marks []work.Mark) (*batch, error) {
	b := &batch{byID: make(map[rowID]*markedRow, len(marks)), of: make([]*markedRow, len(marks))}
	for i, m := range marks {
		id := rowID{m.Flow, m.Key}
		r := b.byID[id]
		if r == nil {
			if err := id.validate(); err != nil {
				return nil, err
			}
			r = &markedRow{id: id, first: int32(m.Priority)}
			b.byID[id] = r
			b.rows = append(b.rows, r)
		}
		b.of[i] = r
		r.add(m)
	}
	b.sort()
	return b, nil
}

func (b *batch) sort() {
	slices.SortFunc(b.rows, func(r, o *markedRow) int { return r.id.compare(o.id) })
}

func (r *markedRow) add(m work.Mark) {
	r.marks++
	r.cause = m.Cause
	priority := int32(m.Priority)
	due := instant(m.Due)
	if due == nil {
		if r.top == nil || priority > *r.top {
			r.top = &priority
		}
		return
	}
	same := func(d datedMark) bool { return d.due.Equal(*due) }
	if i := slices.IndexFunc(r.dated, same); i >= 0 {
		r.dated[i].priority = max(r.dated[i].priority, priority)
		return
	}
	r.dated = append(r.dated, datedMark{due, priority})
}

// rounds returns how often sqlPostgresMark is to be executed: once makes one
// dated mark of a row.
func (b *batch) rounds() (n int) {
	for _, r := range b.rows {
		n = max(n, 1, len(r.dated))
	}
	return n
}

// dated returns the rows for which there are dates.
func (b *batch) dated() (ids []rowID) {
	for _, r := range b.rows {
		if len(r.dated) > 0 {
			ids = append(ids, r.id)
		}
	}
	return ids
}

// args returns the arguments of sqlPostgresMark. The first round has all rows.
func (b *batch) args(round int) []any {
	rows := b.rows
	if round > 0 {
		rows = slices.DeleteFunc(slices.Clone(rows), func(r *markedRow) bool { return len(r.dated) <= round })
	}
	n := len(rows)
	flows, types, ids := make([]string, n), make([]string, n), make([]string, n)
	marks, firsts, tops := make([]int64, n), make([]int32, n), make([]*int32, n)
	dues, duePriorities := make([]*time.Time, n), make([]int32, n)
	causes, causeTimes := make([]string, n), make([]*time.Time, n)
	var ages []int64 // nil if there are none
	for i, r := range rows {
		flows[i], types[i], ids[i] = r.id.flow, r.id.key.Type, r.id.key.ID
		firsts[i] = r.first
		if round == 0 {
			marks[i], tops[i] = r.marks, r.top
		}
		if round == 0 && r.held.n > 0 {
			if ages == nil {
				ages = make([]int64, n)
			}
			marks[i] += r.held.n
			firsts[i] = r.held.top
			top := r.held.top
			if r.top != nil {
				top = max(top, *r.top)
			}
			tops[i], ages[i] = &top, age(r.held.since)
		}
		if len(r.dated) > round {
			dues[i], duePriorities[i] = r.dated[round].due, r.dated[round].priority
		}
		causes[i], causeTimes[i] = causeText(r.cause), instant(r.cause.Time)
	}
	args := []any{flows, types, ids, marks, firsts, tops, dues, duePriorities, causes, causeTimes, ages}
	return append(args, b.claims.args(rows)...)
}
