package work

import (
	"cmp"
	"container/heap"
	"slices"
)

// queue holds the rows of one flow and one priority that wait for a time, as a
// heap: the first is the one that can be leased first. A row must not change
// while it is in a queue.
type queue struct {
	priority Priority
	rows     []*memoryRow
}

// Len implements heap.Interface.
func (q *queue) Len() int { return len(q.rows) }

// Less implements heap.Interface.
func (q *queue) Less(i, j int) bool { return q.rows[i].free().Before(q.rows[j].free()) }

// Swap implements heap.Interface.
func (q *queue) Swap(i, j int) {
	q.rows[i], q.rows[j] = q.rows[j], q.rows[i]
	q.rows[i].place, q.rows[j].place = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	r := x.(*memoryRow) //nolint:forcetypeassert // nothing else is pushed
	r.queue, r.place = q, len(q.rows)
	q.rows = append(q.rows, r)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(q.rows) - 1
	r := q.rows[last]
	q.rows[last] = nil
	q.rows = q.rows[:last]
	r.queue = nil
	return r
}

// changeLocked lets f change a row, outside its queue.
func (m *Memory) changeLocked(r *memoryRow, f func()) {
	if r.queue != nil {
		heap.Remove(r.queue, r.place)
	}
	f()
	if !r.free().IsZero() {
		heap.Push(m.queueLocked(r.Flow, r.Priority), r)
	}
}

// queueLocked returns the queue of a flow and priority. A flow's queues are
// kept highest priority first.
func (m *Memory) queueLocked(flow string, p Priority) *queue {
	queues := m.queues[flow]
	i, found := slices.BinarySearchFunc(queues, p, func(q *queue, p Priority) int { return cmp.Compare(p, q.priority) })
	if !found {
		queues = slices.Insert(queues, i, &queue{priority: p})
		m.queues[flow] = queues
	}
	return queues[i]
}
