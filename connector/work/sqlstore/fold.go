package sqlstore

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// limits say when rows go back to the table.
type limits struct {
	resting int // how many that rest go back at once
	rows    int // how many there are in memory before all of them go back
	journal int // how many bytes there are in the journal before they do
}

// defaultLimits let a call wait for some 20 ms while rows that rest go back, and
// 0.5 s if so many wait to be leased that all have to. The journal is as long as
// that if the same few rows are at work all the time, or one run never ends.
var defaultLimits = limits{resting: 1000, rows: 20_000, journal: 32 << 20}

const (
	sqlValues = `$2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28`

	sqlNames = `dirty, done, due, priority, attempts, deferrals, first_failure, last_failure, failure_group,
	parked, present, applied, fingerprint, finished, last_result, summary,
	cause_kind, cause_event_id, cause_time, cause_routing_key, cause_trace, cause_hops,
	token, lease_owner, lease_until, leased, renewed`

	sqlUpdate = `UPDATE konnektor_work SET (` + sqlNames + `) = (` + sqlValues + `) WHERE rid = $1`

	sqlInsert = `INSERT INTO konnektor_work (rid, ` + sqlNames + `, flow, type, id) VALUES ($1, ` + sqlValues + `, $29, $30, $31)`

	sqlRID = `SELECT rid FROM konnektor_work WHERE flow = $1 AND type = $2 AND id = $3`

	sqlClearLater = `DELETE FROM konnektor_later WHERE rid = $1`

	sqlAddLater = `INSERT INTO konnektor_later (rid, at, flow) VALUES ($1, $2, $3)`
)

// values are a row's columns as sqlUpdate has them.
func (r *hotRow) values() []any {
	return []any{
		r.rid, r.dirty, r.done, r.due.column(), int(r.priority), r.attempts, r.deferrals, r.first.column(), r.last.column(), r.group,
		flagOf(r.parked), flagOf(r.present), r.applied.column(), orNull(r.fingerprint), r.finished.column(), string(r.result), r.summary,
		r.cause.Kind, r.cause.EventID, r.caused.column(), r.cause.RoutingKey, r.cause.Trace, r.cause.Hops,
		textOrNull(r.token), r.owner, r.until.column(), r.leased, flagOf(r.renewed),
	}
}

// write writes a row to the table.
func (ss *session) write(r *hotRow) error {
	rid := r.rid
	if rid == 0 && !r.made { // from the journal
		known, err := ss.numbers(sqlRID, r.id.flow, r.id.key.Type, r.id.key.ID)
		if err != nil {
			return err
		}
		if len(known) > 0 {
			rid = known[0]
		}
	}
	values := r.values()
	values[0] = rid
	var err error
	if rid != 0 {
		_, err = ss.stmt(sqlUpdate).ExecContext(ss.ctx, values...)
	} else {
		rid, err = ss.insert(r, values)
	}
	if err != nil || !r.dated {
		return err
	}
	if _, err := ss.stmt(sqlClearLater).ExecContext(ss.ctx, rid); err != nil {
		return err
	}
	for _, at := range r.later {
		if _, err := ss.stmt(sqlAddLater).ExecContext(ss.ctx, rid, at.column(), r.id.flow); err != nil {
			return err
		}
	}
	return nil
}

func (ss *session) insert(r *hotRow, values []any) (rid int64, err error) {
	values[0] = nil // SQLite gives one
	result, err := ss.stmt(sqlInsert).ExecContext(ss.ctx, append(values, r.id.flow, r.id.key.Type, r.id.key.ID)...)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// fold writes rows back to the table, those that have changed.
func (ss *session) fold(rows []*hotRow) error {
	if err := ss.begin(); err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r *hotRow) bool { return !r.changed })
	slices.SortFunc(rows, func(a, b *hotRow) int { return cmp.Or(cmp.Compare(a.rid, b.rid), a.id.compare(b.id)) })
	for _, r := range rows {
		if err := ss.write(r); err != nil {
			return err
		}
	}
	return nil
}

// foldAll writes all rows back, so that the table is right. When the session's
// transaction is committed, none are in memory.
func (ss *session) foldAll() error {
	if err := ss.fold(slices.Collect(maps.Values(ss.hot.rows))); err != nil {
		return err
	}
	if ss.hot.entries != (entries{}) {
		if _, err := ss.stmt(sqlTrim).ExecContext(ss.ctx, int64(math.MaxInt64)); err != nil {
			return err
		}
	}
	ss.committed = append(ss.committed, func() { ss.hot.clear() })
	return nil
}

func (h *hot) clear() { *h = *newHot() }

// tidy writes back what rests, if that is much, or all, if there is too much of it.
func (ss *session) tidy() error {
	if len(ss.hot.rows) > ss.limits.rows || ss.hot.entries.bytes > ss.limits.journal {
		return ss.foldAll()
	}
	h := ss.hot
	if len(h.resting) < ss.limits.resting {
		return nil
	}
	now := millisOf(time.Now())
	var back []*hotRow
	seen := make(map[*hotRow]bool, len(h.resting))
	for _, r := range h.resting {
		if !seen[r] && h.rows[r.id] == r && r.rests(now) {
			back = append(back, r)
		}
		seen[r] = true
	}
	if len(back) < ss.limits.resting/2 {
		ss.committed = append(ss.committed, func() { h.resting = append(h.resting[:0], back...) })
		return nil
	}
	if err := ss.fold(slices.Clone(back)); err != nil {
		return err
	}
	least := int64(math.MaxInt64)
	gone := make(map[*hotRow]bool, len(back))
	for _, r := range back {
		gone[r] = true
	}
	for _, r := range h.rows {
		if r.seq != 0 && !gone[r] {
			least = min(least, r.seq)
		}
	}
	if _, err := ss.stmt(sqlTrim).ExecContext(ss.ctx, least); err != nil {
		return err
	}
	ss.committed = append(ss.committed, func() {
		for _, r := range back {
			h.drop(r)
		}
		h.resting = nil
		h.entries.trim(least)
		clear(h.cold) // the table has changed
	})
	return nil
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
