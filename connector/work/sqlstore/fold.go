package sqlstore

import (
	"database/sql"
	"maps"
	"math"
	"slices"
	"time"
)

// limits say when rows go back to the table.
type limits struct {
	resting int // how many that rest stay in memory
	back    int // how many go back at once
	rows    int // how many there are in memory before those that are wanted last go back
	journal int // how many bytes there are in the journal before all rows go back
}

// defaultLimits let a call wait for some 20 ms while rows that rest go back, and
// 0.1 s if so many wait to be leased that some have to. The journal is as long as
// that if the same few rows are at work all the time, or one run never ends.
var defaultLimits = limits{resting: 10_000, back: 1000, rows: 40_000, journal: 32 << 20}

const (
	// The values have no numbers: the driver would look each of them up by its name.
	sqlIdleValues = `?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?`
	sqlValues     = sqlIdleValues + `, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?`

	// Of rows that are idle, the other columns have their defaults.
	sqlIdleNames = `dirty, done, priority, present, applied, fingerprint, finished, last_result, summary,
	cause_kind, cause_event_id, cause_time, cause_routing_key, cause_trace, cause_hops, leased`

	sqlNames = sqlIdleNames + `, due, attempts, deferrals, first_failure, last_failure, failure_group, parked,
	token, lease_owner, lease_until, renewed`

	sqlUpdate = `UPDATE konnektor_work SET (` + sqlNames + `) = (` + sqlValues + `) WHERE rid = ?`

	sqlInsert = `INSERT INTO konnektor_work (` + sqlNames + `, flow, type, id) VALUES (` + sqlValues + `, ?, ?, ?)`

	sqlInsertIdle = `INSERT INTO konnektor_work (` + sqlIdleNames + `, flow, type, id) VALUES (` + sqlIdleValues + `, ?, ?, ?)`

	sqlRID = `SELECT rid FROM konnektor_work WHERE flow = $1 AND type = $2 AND id = $3`

	sqlClearLater = `DELETE FROM konnektor_later WHERE rid = $1`

	sqlAddLater = `INSERT INTO konnektor_later (rid, at, flow) VALUES ($1, $2, $3)`
)

// appendIdle appends a row's columns as sqlIdleNames has them.
func (r *hotRow) appendIdle(to []any) []any {
	return append(to,
		r.dirty, r.done, int64(r.priority), flagOf(r.present), r.applied.column(), blobOrNull(r.fingerprint), r.finished.column(), string(r.result), r.summary,
		r.cause.Kind, r.cause.EventID, r.caused.column(), r.cause.RoutingKey, r.cause.Trace, int64(r.cause.Hops), r.leased,
	)
}

// appendAll appends a row's columns as sqlNames has them.
func (r *hotRow) appendAll(to []any) []any {
	return append(r.appendIdle(to),
		r.due.column(), int64(r.attempts), int64(r.deferrals), r.first.column(), r.last.column(), r.group, flagOf(r.parked),
		textOrNull(r.token), r.owner, r.until.column(), flagOf(r.renewed),
	)
}

// write writes a row to the table.
func (ss *session) write(r *hotRow) error {
	rid := r.rid
	if rid == 0 && !r.made { // from the journal, or after an error
		known, err := ss.numbers(sqlRID, r.id.flow, r.id.key.Type, r.id.key.ID)
		if err != nil {
			return err
		}
		if len(known) > 0 {
			rid = known[0]
		}
	}
	var err error
	if rid != 0 {
		_, err = ss.exec(sqlUpdate, append(r.appendAll(ss.args[:0]), rid))
	} else {
		rid, err = ss.insert(r)
	}
	if err != nil || !r.dated {
		return err
	}
	if _, err := ss.exec(sqlClearLater, append(ss.args[:0], rid)); err != nil {
		return err
	}
	for _, at := range r.later {
		if _, err := ss.exec(sqlAddLater, append(ss.args[:0], rid, at.column(), r.id.flow)); err != nil {
			return err
		}
	}
	return nil
}

func (ss *session) insert(r *hotRow) (rid int64, err error) {
	query, values := sqlInsertIdle, r.appendIdle(ss.args[:0])
	if r.free() != 0 || !r.fresh() {
		query, values = sqlInsert, r.appendAll(ss.args[:0])
	}
	result, err := ss.exec(query, append(values, r.id.flow, r.id.key.Type, r.id.key.ID))
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// exec runs a statement with values, whose memory is used again. Others do not wait
// for it.
func (ss *session) exec(query string, values []any) (result sql.Result, err error) {
	ss.args = values
	err = ss.beside(func() error {
		result, err = ss.stmt(query).ExecContext(ss.ctx, values...)
		return err
	})
	return result, err
}

// fold writes rows back to the table, those that have changed.
func (ss *session) fold(rows []*hotRow) error {
	if err := ss.begin(); err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r *hotRow) bool { return !r.changed })
	slices.SortFunc(rows, byPlace)
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
	ss.alone = true
	if err := ss.fold(slices.Collect(maps.Values(ss.hot.rows))); err != nil {
		return err
	}
	if ss.hot.entries != (entries{}) {
		if _, err := ss.exec(sqlTrim, append(ss.args[:0], int64(math.MaxInt64))); err != nil {
			return err
		}
	}
	ss.committed = append(ss.committed, func() { ss.hot.clear() })
	return nil
}

func (h *hot) clear() { *h = *newHot() }

// tidy writes back some of what rests, if that is much; some of what waits, if
// there is too much of it; or all, if the journal is too long.
func (ss *session) tidy() error {
	h := ss.hot
	if h.entries.bytes > ss.limits.journal {
		return ss.foldAll()
	}
	if len(h.rows) > ss.limits.rows {
		some := ss.limits.rows / 8
		back := h.wantedLast(some)
		if len(back) < some/2 {
			return ss.foldAll()
		}
		if err := ss.foldSome(back); err != nil {
			return err
		}
		return ss.trim(back)
	}
	over := h.resting.len() - ss.limits.resting
	if over < 0 {
		return nil
	}
	back, seen := h.resting.first(max(over, ss.limits.back), func(r *hotRow) bool {
		return h.rows[r.id] == r && r.rests(millisOf(time.Now()))
	})
	ss.committed = append(ss.committed, func() { h.resting.drop(seen) })
	if err := ss.foldSome(back); err != nil || seen < len(h.resting.pass) {
		return err // what is left of the pass is as old as what went back
	}
	return ss.trim(back)
}

// foldSome writes rows back. When the session's transaction is committed, they are
// no longer in memory.
func (ss *session) foldSome(back []*hotRow) error {
	if len(back) == 0 {
		return nil
	}
	for _, r := range back {
		ss.change(r, func() {}) // nobody is to lease what leaves
	}
	if err := ss.fold(slices.Clone(back)); err != nil {
		return err
	}
	ss.committed = append(ss.committed, func() {
		for _, r := range back {
			ss.hot.drop(r)
		}
		clear(ss.hot.cold) // the table has changed
	})
	return nil
}

// trim deletes what is in the journal before the first row in memory, but for those
// that have just gone back.
func (ss *session) trim(back []*hotRow) error {
	if err := ss.begin(); err != nil {
		return err
	}
	gone := make(map[*hotRow]bool, len(back))
	for _, r := range back {
		gone[r] = true
	}
	least := int64(math.MaxInt64)
	for _, r := range ss.hot.rows {
		if r.seq != 0 && r.seq < least && !gone[r] {
			least = r.seq
		}
	}
	if _, err := ss.exec(sqlTrim, append(ss.args[:0], least)); err != nil {
		return err
	}
	ss.committed = append(ss.committed, func() { ss.hot.entries.trim(least) })
	return nil
}

func blobOrNull(blob string) any {
	if blob == "" {
		return nil
	}
	return []byte(blob)
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
