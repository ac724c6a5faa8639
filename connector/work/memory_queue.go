package work

import (
	"cmp"
	"container/heap"
	"slices"
)

// queue holds the rows of one flow and one priority that wait for a time, as a
// heap: the first is the one that can be leased first.
type queue struct {
	priority Priority
	rows     []*memoryRow
}

// Len implements heap.Interface.
func (q *queue) Len() int { return len(q.rows) }

// Less implements heap.Interface.
func (q *queue) Less(i, j int) bool { return q.rows[i].free() < q.rows[j].free() }

// Swap implements heap.Interface.
func (q *queue) Swap(i, j int) {
	q.rows[i], q.rows[j] = q.rows[j], q.rows[i]
	q.rows[i].place, q.rows[j].place = int32(i), int32(j)
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	r := x.(*memoryRow) //nolint:forcetypeassert // nothing else is pushed
	r.queue, r.place = q, int32(len(q.rows))
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

// enqueue brings a row that has changed to its place: in the queue of its
// priority, or in none. It must follow every change, before the next row's.
func (r *memoryRow) enqueue() {
	var q *queue
	if r.free() != 0 {
		q = r.flow.queue(r.priority)
	}
	if q != nil && q == r.queue {
		heap.Fix(q, int(r.place))
		return
	}
	r.dequeue()
	if q != nil {
		heap.Push(q, r)
	}
	r.settle()
}

func (r *memoryRow) dequeue() {
	if r.queue != nil {
		heap.Remove(r.queue, int(r.place))
	}
}

// queue returns the queue of a priority.
func (f *memoryFlow) queue(p Priority) *queue {
	i, found := slices.BinarySearchFunc(f.queues, p, func(q *queue, p Priority) int { return cmp.Compare(p, q.priority) })
	if !found {
		f.queues = slices.Insert(f.queues, i, &queue{priority: p})
	}
	return f.queues[i]
}

// pop takes the first row that can be leased out of its queue, nil if there is
// none.
func (f *memoryFlow) pop(order Order, now millis) *memoryRow {
	var first *queue
	for _, q := range f.queues {
		if q.Len() == 0 || q.rows[0].free() > now {
			continue
		}
		if first == nil || q.rows[0].free() < first.rows[0].free() {
			first = q
		}
		if order != ByAge {
			break
		}
	}
	if first == nil {
		return nil
	}
	return heap.Pop(first).(*memoryRow) //nolint:forcetypeassert // nothing else is in it
}
