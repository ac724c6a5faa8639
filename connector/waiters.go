package connector

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// waiters let a notification wait for its entity's reconcile, for a work store
// that is not durable: only then may it be acked.
type waiters struct {
	store work.Store

	mu   sync.Mutex
	rows map[rowID][]*waiter
}

type rowID struct {
	flow string
	key  entity.Key
}

type waiter struct {
	seq  int64
	due  time.Time
	done chan struct{}
}

// wait returns when a run that began at the mark's due time or later, and that
// had seen it, has succeeded or has parked the entity.
func (w *waiters) wait(ctx context.Context, m work.Mark, seq int64) error {
	id := rowID{m.Flow, m.Key}
	me := &waiter{seq: seq, due: m.Due.Truncate(time.Millisecond), done: make(chan struct{})}
	w.mu.Lock()
	w.rows[id] = append(w.rows[id], me)
	w.mu.Unlock()
	defer w.remove(id, me)

	// The run may have ended before the waiter stood in the list.
	row, _, err := w.store.Get(ctx, m.Flow, m.Key)
	if err != nil {
		return err
	}
	settled := row.Done >= seq || row.State == work.Parked && row.Dirty == seq
	if settled && !m.Due.After(time.Now()) {
		return nil
	}
	select {
	case <-me.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *waiters) remove(id rowID, me *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := slices.DeleteFunc(w.rows[id], func(other *waiter) bool { return other == me })
	if len(left) == 0 {
		delete(w.rows, id)
		return
	}
	w.rows[id] = left
}

// settled tells that the outcome of a run is stored.
func (w *waiters) settled(lease work.Lease, begun time.Time, result work.Result) {
	if result != work.Done && result != work.GaveUp {
		return
	}
	id := rowID{lease.Flow, lease.Key}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows[id] = slices.DeleteFunc(w.rows[id], func(one *waiter) bool {
		ready := one.seq <= lease.Dirty && !begun.Before(one.due)
		if ready {
			close(one.done)
		}
		return ready
	})
	if len(w.rows[id]) == 0 {
		delete(w.rows, id)
	}
}
