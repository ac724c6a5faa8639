package storetest

import (
	"cmp"
	"slices"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// model is the contract once more, in another way than stores do it: a row
// remembers what is wanted of it, and all else is worked out when asked.
type model struct {
	rows map[modelID]*modelRow
}

type modelID struct {
	flow string
	key  entity.Key
}

type modelRow struct {
	// What is wanted: a mark for now, dates, and what the last run asked for. In
	// the course of a run, asked is the earliest date that was marked during it.
	marked time.Time
	dates  []time.Time
	asked  time.Time

	told   work.Row // the fields that are simply kept
	parked bool
	run    *work.Lease // nil: nobody has it
	owner  string
}

func newModel() *model { return &model{rows: make(map[modelID]*modelRow)} }

func first(times ...time.Time) time.Time {
	times = slices.DeleteFunc(slices.Clone(times), time.Time.IsZero)
	if len(times) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(times, time.Time.Compare)
}

// due is the earliest time that is wanted. Dates that were there before a run
// count again only after it.
func (r *modelRow) due() time.Time {
	if r.run != nil {
		return first(r.marked, r.asked)
	}
	return first(append([]time.Time{r.marked, r.asked}, r.dates...)...)
}

func (r *modelRow) free() time.Time {
	if r.run != nil {
		return r.run.Until
	}
	return r.due()
}

func (m *model) mark(mk work.Mark, now time.Time) int64 {
	id := modelID{mk.Flow, mk.Key}
	r := m.rows[id]
	if r == nil {
		r = &modelRow{told: work.Row{Flow: mk.Flow, Key: mk.Key, Priority: mk.Priority}}
		m.rows[id] = r
	}
	r.told.Dirty++
	r.told.Cause = mk.Cause
	if mk.Due.After(now) {
		r.dates = append(r.dates, mk.Due)
		if r.run != nil {
			r.asked = first(r.asked, mk.Due)
		}
		return r.told.Dirty
	}
	raises := r.run != nil || r.state(now) == work.Due || r.told.LastResult != "" && r.told.LastResult != work.Done
	if !raises || mk.Priority > r.told.Priority {
		r.told.Priority = mk.Priority
	}
	r.marked = first(r.marked, now)
	r.freshStart()
	return r.told.Dirty
}

func (r *modelRow) freshStart() {
	r.parked = false
	r.told.Attempts, r.told.Deferrals = 0, 0
	r.told.FirstFailure, r.told.LastFailure, r.told.Group = time.Time{}, time.Time{}, ""
}

// ready returns the rows that can be leased, in an order that the contract
// allows.
func (m *model) ready(flow string, order work.Order, now time.Time) (ready []*modelRow) {
	for _, r := range m.rows {
		if t := r.free(); r.told.Flow == flow && !t.IsZero() && !t.After(now) {
			ready = append(ready, r)
		}
	}
	slices.SortFunc(ready, func(a, b *modelRow) int { return a.rank(b, order) })
	return ready
}

func (r *modelRow) rank(o *modelRow, order work.Order) int {
	if order == work.ByAge {
		return r.free().Compare(o.free())
	}
	return cmp.Or(cmp.Compare(o.told.Priority, r.told.Priority), r.free().Compare(o.free()))
}

// lease gives the row to a run. It returns the lease without a token.
func (r *modelRow) lease(owner string, now time.Time, ttl time.Duration) work.Lease {
	due := r.free()
	if r.parked {
		r.freshStart()
	}
	r.marked, r.asked = time.Time{}, time.Time{}
	dates := len(r.dates)
	r.dates = slices.DeleteFunc(r.dates, func(t time.Time) bool { return !t.After(now) })
	if len(r.dates) < dates {
		r.told.Priority = max(r.told.Priority, work.Retry)
	}
	r.owner = owner
	r.run = &work.Lease{
		Flow: r.told.Flow, Key: r.told.Key, Until: now.Add(ttl), Dirty: r.told.Dirty, Done: r.told.Done, Due: due, Attempts: r.told.Attempts,
		Deferrals: r.told.Deferrals, FirstFailure: r.told.FirstFailure, Priority: r.told.Priority, Cause: r.told.Cause,
	}
	return *r.run
}

// held returns the row if the lease is its own.
func (m *model) held(l work.Lease) *modelRow {
	if r := m.rows[modelID{l.Flow, l.Key}]; r != nil && r.run != nil && r.run.Token == l.Token {
		return r
	}
	return nil
}

func (m *model) finish(o work.Outcome, now time.Time) error {
	r := m.held(o.Lease)
	if r == nil {
		return work.ErrLeaseLost
	}
	r.asked = o.Next
	switch o.Result {
	case work.Done:
		r.told.Done, r.told.Present, r.told.Applied = r.run.Dirty, o.Present, now
		r.told.Fingerprint = append([]byte(nil), o.Fingerprint...)
	case work.GaveUp:
		r.asked = time.Time{}
	default:
		if r.asked.IsZero() {
			r.asked = now
		}
	}
	if r.marked.IsZero() { // else the marks have the last word
		r.judge(o, now)
	}
	r.told.Finished, r.told.LastResult, r.told.Summary = now, o.Result, o.Summary
	r.run, r.owner = nil, ""
	for _, mk := range o.Marks {
		m.mark(mk, now)
	}
	return nil
}

func (r *modelRow) judge(o work.Outcome, now time.Time) {
	t, result := &r.told, o.Result
	if result == work.Done {
		r.freshStart()
		t.Priority = work.Live
	}
	if result == work.Deferred {
		t.Deferrals++
	}
	if result == work.Failed || result == work.GaveUp {
		t.Attempts++
		t.Deferrals = 0
		t.FirstFailure = first(t.FirstFailure, now)
		t.LastFailure, t.Group = now, o.Group
		t.Priority = min(t.Priority, work.Retry)
		r.parked = result == work.GaveUp
	}
}

// restart is what opening a store of one process does.
func (m *model) restart(now time.Time) {
	for _, r := range m.rows {
		if r.run != nil {
			r.asked = first(r.asked, now)
			r.run, r.owner = nil, ""
		}
	}
}

// row returns the row as Get gives it.
func (r *modelRow) row(now time.Time) work.Row {
	row := r.told
	row.Due = r.due()
	slices.SortFunc(r.dates, time.Time.Compare)
	row.Later = append(row.Later, slices.Compact(slices.Clone(r.dates))...)
	row.State = r.state(now)
	if r.run != nil {
		row.LeaseOwner, row.LeaseUntil = r.owner, r.run.Until
	}
	return row
}

func (r *modelRow) state(now time.Time) work.State {
	free := r.free()
	if r.parked {
		return work.Parked
	}
	if free.IsZero() {
		return work.Idle
	}
	if !free.After(now) {
		return work.Due
	}
	if r.run != nil {
		return work.Running
	}
	return work.Waiting
}

func (m *model) nextDue(flow string) (next time.Time) {
	for _, r := range m.rows {
		if r.told.Flow == flow {
			next = first(next, r.free())
		}
	}
	return next
}
