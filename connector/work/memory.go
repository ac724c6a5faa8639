package work

import (
	"container/heap"
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// Memory is a Store that lives as long as the process, for tests and trials. It
// keeps times as whole milliseconds, like a store in a database. Make one with
// NewMemory.
type Memory struct {
	secret []byte

	mu       sync.Mutex
	rows     map[id]*memoryRow
	queues   map[string][]*queue // of each flow
	rejected []Rejected
	serial   int64
}

type id struct {
	flow string
	key  entity.Key
}

// memoryRow is a Row plus what only the store needs. State is derived.
type memoryRow struct {
	Row
	token    string
	leased   int64 // Dirty at lease
	renewed  bool  // a mark for now came during the run
	isParked bool

	queue *queue // that the row is in, nil: it waits for nothing
	place int    // in the queue
}

// NewMemory returns an empty store with a random secret.
func NewMemory() *Memory {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	return &Memory{secret: secret, rows: make(map[id]*memoryRow), queues: make(map[string][]*queue)}
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

// Mark implements Store.
func (m *Memory) Mark(ctx context.Context, marks []Mark) ([]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := cut(time.Now())
	seqs := make([]int64, len(marks))
	for i, mk := range marks {
		k := id{mk.Flow, mk.Key}
		r := m.rows[k]
		if r == nil {
			r = &memoryRow{Row: Row{Flow: mk.Flow, Key: mk.Key, Priority: mk.Priority}}
			m.rows[k] = r
		}
		m.changeLocked(r, func() { r.mark(mk, now) })
		seqs[i] = r.Dirty
	}
	return seqs, nil
}

func (r *memoryRow) mark(mk Mark, now time.Time) {
	r.Dirty++
	r.Cause = mk.Cause
	r.Cause.Time = cut(mk.Cause.Time)
	if due := cut(mk.Due); due.After(now) {
		if i, found := slices.BinarySearchFunc(r.Later, due, time.Time.Compare); !found {
			r.Later = slices.Insert(r.Later, i, due)
		}
		r.Due = earliest(r.Due, due)
		return
	}
	if r.Due.IsZero() && r.token == "" {
		r.Priority = mk.Priority
	}
	r.Priority = max(r.Priority, mk.Priority)
	r.Due = earliest(r.Due, now)
	r.Attempts, r.Deferrals = 0, 0
	r.FirstFailure, r.LastFailure = time.Time{}, time.Time{}
	r.isParked = false
	r.renewed = r.token != ""
}

// earliest returns the earlier of two times, of which zero means none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// free returns since when the row can be leased, zero if never.
func (r *memoryRow) free() time.Time {
	if r.token != "" {
		return r.LeaseUntil
	}
	return r.Due
}

// Lease implements Store. A negative n counts as 0.
func (m *Memory) Lease(ctx context.Context, flow, owner string, n int, ttl time.Duration) ([]Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := cut(time.Now())
	var due []*memoryRow
	for _, q := range m.queues[flow] {
		for len(due) < n && q.Len() > 0 && !q.rows[0].free().After(now) {
			due = append(due, q.rows[0])
			heap.Pop(q)
		}
	}
	leases := make([]Lease, len(due))
	for i, r := range due {
		m.serial++
		m.changeLocked(r, func() { leases[i] = r.lease(owner, strconv.FormatInt(m.serial, 10), now, ttl) })
	}
	return leases, nil
}

func (r *memoryRow) lease(owner, token string, now time.Time, ttl time.Duration) Lease {
	if r.isParked {
		r.Attempts, r.Deferrals, r.isParked = 0, 0, false
		r.FirstFailure, r.LastFailure = time.Time{}, time.Time{}
	}
	for len(r.Later) > 0 && !r.Later[0].After(now) {
		r.Later = r.Later[1:]
	}
	r.Due = time.Time{}
	r.renewed = false
	r.token, r.leased = token, r.Dirty
	r.LeaseOwner, r.LeaseUntil = owner, cut(now.Add(ttl))
	return Lease{
		Flow: r.Flow, Key: r.Key, Token: token, Until: r.LeaseUntil,
		Dirty: r.Dirty, Attempts: r.Attempts, Deferrals: r.Deferrals,
		FirstFailure: r.FirstFailure, Priority: r.Priority, Cause: r.Cause,
	}
}

// heldLocked returns the row of a lease, nil if the lease is lost.
func (m *Memory) heldLocked(l Lease) *memoryRow {
	if r := m.rows[id{l.Flow, l.Key}]; r != nil && r.token != "" && r.token == l.Token {
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
	until := cut(time.Now().Add(ttl))
	errs := make([]error, len(leases))
	for i, l := range leases {
		if r := m.heldLocked(l); r != nil {
			m.changeLocked(r, func() { r.LeaseUntil = until })
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
	now := cut(time.Now())
	errs := make([]error, len(outcomes))
	for i, o := range outcomes {
		if r := m.heldLocked(o.Lease); r != nil {
			m.changeLocked(r, func() { r.finish(o, now) })
		} else {
			errs[i] = ErrLeaseLost
		}
	}
	return errs, nil
}

func (r *memoryRow) finish(o Outcome, now time.Time) {
	next := cut(o.Next)
	switch o.Result {
	case Done:
		r.Done, r.Present = r.leased, o.Present
	case GaveUp:
		next = time.Time{}
	default:
		if next.IsZero() {
			next = now
		}
	}
	if len(r.Later) > 0 {
		next = earliest(next, r.Later[0])
	}
	r.Due = earliest(r.Due, next)
	if !r.renewed {
		r.count(o.Result, now)
	}
	r.Finished, r.LastResult, r.Summary = now, o.Result, o.Summary
	r.token, r.LeaseOwner, r.LeaseUntil, r.renewed = "", "", time.Time{}, false
}

func (r *memoryRow) count(result Result, now time.Time) {
	switch result {
	case Done:
		r.Attempts, r.Deferrals, r.Priority = 0, 0, Live
		r.FirstFailure, r.LastFailure = time.Time{}, time.Time{}
	case Deferred:
		r.Deferrals++
	case Released:
	default:
		r.Attempts++
		r.Deferrals = 0
		r.Priority = min(r.Priority, Retry)
		r.FirstFailure = earliest(r.FirstFailure, now)
		r.LastFailure = now
		r.isParked = result == GaveUp
	}
}

// NextDue implements Store.
func (m *Memory) NextDue(ctx context.Context, flow string) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var next time.Time
	for _, q := range m.queues[flow] {
		if q.Len() > 0 {
			next = earliest(next, q.rows[0].free())
		}
	}
	return next, nil
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, flow string, key entity.Key) (Row, bool, error) {
	if err := ctx.Err(); err != nil {
		return Row{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[id{flow, key}]
	if r == nil {
		return Row{}, false, nil
	}
	row := r.Row
	row.State = r.state(cut(time.Now()))
	row.Later = append([]time.Time(nil), r.Later...) // nil if there are none
	return row, true, nil
}

func (r *memoryRow) state(now time.Time) State {
	switch {
	case r.token != "" && r.LeaseUntil.After(now):
		return Running
	case r.isParked:
		return Parked
	case !r.free().IsZero():
		return Due
	default:
		return Idle
	}
}

// Counts implements Store.
func (m *Memory) Counts(ctx context.Context) (map[string]map[State]int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := cut(time.Now())
	counts := make(map[string]map[State]int)
	for _, r := range m.rows {
		if counts[r.Flow] == nil {
			counts[r.Flow] = make(map[State]int)
		}
		counts[r.Flow][r.state(now)]++
	}
	return counts, ctx.Err()
}
