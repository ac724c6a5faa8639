package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// The statements store outcomes of distinct rows, see [work.Outcome] for the table.
// If a mark for now came during the run (renewed), it has left attempts, deferrals
// and failures empty, and they stay so. Marks for now that stayed in memory (see
// held) are made first: seen in number before the run began, and marks during it, of
// which the first came age milliseconds ago. The cause is the last one's.
const (
	// sqlPostgresFinish goes through the outcomes in the order of their keys, and so
	// locks their rows in that order.
	sqlPostgresFinish = `WITH finished AS (
	UPDATE {schema}.work AS w SET ` + sqlPostgresFinished + `
	FROM (SELECT ` + sqlPostgresOutcome + ` ` + oneByOne + `) AS o
	WHERE w.flow = o.flow AND w.type = o.type AND w.id = o.id AND w.token = o.token AND w.lease_until IS NOT NULL
	RETURNING o.num
)
SELECT num, true FROM finished`

	// sqlPostgresFinishLocked locks besides the rows that will be marked, which come
	// without a token, and tells of leases that have been ended.
	sqlPostgresFinishLocked = `WITH locked AS MATERIALIZED (
	SELECT o.*, w.token = o.token AS known, w.lease_until IS NOT NULL AS held
	FROM (SELECT ` + sqlPostgresOutcome + `) AS o
	JOIN {schema}.work AS w ON w.flow = o.flow AND w.type = o.type AND w.id = o.id
	` + oneByOne + ` ORDER BY o.num FOR UPDATE OF w
), finished AS (
	UPDATE {schema}.work AS w SET ` + sqlPostgresFinished + `
	FROM locked AS o
	WHERE w.flow = o.flow AND w.type = o.type AND w.id = o.id AND o.known AND o.held
)
SELECT num, held FROM locked WHERE known`

	sqlPostgresOutcome = `*, result = 'done' AS done, result IN ('failed', 'gave_up') AS spent, marks > 0 AS again, seen > 0 AS fresh
	FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::boolean[],
			$8::bytea[], $9::bytea[], $10::bytea[], $11::bigint[], $12::integer[], $13::bigint[], $14::text[], $15::timestamptz[],
			$16::bigint[])
		WITH ORDINALITY AS o (flow, type, id, token, result, next, present, fingerprint, summary, failure_group,
			marks, top, age, cause, cause_time, seen, num)`

	sqlPostgresFinished = `
		due = least(w.due,
			CASE WHEN o.done THEN o.next WHEN o.result = 'gave_up' THEN NULL ELSE coalesce(o.next, {now}) END,
			CASE WHEN o.again THEN {now} - o.age * interval '1 millisecond' END,
			(SELECT min(l.at) FROM {schema}.later AS l WHERE l.flow = w.flow AND l.type = w.type AND l.id = w.id)),
		dirty = w.dirty + coalesce(o.marks, 0) + coalesce(o.seen, 0),
		cause = coalesce(o.cause, w.cause),
		cause_time = CASE WHEN o.cause IS NOT NULL THEN o.cause_time ELSE w.cause_time END,
		done = CASE WHEN o.done THEN w.leased + coalesce(o.seen, 0) ELSE w.done END,
		present = CASE WHEN o.done THEN o.present ELSE w.present END,
		applied = CASE WHEN o.done THEN {now} ELSE w.applied END,
		fingerprint = CASE WHEN o.done THEN o.fingerprint ELSE w.fingerprint END,
		attempts = CASE WHEN o.again THEN 0 WHEN w.renewed THEN w.attempts WHEN o.done THEN 0
			ELSE CASE WHEN o.fresh THEN 0 ELSE w.attempts END + o.spent::integer END,
		deferrals = CASE WHEN o.again THEN 0 WHEN w.renewed THEN w.deferrals WHEN o.done OR o.spent THEN 0
			ELSE CASE WHEN o.fresh THEN 0 ELSE w.deferrals END + (o.result = 'deferred')::integer END,
		first_failure = CASE WHEN o.again THEN NULL WHEN w.renewed THEN w.first_failure WHEN o.done THEN NULL
			WHEN NOT o.spent AND o.fresh THEN NULL
			WHEN o.spent AND (o.fresh OR w.first_failure IS NULL) THEN {now} ELSE w.first_failure END,
		last_failure = CASE WHEN o.again THEN NULL WHEN w.renewed THEN w.last_failure WHEN o.done THEN NULL
			WHEN o.spent THEN {now} WHEN o.fresh THEN NULL ELSE w.last_failure END,
		failure_group = CASE WHEN o.again THEN '' WHEN w.renewed THEN w.failure_group WHEN o.done THEN ''
			WHEN o.spent THEN o.failure_group WHEN o.fresh THEN '' ELSE w.failure_group END,
		priority = CASE WHEN o.again THEN greatest(w.priority, o.top) WHEN w.renewed THEN w.priority WHEN o.done THEN 0
			WHEN o.spent THEN least(w.priority, -10) ELSE w.priority END,
		parked = o.result = 'gave_up' AND NOT w.renewed AND o.again IS NOT TRUE,
		finished = {now}, last_result = o.result, summary = o.summary,
		lease_owner = '', lease_until = NULL, renewed = false`
)

// Finish implements [work.Store]. Repeated after an error, it returns nil for
// the outcomes that had been stored all the same.
func (p *Postgres) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	if len(outcomes) == 0 {
		return []error{}, ctx.Err()
	}
	parts, simple, err := partsOf(outcomes)
	if err != nil {
		return nil, fmt.Errorf("work store: finish: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("work store: finish: %w", err)
	}
	if !simple {
		if err := p.giveBack(ctx, p.held.unkeepRows(slices.Collect(maps.Keys(parts[0].rows)))); err != nil {
			return nil, err
		}
	}
	f := &finish{
		p: p, outcomes: outcomes, marks: p.held.ending(outcomes),
		errs: make([]error, len(outcomes)), stored: make([]bool, len(outcomes)),
	}
	if simple {
		template := sqlPostgresFinish
		if p.doubts.about(outcomes) {
			template = sqlPostgresFinishLocked
		}
		err = p.call(ctx, "finish", func(ctx context.Context, conn *sql.Conn) error { return f.part(ctx, conn, template, parts[0]) })
	} else {
		err = p.transact(ctx, "finish", func(ctx context.Context, q querier) error {
			f.undo() // of a try that failed
			for _, part := range parts {
				if err := f.part(ctx, q, sqlPostgresFinishLocked, part); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		p.doubts.add(outcomes)
		f.undo()
		p.held.owe(outcomes, f.marks, func(int) bool { return false })
		return nil, err
	}
	p.doubts.end(outcomes)
	for _, b := range f.fanOut {
		p.held.wrote(b)
	}
	p.held.owe(outcomes, f.marks, func(i int) bool { return f.stored[i] })
	return f.errs, nil
}

// finishPart is a part of the outcomes that can be stored at once: their rows
// are distinct, and no mark concerns the row of a later one.
type finishPart struct {
	rows  map[rowID]int // the outcome of each row, -1 for rows that are locked only
	marks bool
}

// partsOf splits outcomes. It is one part unless outcomes concern each other,
// and simple if there are no marks either. The first part has the rows of all, so
// that they are locked in order.
func partsOf(outcomes []work.Outcome) (parts []finishPart, simple bool, err error) {
	part := finishPart{rows: make(map[rowID]int)}
	simple = true
	for i, o := range outcomes {
		id := rowID{o.Lease.Flow, o.Lease.Key}
		if _, taken := part.rows[id]; taken {
			parts = append(parts, part)
			part = finishPart{rows: make(map[rowID]int)}
		}
		part.rows[id] = i
		for _, m := range o.Marks {
			id := rowID{m.Flow, m.Key}
			if err := id.validate(); err != nil {
				return nil, false, err
			}
			if _, taken := part.rows[id]; !taken {
				part.rows[id] = -1
			}
			part.marks = true
		}
		simple = simple && !part.marks
	}
	parts = append(parts, part)
	for _, later := range parts[1:] {
		for id := range later.rows {
			if _, taken := parts[0].rows[id]; !taken {
				parts[0].rows[id] = -1
			}
		}
	}
	return parts, simple && len(parts) == 1, nil
}

// finish is one call of Finish.
type finish struct {
	p        *Postgres
	outcomes []work.Outcome
	marks    []runMarks // of each run, nil: none
	errs     []error
	stored   []bool // now, not before
	fanOut   []*batch
}

// part stores a part of the outcomes, then makes the marks of those that were
// accepted.
func (f *finish) part(ctx context.Context, q querier, template string, part finishPart) error {
	order, args := f.args(part)
	for _, i := range order {
		if i >= 0 {
			f.errs[i], f.stored[i] = work.ErrLeaseLost, false
		}
	}
	var accepted []int
	err := f.p.each(ctx, q, func(rows *sql.Rows) error {
		var num int
		var held bool
		if err := rows.Scan(&num, &held); err != nil {
			return err
		}
		i := order[num-1]
		if held {
			accepted = append(accepted, i)
			f.stored[i] = true
		}
		if held || f.p.doubts.has(f.outcomes[i].Lease.Token) {
			f.errs[i] = nil
		}
		return nil
	}, template, args...)
	if err != nil || !part.marks {
		return err
	}
	slices.Sort(accepted)
	var marks []work.Mark
	for _, i := range accepted {
		marks = append(marks, f.outcomes[i].Marks...)
	}
	b, err := batchOf(marks)
	if err != nil {
		return err
	}
	f.p.held.move(b)
	f.fanOut = append(f.fanOut, b)
	for i := range f.marks {
		lease := f.outcomes[i].Lease
		f.marks[i].older = f.marks[i].older || b.byID[rowID{lease.Flow, lease.Key}] != nil
	}
	return f.p.mark(ctx, q, b)
}

// undo takes back what was moved to the marks of outcomes that are not stored.
func (f *finish) undo() {
	for _, b := range f.fanOut {
		f.p.held.takeBack(b.rows)
	}
	f.fanOut = nil
	for i := range f.marks {
		f.marks[i].older = false
	}
}

// args returns the arguments of the statements and the outcome of each row.
func (f *finish) args(part finishPart) (order []int, args []any) {
	all := make([]rowID, 0, len(part.rows))
	for id := range part.rows {
		all = append(all, id)
	}
	slices.SortFunc(all, rowID.compare)
	n := len(all)
	order = make([]int, n)
	flows, types, ids, tokens := make([]string, n), make([]string, n), make([]string, n), make([]*string, n)
	results, nexts, present := make([]string, n), make([]*time.Time, n), make([]bool, n)
	fingerprints, summaries, groups := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for num, id := range all {
		i := part.rows[id]
		order[num] = i
		flows[num], types[num], ids[num] = id.flow, id.key.Type, id.key.ID
		if i < 0 {
			continue
		}
		o := f.outcomes[i]
		tokens[num], results[num], nexts[num] = &o.Lease.Token, string(o.Result), instant(o.Next)
		present[num], summaries[num], groups[num] = o.Present, []byte(o.Summary), []byte(o.Group)
		if len(o.Fingerprint) > 0 {
			fingerprints[num] = o.Fingerprint
		}
	}
	args = []any{flows, types, ids, tokens, results, nexts, present, fingerprints, summaries, groups}
	return order, append(args, f.heldArgs(order)...)
}

// heldArgs returns the arguments about marks that stayed in memory.
func (f *finish) heldArgs(order []int) []any {
	var marks, ages, seen []int64
	var tops []int32
	var causes []*string
	var causeTimes []*time.Time
	if f.marks != nil {
		n := len(order)
		marks, ages, seen, tops = make([]int64, n), make([]int64, n), make([]int64, n), make([]int32, n)
		causes, causeTimes = make([]*string, n), make([]*time.Time, n)
		for num, i := range order {
			if i < 0 {
				continue
			}
			m := f.marks[i]
			marks[num], ages[num], tops[num], seen[num] = m.marks.n, age(m.marks.since), m.marks.top, m.seen.n
			if last := m.seen.and(m.marks); !m.older && (m.marks.n > 0 || m.seen.n > 0 && !m.written) {
				text := causeText(last.cause)
				causes[num], causeTimes[num] = &text, instant(last.cause.Time)
			}
		}
	}
	return []any{marks, tops, ages, causes, causeTimes, seen}
}

// doubtFor is how long a failed Finish is remembered: longer than leases live.
const doubtFor = time.Hour

// doubts are the tokens of leases whose outcomes may have been stored, although
// Finish returned an error: the answer was lost.
type doubts struct {
	mu     sync.Mutex
	tokens map[string]time.Time // since when
}

func (d *doubts) add(outcomes []work.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for token, since := range d.tokens {
		if now.Sub(since) > doubtFor {
			delete(d.tokens, token)
		}
	}
	if d.tokens == nil {
		d.tokens = make(map[string]time.Time)
	}
	for _, o := range outcomes {
		d.tokens[o.Lease.Token] = now
	}
}

func (d *doubts) has(token string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, found := d.tokens[token]
	return found
}

// about reports whether there is a doubt about one of the outcomes.
func (d *doubts) about(outcomes []work.Outcome) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.tokens) > 0 && slices.ContainsFunc(outcomes, func(o work.Outcome) bool {
		_, found := d.tokens[o.Lease.Token]
		return found
	})
}

// end ends the doubts about outcomes.
func (d *doubts) end(outcomes []work.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range outcomes {
		delete(d.tokens, o.Lease.Token)
	}
}
