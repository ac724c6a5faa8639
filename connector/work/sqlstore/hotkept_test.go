package sqlstore

import (
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// keptRow is what the file must have of a row, however the process ends: all but
// marks for now that came while it had the row due anyway. Those that a crash took
// are counted in memory, where nobody crashes; all else is the same there.
type keptRow struct {
	row    work.Row             // as it had to be stored last
	owed   bool                 // it has to be stored as it is
	dirty  int64                // its number
	causes map[int64]work.Cause // of the marks, by their numbers
	// How much smaller Dirty and Done are than in memory.
	lost, lostDone int64
}

func (p *pair) keptOf(id rowID) *keptRow {
	if p.kept[id] == nil {
		p.kept[id] = &keptRow{causes: make(map[int64]work.Cause)}
	}
	return p.kept[id]
}

// mark notes a mark.
func (k *keptRow) mark(m work.Mark) {
	r, now := k.row, time.Now()
	due := !r.Due.IsZero() && !r.Due.After(now) && m.Priority <= r.Priority
	fresh := r.State != work.Parked && r.Attempts == 0 && r.Deferrals == 0 && r.FirstFailure.IsZero() && r.LastFailure.IsZero() && r.Group == ""
	if !due || !fresh || m.Due.After(now) {
		k.owed = true
	}
	k.dirty++
	m.Cause.Time = time.UnixMilli(m.Cause.Time.UnixMilli()).UTC()
	k.causes[k.dirty] = m.Cause
}

// as returns a row in memory as it must be in the database.
func (k *keptRow) as(r work.Row) work.Row {
	r.Dirty, r.Done, r.Cause = r.Dirty-k.lost, r.Done-k.lostDone, k.causes[k.dirty]
	return r
}

// store notes that what is owed has been stored.
func (p *pair) store() {
	for id, k := range p.kept {
		if !k.owed {
			continue
		}
		row, found, err := p.m.Get(rapidContext, id.flow, id.key)
		p.NoError(err)
		p.True(found)
		k.row, k.owed = k.as(row), false
	}
}

// storeAll notes that all has been stored, and what is no longer there.
func (p *pair) storeAll() {
	for id, k := range p.kept {
		_, found, err := p.m.Get(rapidContext, id.flow, id.key)
		p.NoError(err)
		if k.owed = true; !found {
			delete(p.kept, id)
		}
	}
	p.store()
}

// recovered compares the rows after a crash, but for those that are leased in
// memory, which it returns.
func (p *pair) recovered() (leased map[rowID]bool) {
	leased = make(map[rowID]bool)
	for id, k := range p.kept {
		want, found, err := p.m.Get(rapidContext, id.flow, id.key)
		p.NoError(err)
		p.True(found)
		got, found, err := p.s.Get(rapidContext, id.flow, id.key)
		p.NoError(err)
		p.True(found)
		p.GreaterOrEqual(got.Dirty, k.row.Dirty, "what had to be stored")
		p.LessOrEqual(got.Dirty, k.dirty)
		p.Equal(k.causes[got.Dirty], got.Cause)
		k.lost += k.dirty - got.Dirty
		k.dirty = got.Dirty
		if leased[id] = !want.LeaseUntil.IsZero(); !leased[id] {
			p.Equal(k.as(want), got)
		}
		k.row = got
	}
	return leased
}
