package sqlstore

import (
	"database/sql"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// hot are the rows with which something happens: for as long as that is so, they
// live in memory. What marks and outcomes make of them is appended to the
// journal, which is much cheaper than to change a row in its place and in the
// indexes, and makes it durable. Leases are in memory alone: the process has the
// file for itself, and with the process its runs are dead.
//
// Rows go back to the table when they rest, and all of them before anything else
// reads or changes it. The journal's entries can go when all rows in them are
// back. Where a row is in memory, the table's is out of date.
//
// Who has the store's memory mutex has hot. While the file is at work the mutex is
// free, see [session.beside], and others lease rows that the call has not changed.
type hot struct {
	rows    map[rowID]*hotRow
	byRID   map[int64]*hotRow
	flows   map[string]*hotFlow
	cold    map[string][]*coldQueue // by flow, as far as they were read
	resting resting

	entries entries
	before  []before // empty, to be used again
}

func newHot() *hot {
	return &hot{
		rows: make(map[rowID]*hotRow), byRID: make(map[int64]*hotRow),
		flows: make(map[string]*hotFlow), cold: make(map[string][]*coldQueue),
	}
}

func (h *hot) add(r *hotRow) {
	h.rows[r.id] = r
	if r.rid != 0 {
		h.byRID[r.rid] = r
	}
	h.enqueue(r)
}

func (h *hot) drop(r *hotRow) {
	delete(h.rows, r.id)
	delete(h.byRID, r.rid)
	r.dequeue()
}

const (
	hotColumns = `rid, flow, type, id, dirty, done, due, priority, attempts, deferrals, first_failure, last_failure, failure_group,
	parked, present, applied, fingerprint, finished, last_result, summary,
	cause_kind, cause_event_id, cause_time, cause_routing_key, cause_trace, cause_hops,
	token, lease_owner, lease_until, leased, renewed,
	(SELECT group_concat(at) FROM konnektor_later WHERE konnektor_later.rid = konnektor_work.rid)`

	// The lists are JSON.
	sqlHotByID = `SELECT ` + hotColumns + ` FROM konnektor_work
WHERE flow = $1 AND type = $2 AND id IN (SELECT value FROM json_each($3))`

	sqlHotByRID = `SELECT ` + hotColumns + ` FROM konnektor_work
WHERE rid IN (SELECT value FROM json_each($1))`
)

// load reads rows of the table that are not in memory. Rows may come twice in ids.
func (ss *session) load(ids []rowID) error {
	type group struct{ flow, typ string }
	groups := make(map[group][]string)
	for _, id := range ids {
		if ss.hot.rows[id] == nil {
			g := group{id.flow, id.key.Type}
			groups[g] = append(groups[g], id.key.ID)
		}
	}
	for g, list := range groups {
		text, _ := json.Marshal(list) // strings always encode
		if _, err := ss.read(sqlHotByID, g.flow, g.typ, string(text)); err != nil {
			return err
		}
	}
	return nil
}

// read reads rows of the table into memory, and returns those that were not there.
func (ss *session) read(query string, args ...any) (loaded []*hotRow, err error) {
	if err := ss.begin(); err != nil {
		return nil, err
	}
	found, err := collect(ss, scanHot, query, args...)
	now := millisOf(time.Now())
	for i := range found {
		r := &found[i]
		if known := ss.hot.rows[r.id]; known != nil { // a commit that had failed put it there
			known.rid = r.rid
			ss.hot.byRID[r.rid] = known
			continue
		}
		loaded = append(loaded, r)
		r.kept = r.promise()
		ss.hot.add(r)
		if r.rests(now) { // or it would stay, if nothing happens with it
			ss.hot.resting.add(r)
		}
	}
	return loaded, err
}

func scanHot(rows *sql.Rows, r *hotRow) error {
	var due, until, first, last, applied, finished, caused stamp
	var token, later sql.NullString
	var fingerprint []byte
	err := rows.Scan(&r.rid, &r.id.flow, &r.id.key.Type, &r.id.key.ID, &r.dirty, &r.done, &due, &r.priority, &r.attempts, &r.deferrals,
		&first, &last, &r.group, &r.parked, &r.present, &applied, &fingerprint, &finished, &r.result, &r.summary,
		&r.cause.Kind, &r.cause.EventID, &caused, &r.cause.RoutingKey, &r.cause.Trace, &r.cause.Hops,
		&token, &r.owner, &until, &r.leased, &r.renewed, &later)
	if err != nil {
		return err
	}
	for _, t := range []struct {
		to   *millis
		from stamp
	}{
		{&r.due, due}, {&r.until, until}, {&r.first, first}, {&r.last, last}, {&r.applied, applied},
		{&r.finished, finished}, {&r.caused, caused},
	} {
		*t.to = t.from.since()
	}
	r.token, r.fingerprint = token.String, string(fingerprint)
	if later.String == "" {
		return nil
	}
	for text := range strings.SplitSeq(later.String, ",") {
		at, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		r.later = append(r.later, millis(at-zeroMillis))
	}
	slices.Sort(r.later)
	return nil
}

// before is a row as it was before a session.
type before struct {
	row *hotRow
	rowState
	changed, dated bool
	seq            int64
}

// change lets f change a row in memory, which is undone if the session's
// transaction fails. Until it has ended, nobody can lease the row.
func (ss *session) change(r *hotRow, f func()) {
	if !r.touched {
		r.touched = true
		ss.before = append(ss.before, before{r, r.rowState, r.changed, r.dated, r.seq})
	}
	r.dequeue()
	f()
}

// undo makes the rows in memory what they were. The file may have what it could
// not confirm: nothing is taken for kept, and no row for one that the table has not
// got.
func (ss *session) undo() {
	for _, r := range ss.hot.rows {
		r.kept, r.made = promise{}, false
	}
	for i := range ss.before {
		was := &ss.before[i]
		r := was.row
		r.rowState, r.changed, r.dated, r.seq = was.rowState, was.changed, was.dated, was.seq
		r.touched, r.owed = false, false
		if r.dirty == 0 { // it was made just now
			ss.hot.drop(r)
		} else {
			ss.hot.enqueue(r)
			ss.hot.resting.add(r)
		}
	}
}

// done does in memory what is to be done after the session's transaction.
func (ss *session) done() {
	for _, do := range ss.committed {
		do()
	}
	for i := range ss.before {
		r := ss.before[i].row
		r.touched, r.owed = false, false
		if ss.hot.rows[r.id] == r {
			ss.hot.enqueue(r)
		}
	}
}

// end leaves its memory to the next session.
func (ss *session) end() {
	clear(ss.before)
	ss.hot.before = ss.before[:0]
}

// held returns the row of a lease, nil if the lease is lost.
func (ss *session) held(l work.Lease) *hotRow {
	if r := ss.hot.rows[rowID{l.Flow, l.Key}]; r != nil && r.token != "" && r.token == l.Token {
		return r
	}
	return nil
}
