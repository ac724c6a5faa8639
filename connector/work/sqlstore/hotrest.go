package sqlstore

import (
	"cmp"
	"slices"
)

// resting are rows in memory with which nothing is to be done soon. They go back
// to the table in passes, each in the order of the table: rows that are neighbours
// there, or in its index, go together, and a page that has several is written once
// for all of them.
type resting struct {
	pass []*hotRow // what is left of the pass
	next []*hotRow // that have come to rest since it began
}

func (q *resting) len() int { return len(q.pass) + len(q.next) }

// add adds a row that has come to rest, unless it is there.
func (q *resting) add(r *hotRow) {
	if !r.listed {
		r.listed = true
		q.next = append(q.next, r)
	}
}

// first returns the pass's first n rows that still rest, or all of them, and how
// many of the pass it has looked at for that.
func (q *resting) first(n int, rests func(*hotRow) bool) (rows []*hotRow, seen int) {
	if len(q.pass) == 0 {
		slices.SortFunc(q.next, byPlace)
		q.pass, q.next = q.next, nil
	}
	for _, r := range q.pass {
		if len(rows) >= n {
			break
		}
		if rests(r) {
			rows = append(rows, r)
		}
		seen++
	}
	return rows, seen
}

// drop forgets the pass's first n rows.
func (q *resting) drop(n int) {
	for _, r := range q.pass[:n] {
		r.listed = false
	}
	clear(q.pass[:n])
	q.pass = q.pass[n:]
}

// byPlace is the order of rows in the table, and in its index those that are new.
func byPlace(a, b *hotRow) int { return cmp.Or(cmp.Compare(a.rid, b.rid), a.id.compare(b.id)) }

// wantedLast returns about n rows that wait to be leased, of those that will be
// leased last. What stands at the end of a heap is among the last half of it.
func (h *hot) wantedLast(n int) (rows []*hotRow) {
	var queues []*hotQueue
	for _, f := range h.flows {
		queues = append(queues, *f...)
	}
	slices.SortFunc(queues, func(a, b *hotQueue) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(b.Len(), a.Len()))
	})
	for _, q := range queues {
		for _, r := range slices.Backward(q.rows[q.Len()/2:]) {
			if len(rows) == n {
				return rows
			}
			if r.token == "" {
				rows = append(rows, r)
			}
		}
	}
	return rows
}
