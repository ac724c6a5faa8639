package sqlstore

import (
	"container/heap"
	"database/sql"
	"encoding/json"
	"math"
	"slices"

	"github.com/konnektor-go/konnektor/connector/work"
)

// coldQueue goes through the table's rows of one flow and one priority that wait
// for a time, in the order of these, without those that are in memory. The table
// does not change meanwhile.
type coldQueue struct {
	flow     string
	priority int64
	next     []coldRow
	last     coldRow // that was read
	all      bool    // were read
}

// coldRow is a row of the table that can be leased since a time.
type coldRow struct {
	rid   int64
	since int64 // milliseconds since 1970
}

// coldPage is how many rows a queue reads at once.
const coldPage = 100

// sqlCold reads the next rows of a queue.
const sqlCold = `SELECT rid, ` + ready + ` FROM konnektor_work
WHERE flow = $1 AND priority = $2 AND ` + ready + ` >= $3 AND (` + ready + ` > $3 OR rid > $4)
ORDER BY ` + ready + `, rid LIMIT $5`

// coldQueues returns a flow's queues, that of the highest priority first.
func (ss *session) coldQueues(flow string) ([]*coldQueue, error) {
	queues, known := ss.hot.cold[flow]
	if known {
		return queues, nil
	}
	if err := ss.begin(); err != nil {
		return nil, err
	}
	levels, err := ss.numbers(sqlLevels, flow)
	if err != nil {
		return nil, err
	}
	queues = make([]*coldQueue, len(levels))
	for i, p := range levels {
		queues[i] = &coldQueue{flow: flow, priority: p, last: coldRow{since: math.MinInt64}}
	}
	ss.hot.cold[flow] = queues
	return queues, nil
}

// first returns a queue's first row, nil if there is none.
func (ss *session) first(q *coldQueue) (*coldRow, error) {
	for {
		for len(q.next) > 0 {
			if ss.hot.byRID[q.next[0].rid] == nil {
				return &q.next[0], nil
			}
			q.next = q.next[1:]
		}
		if q.all {
			return nil, nil //nolint:nilnil // there is none
		}
		if err := ss.begin(); err != nil {
			return nil, err
		}
		rows, err := collect(ss, func(rows *sql.Rows, r *coldRow) error { return rows.Scan(&r.rid, &r.since) },
			sqlCold, q.flow, q.priority, q.last.since, q.last.rid, coldPage)
		if err != nil {
			return nil, err
		}
		q.next, q.all = rows, len(rows) < coldPage
		if len(rows) > 0 {
			q.last = rows[len(rows)-1]
		}
	}
}

// pick is a row to be leased: in memory, or in the table.
type pick struct {
	row *hotRow
	rid int64
}

// picks takes the rows that a request is to be given out of their queues, and
// reads those of the table.
func (ss *session) picks(req work.LeaseRequest, until millis) (picked []pick, err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, p := range picked { // back to where they were
			if p.row != nil {
				ss.hot.enqueue(p.row)
			}
		}
		if ss.conn != nil {
			delete(ss.hot.cold, req.Flow)
		}
	}()
	var cold []int64
	for len(picked) < req.N {
		p, err := ss.pick(req, until)
		if err != nil {
			return picked, err
		}
		if p == (pick{}) {
			break
		}
		if p.row == nil {
			cold = append(cold, p.rid)
		}
		picked = append(picked, p)
	}
	if len(cold) == 0 {
		return picked, nil
	}
	text, _ := json.Marshal(cold) // numbers always encode
	loaded, err := ss.read(sqlHotByRID, string(text))
	if err != nil {
		return picked, err
	}
	byRID := make(map[int64]*hotRow, len(loaded))
	for _, r := range loaded {
		byRID[r.rid] = r
	}
	for i, p := range picked {
		if p.row == nil {
			picked[i].row = byRID[p.rid]
		}
	}
	// What was in memory all the same has its place there.
	return slices.DeleteFunc(picked, func(p pick) bool { return p.row == nil }), nil
}

// pick takes the best row out of its queue, nothing if none is due.
func (ss *session) pick(req work.LeaseRequest, until millis) (best pick, err error) {
	var from *hotQueue
	var coldFrom *coldQueue
	var priority int64
	var since millis
	better := func(p int64, s millis) bool {
		return from == nil && coldFrom == nil || req.Order != work.ByAge && p > priority ||
			(req.Order == work.ByAge || p == priority) && s <= since
	}
	queues, err := ss.coldQueues(req.Flow)
	if err != nil {
		return best, err
	}
	for _, q := range queues {
		r, err := ss.first(q)
		if err != nil {
			return best, err
		}
		if r == nil {
			continue
		}
		if s := millis(r.since - zeroMillis); s <= until && better(q.priority, s) {
			coldFrom, priority, since = q, q.priority, s
		}
	}
	if f := ss.hot.flows[req.Flow]; f != nil { // after the table was read: others may have leased meanwhile
		for _, q := range *f {
			if q.Len() > 0 && q.rows[0].free() <= until && better(int64(q.priority), q.rows[0].free()) {
				from, coldFrom, priority, since = q, nil, int64(q.priority), q.rows[0].free()
			}
		}
	}
	switch {
	case coldFrom != nil && ss.conn == nil:
		return best, errNeedsFile
	case coldFrom != nil:
		best.rid = coldFrom.next[0].rid
		coldFrom.next = coldFrom.next[1:]
	case from != nil:
		best.row = heap.Pop(from).(*hotRow) //nolint:forcetypeassert // nothing else is in it
	}
	return best, nil
}
