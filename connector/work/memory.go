package work

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// Memory is a Store that lives as long as the process, for tests and trials. It
// keeps times as whole milliseconds, like a store in a database. Methods that
// list, count or prune look at every row. Make one with NewMemory.
type Memory struct {
	secret []byte

	mu       sync.Mutex
	flows    map[string]*memoryFlow
	rejected []Rejected
	serial   int64
}

// memoryFlow holds the rows of one flow.
type memoryFlow struct {
	name   string
	rows   map[entity.Key]*memoryRow
	queues []*queue // one for each priority, highest first
}

// NewMemory returns an empty store with a random secret.
func NewMemory() *Memory {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	return &Memory{secret: secret, flows: make(map[string]*memoryFlow)}
}

// Durable returns false.
func (m *Memory) Durable() bool { return false }

// Shared returns false.
func (m *Memory) Shared() bool { return false }

// Secret implements Store.
func (m *Memory) Secret(ctx context.Context) ([]byte, error) {
	return slices.Clone(m.secret), ctx.Err()
}

// cut returns a time as the store keeps it.
func cut(t time.Time) time.Time { return t.Truncate(time.Millisecond).UTC() }

// rowLocked returns a row, nil if there is none.
func (m *Memory) rowLocked(flow string, key entity.Key) *memoryRow {
	if f := m.flows[flow]; f != nil {
		return f.rows[key]
	}
	return nil
}

// Mark implements Store.
func (m *Memory) Mark(ctx context.Context, marks []Mark) ([]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.markLocked(marks, millisOf(time.Now())), nil
}

func (m *Memory) markLocked(marks []Mark, now millis) []int64 {
	seqs := make([]int64, len(marks))
	for i, mk := range marks {
		f := m.flows[mk.Flow]
		if f == nil {
			f = &memoryFlow{name: mk.Flow, rows: make(map[entity.Key]*memoryRow)}
			m.flows[mk.Flow] = f
		}
		r := f.rows[mk.Key]
		if r == nil {
			r = newMemoryRow(f, mk)
			f.rows[r.key] = r
		}
		r.mark(mk, now)
		r.enqueue()
		seqs[i] = r.dirty
	}
	return seqs
}

// Lease implements Store.
func (m *Memory) Lease(ctx context.Context, req LeaseRequest) ([]Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flows[req.Flow]
	if f == nil {
		return nil, nil
	}
	now := time.Now()
	var due []*memoryRow
	since := millisOf(now.Add(-max(0, req.Waited)))
	for len(due) < req.N {
		r := f.pop(req.Order, since)
		if r == nil {
			break
		}
		due = append(due, r)
	}
	leases := make([]Lease, len(due))
	for i, r := range due {
		m.serial++
		leases[i] = r.lease(req.Owner, strconv.FormatInt(m.serial, 10), millisOf(now), millisOf(now.Add(req.TTL)))
		r.enqueue()
	}
	return leases, nil
}

// heldLocked returns the row of a lease, nil if the lease is lost.
func (m *Memory) heldLocked(l Lease) *memoryRow {
	if r := m.rowLocked(l.Flow, l.Key); r != nil && r.token != "" && r.token == l.Token {
		return r
	}
	return nil
}

// Renew implements Store.
func (m *Memory) Renew(ctx context.Context, leases []Lease, ttl time.Duration) ([]error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	until := millisOf(time.Now().Add(ttl))
	errs := make([]error, len(leases))
	for i, l := range leases {
		if r := m.heldLocked(l); r != nil {
			r.until = until
			r.enqueue()
		} else {
			errs[i] = ErrLeaseLost
		}
	}
	return errs, nil
}

// Finish implements Store.
func (m *Memory) Finish(ctx context.Context, outcomes []Outcome) ([]error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := millisOf(time.Now())
	errs := make([]error, len(outcomes))
	for i, o := range outcomes {
		if r := m.heldLocked(o.Lease); r != nil {
			r.finish(o, now)
			r.enqueue()
			m.markLocked(o.Marks, now)
		} else {
			errs[i] = ErrLeaseLost
		}
	}
	return errs, nil
}

// NextDue implements Store.
func (m *Memory) NextDue(ctx context.Context, flow string) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var next millis
	if f := m.flows[flow]; f != nil {
		for _, q := range f.queues {
			if q.Len() > 0 {
				next = earliest(next, q.rows[0].free())
			}
		}
	}
	return next.time(), nil
}
