package work

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Reject implements Store.
func (m *Memory) Reject(ctx context.Context, rejected []Rejected) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rejected {
		m.serial++
		r = r.clone()
		r.ID = strconv.FormatInt(m.serial, 10)
		r.Received = cut(r.Received)
		m.rejected = append(m.rejected, r)
	}
	return nil
}

func (r Rejected) clone() Rejected {
	r.Payload = slices.Clone(r.Payload)
	r.Metadata = maps.Clone(r.Metadata)
	return r
}

// findRejectedLocked returns the place of a message in the list, which is in
// the order of the IDs, or the one where it would stand.
func (m *Memory) findRejectedLocked(id string) (place int, found bool) {
	return slices.BinarySearchFunc(m.rejected, id, func(r Rejected, id string) int {
		// IDs are whole numbers in decimal.
		return cmp.Or(cmp.Compare(len(r.ID), len(id)), cmp.Compare(r.ID, id))
	})
}

// ListRejected implements Store.
func (m *Memory) ListRejected(ctx context.Context, before string, limit int) ([]Rejected, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	older := m.rejected
	if before != "" {
		place, _ := m.findRejectedLocked(before)
		older = older[:place]
	}
	var newest []Rejected
	for _, r := range slices.Backward(older) {
		if len(newest) >= limit {
			break
		}
		newest = append(newest, r.clone())
	}
	return newest, nil
}

// GetRejected implements Store.
func (m *Memory) GetRejected(ctx context.Context, id string) (Rejected, bool, error) {
	if err := ctx.Err(); err != nil {
		return Rejected{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	place, found := m.findRejectedLocked(id)
	if !found {
		return Rejected{}, false, nil
	}
	return m.rejected[place].clone(), true, nil
}

// DeleteRejected implements Store.
func (m *Memory) DeleteRejected(ctx context.Context, ids []string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.rejected)
	for _, id := range ids {
		if place, found := m.findRejectedLocked(id); found {
			m.rejected = slices.Delete(m.rejected, place, place+1)
		}
	}
	return before - len(m.rejected), nil
}

// PruneRejected implements Store.
func (m *Memory) PruneRejected(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	pruned := 0
	m.rejected = slices.DeleteFunc(m.rejected, func(r Rejected) bool {
		old := pruned < limit && !r.Received.IsZero() && r.Received.Before(cut(before))
		if old {
			pruned++
		}
		return old
	})
	return pruned, nil
}
