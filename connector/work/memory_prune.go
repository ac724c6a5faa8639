package work

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// PruneIdle implements Store.
func (m *Memory) PruneIdle(ctx context.Context, before time.Time, limit int) (int, error) {
	old := millisOf(before)
	return m.prune(ctx, limit, func(r *memoryRow, now millis) bool {
		return r.state(now) == Idle && !r.present && r.finished < old
	})
}

// PruneParked implements Store.
func (m *Memory) PruneParked(ctx context.Context, before time.Time, limit int) (int, error) {
	old := millisOf(before)
	return m.prune(ctx, limit, func(r *memoryRow, now millis) bool {
		return r.state(now) == Parked && len(r.later) == 0 && r.last < old
	})
}

// prune deletes at most limit rows of those that may go.
func (m *Memory) prune(ctx context.Context, limit int, may func(*memoryRow, millis) bool) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := millisOf(time.Now())
	pruned := 0
	for _, f := range m.flows {
		for _, r := range f.rows {
			if pruned >= limit {
				return pruned, nil
			}
			if may(r, now) {
				r.forget()
				pruned++
			}
		}
	}
	return pruned, nil
}

// forget deletes the row.
func (r *memoryRow) forget() {
	r.dequeue()
	delete(r.flow.rows, r.key)
}

// Forget implements Store.
func (m *Memory) Forget(ctx context.Context, key entity.Key) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := millisOf(time.Now())
	var rows []*memoryRow
	for _, f := range m.flows {
		r := f.rows[key]
		if r == nil {
			continue
		}
		if r.state(now) == Running {
			return 0, ErrRunning
		}
		rows = append(rows, r)
	}
	for _, r := range rows {
		r.forget()
	}
	return len(rows), nil
}
