package sqlstore

import (
	"slices"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/internal/deadline"
)

// held are the rows whose leases this store has given out, and the marks for now
// that came while it had them. Such a mark is not written at once: the row is
// durable work already. If the process dies the lease ends, and whoever leases the
// row then begins its fetch after the mark came. So all marks of a run cost
// nothing, and what they come to is stored with its outcome.
//
// What keeps it right:
//   - A mark is taken in only if the lease was ours when it came. By our clock
//     the lease ends before it does in the database: it is counted from before
//     the database was asked, and a margin goes off. The clock is read after the
//     mark came; how long the process then stands still does not matter, for a
//     run of somebody else begins after the lease has ended, and so after the mark.
//   - Finish takes the row out before it asks the database. A mark that comes
//     afterwards is written to it, before or after the outcome as the row's lock
//     has it.
//   - Marks leave memory only when they are written: with an outcome that was
//     accepted, or as marks. Where a lease was lost they need not be, if all was
//     as it should be; but a database can be put back, and its clock set. They
//     are written all the same: one more run at most.
type held struct {
	mu    sync.Mutex
	rows  map[rowID]*heldRow
	owing map[rowID]*heldRow // those whose leases have ended
	ahead map[holder]*aheadQueue
	// sweep is when to look for leases that have ended, zero while there are none.
	sweep time.Time
}

// heldRow is a row with a lease, or with marks that are owed to the database.
type heldRow struct {
	token string    // empty if the lease has ended
	until time.Time // by our clock
	dirty int64     // as far as this store knows, without seen and marks
	seen  heldMarks // that came before its run
	marks heldMarks // that came since
	// written says that a mark was written during the run, after those seen.
	written bool

	ahead *aheadQueue // nil: it has a run
	due   time.Time   // since when it could be leased, if it has none
}

// owed returns all marks that were not written.
func (r *heldRow) owed() heldMarks { return r.seen.and(r.marks) }

// heldMarks is what marks for now of one row come to, none if n is 0.
type heldMarks struct {
	n     int64
	since time.Time // the first of them
	top   int32     // priority
	cause work.Cause
}

func (m heldMarks) and(later heldMarks) heldMarks {
	switch {
	case m.n == 0:
		return later
	case later.n == 0:
		return m
	}
	later.n += m.n
	later.top = max(later.top, m.top)
	if m.since.Before(later.since) {
		later.since = m.since
	}
	return later
}

// leaseMargin is which part of a lease is not counted on: clocks run at different
// speeds.
const leaseMargin = 6

// ends returns when a lease that is asked for now ends at the earliest.
func ends(asked time.Time, ttl time.Duration) time.Time { return asked.Add(ttl - ttl/leaseMargin) }

// holds reports whether the lease lasts.
func (r *heldRow) holds(now time.Time) bool {
	return r.token != "" && deadline.Left(now, r.until) > 0
}

// given notes leases that were asked for at a time.
func (h *held) given(leases []work.Lease, asked time.Time, ttl time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.givenLocked(leases, asked, ttl)
}

func (h *held) givenLocked(leases []work.Lease, asked time.Time, ttl time.Duration) {
	until := ends(asked, ttl)
	for _, l := range leases {
		id := rowID{l.Flow, l.Key}
		r := h.rowLocked(id)
		r.dequeue()
		r.token, r.until, r.dirty, r.written = l.Token, until, l.Dirty, false
		delete(h.owing, id)
	}
	if len(leases) > 0 {
		h.sweepLocked(until)
	}
}

func (h *held) sweepLocked(at time.Time) {
	if h.sweep.IsZero() || at.Before(h.sweep) {
		h.sweep = at
	}
}

func (h *held) rowLocked(id rowID) *heldRow {
	if h.rows == nil {
		h.rows = make(map[rowID]*heldRow)
	}
	r := h.rows[id]
	if r == nil {
		r = &heldRow{}
		h.rows[id] = r
	}
	return r
}

// limit has leases end at a time if they last longer.
func (h *held) limit(leases []work.Lease, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range leases {
		if r := h.rows[rowID{l.Flow, l.Key}]; r != nil && r.token == l.Token && until.Before(r.until) {
			r.until = until
			h.sweepLocked(until)
		}
	}
}

// renewed notes what came of renewing leases, which last until a time.
func (h *held) renewed(leases []work.Lease, errs []error, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, l := range leases {
		id := rowID{l.Flow, l.Key}
		r := h.rows[id]
		switch {
		case r == nil || r.token != l.Token:
		case errs[i] == nil:
			r.until = until
		default:
			h.endLocked(id, r)
		}
	}
}

// endLocked notes that a lease has ended.
func (h *held) endLocked(id rowID, r *heldRow) {
	r.dequeue()
	if r.token = ""; r.owed().n == 0 {
		delete(h.rows, id)
		return
	}
	h.oweLocked(id, r)
}

func (h *held) oweLocked(id rowID, r *heldRow) {
	if h.owing == nil {
		h.owing = make(map[rowID]*heldRow)
	}
	h.owing[id] = r
}

// absorb takes in those marks of a batch that need not be written, and moves to
// the batch what memory has of the others' rows. It returns the rows that it took in, with
// what they were.
func (h *held) absorb(b *batch, now time.Time) (taken []absorbedRow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rows) == 0 {
		return nil
	}
	b.rows = slices.DeleteFunc(b.rows, func(r *markedRow) bool {
		row := h.rows[r.id]
		if row == nil {
			return false
		}
		if len(r.dated) > 0 || !row.holds(now) {
			h.moveLocked(r, row)
			return false
		}
		was := row.marks
		row.marks = was.and(heldMarks{n: r.marks, since: now, top: *r.top, cause: r.cause})
		r.dirty = row.dirty + row.owed().n
		taken = append(taken, absorbedRow{row, was, row.marks})
		return true
	})
	return taken
}

// absorbedRow is a row that marks were taken in for.
type absorbedRow struct {
	row     *heldRow
	was, is heldMarks
}

// restore undoes absorb for a call that fails, as far as the marks have not gone on.
func (h *held) restore(taken []absorbedRow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range taken {
		if t.row.marks == t.is {
			t.row.marks = t.was
		}
	}
}

// move moves to a batch what memory has of its rows.
func (h *held) move(b *batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range b.rows {
		if row := h.rows[r.id]; row != nil {
			h.moveLocked(r, row)
		}
	}
}

// moveLocked adds what memory has of a row to a batch's. What its run has seen
// stays, and is stored with the outcome.
func (h *held) moveLocked(r *markedRow, row *heldRow) {
	if row.token == "" {
		r.held = row.owed()
		delete(h.rows, r.id)
		delete(h.owing, r.id)
		return
	}
	r.held, row.marks = row.marks, heldMarks{}
	row.dirty += r.held.n
	row.written = true
}

// take returns the marks of rows as a batch to write: of those that are wanted, or
// with nil of those whose leases have ended.
func (h *held) take(wanted func(rowID) bool) *batch {
	h.mu.Lock()
	defer h.mu.Unlock()
	rows := h.rows
	if wanted == nil {
		rows = h.owing
	}
	b := &batch{}
	if len(rows) > 0 {
		b.byID = make(map[rowID]*markedRow)
	}
	for id, row := range rows {
		if row.token != "" && row.marks.n == 0 || wanted != nil && !wanted(id) {
			continue
		}
		if row.owed().n == 0 { // they were taken back, see restore
			delete(h.rows, id)
			delete(h.owing, id)
			continue
		}
		r := &markedRow{id: id}
		h.moveLocked(r, row)
		r.cause = r.held.cause
		b.byID[id] = r
		b.rows = append(b.rows, r)
	}
	b.sort()
	return b
}

// expire notes which leases have ended.
func (h *held) expire(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sweep.IsZero() || now.Before(h.sweep) {
		return
	}
	h.sweep = time.Time{}
	for id, r := range h.rows {
		switch {
		case r.token == "":
		case !r.holds(now):
			h.endLocked(id, r)
		default:
			h.sweepLocked(r.until)
		}
	}
}

// wrote notes the numbers that a batch's rows now have.
func (h *held) wrote(b *batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range b.rows {
		if row := h.rows[r.id]; row != nil {
			row.dirty = max(row.dirty, r.dirty)
			r.dirty += row.seen.n
		}
	}
}

// takeBack takes back what was moved to rows of a batch that could not be written.
func (h *held) takeBack(rows []*markedRow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range rows {
		h.unwrittenLocked(r.id, r.held)
		r.held = heldMarks{}
	}
}

// unwrittenLocked keeps marks that were to be written and were not, or perhaps were.
func (h *held) unwrittenLocked(id rowID, marks heldMarks) {
	if marks.n == 0 {
		return
	}
	row := h.rowLocked(id)
	row.dirty = max(0, row.dirty-marks.n)
	row.marks = marks.and(row.marks)
	if row.token == "" {
		h.oweLocked(id, row)
	}
}

// runMarks are the marks of a run that were not written: those that it has seen,
// and those that came during it.
type runMarks struct {
	seen, marks heldMarks
	written     bool // a mark was written after those seen
	older       bool // than a mark that another outcome of the call has made
}

// ending takes out the rows of leases that are to be finished, with their marks:
// from now on marks of these rows are written. So are those owed from before.
func (h *held) ending(outcomes []work.Outcome) []runMarks {
	h.mu.Lock()
	defer h.mu.Unlock()
	var marks []runMarks // nil if there are none
	for i, o := range outcomes {
		id := rowID{o.Lease.Flow, o.Lease.Key}
		row := h.rows[id]
		if row == nil || row.token != "" && row.token != o.Lease.Token {
			continue
		}
		row.dequeue()
		delete(h.rows, id)
		delete(h.owing, id)
		if row.owed().n == 0 {
			continue
		}
		if marks == nil {
			marks = make([]runMarks, len(outcomes))
		}
		marks[i] = runMarks{seen: row.seen, marks: row.marks, written: row.written}
	}
	return marks
}

// owe keeps the marks of outcomes that were not stored with them.
func (h *held) owe(outcomes []work.Outcome, marks []runMarks, stored func(i int) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, m := range marks {
		if !stored(i) {
			h.unwrittenLocked(rowID{outcomes[i].Lease.Flow, outcomes[i].Lease.Key}, m.seen.and(m.marks))
		}
	}
}
