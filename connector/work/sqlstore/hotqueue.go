package sqlstore

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/konnektor-go/konnektor/connector/work"
)

// hotQueue holds the rows in memory of one flow and one priority that wait for a
// time, as a heap: the first is the one that can be leased first.
type hotQueue struct {
	priority work.Priority
	rows     []*hotRow
}

// Len implements heap.Interface.
func (q *hotQueue) Len() int { return len(q.rows) }

// Less implements heap.Interface.
func (q *hotQueue) Less(i, j int) bool { return q.rows[i].free() < q.rows[j].free() }

// Swap implements heap.Interface.
func (q *hotQueue) Swap(i, j int) {
	q.rows[i], q.rows[j] = q.rows[j], q.rows[i]
	q.rows[i].place, q.rows[j].place = i, j
}

// Push implements heap.Interface.
func (q *hotQueue) Push(x any) {
	r := x.(*hotRow) //nolint:forcetypeassert // nothing else is pushed
	r.queue, r.place = q, len(q.rows)
	q.rows = append(q.rows, r)
}

// Pop implements heap.Interface.
func (q *hotQueue) Pop() any {
	last := len(q.rows) - 1
	r := q.rows[last]
	q.rows[last] = nil
	q.rows = q.rows[:last]
	r.queue = nil
	return r
}

// hotFlow are the queues of a flow, that of the highest priority first.
type hotFlow []*hotQueue

func (f *hotFlow) queue(p work.Priority) *hotQueue {
	i, found := slices.BinarySearchFunc(*f, p, func(q *hotQueue, p work.Priority) int { return cmp.Compare(p, q.priority) })
	if !found {
		*f = slices.Insert(*f, i, &hotQueue{priority: p})
	}
	return (*f)[i]
}

// enqueue brings a row that is in no queue into that of its priority, if it waits
// for a time. Rows do not change while they are in a queue.
func (h *hot) enqueue(r *hotRow) {
	if r.free() == 0 {
		return
	}
	f := h.flows[r.id.flow]
	if f == nil {
		f = new(hotFlow)
		h.flows[r.id.flow] = f
	}
	heap.Push(f.queue(r.priority), r)
}

func (r *hotRow) dequeue() {
	if r.queue != nil {
		heap.Remove(r.queue, r.place)
	}
}
