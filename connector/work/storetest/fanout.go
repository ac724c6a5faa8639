package storetest

import (
	"strconv"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// inGroups returns a mark of a row of another flow.
func inGroups(id string) work.Mark { return work.Mark{Flow: "groups", Key: key(id)} }

// leaseGroups leases all rows of that flow that are due.
func (e *env) leaseGroups() []work.Lease {
	return e.leaseOf(work.LeaseRequest{Flow: "groups", N: 1000, TTL: time.Hour})
}

var fanOutCases = []testCase{
	{"FanOut/marks are made with the outcome", func(e *env) {
		for _, result := range []work.Result{work.Done, work.Failed, work.Deferred, work.Released, work.GaveUp} {
			id := string(result)
			m := inGroups(id)
			m.Priority, m.Cause = work.Bulk, fullCause()
			later := inGroups(id)
			later.Due, later.Cause = now().Add(time.Hour), work.Cause{Kind: "fan-out"}
			e.mark(mark(id))
			e.finishAll(work.Outcome{
				Lease: e.leaseOnly(id), Result: result, Next: now().Add(24 * time.Hour), Marks: []work.Mark{m, later},
			})
			e.Equal(work.Row{
				Flow: "groups", Key: key(id), State: work.Due, Dirty: 2, Due: now(), Later: []time.Time{later.Due},
				Priority: work.Bulk, Cause: later.Cause,
			}, e.rowOf("groups", id))
		}
		e.Len(e.leaseGroups(), 5)
	}},
	{"FanOut/a refused outcome makes no marks", func(e *env) {
		e.mark(mark("1"), mark("2"), inGroups("known"))
		leases := e.lease(2, time.Minute)
		forged := leases[0]
		forged.Token = "forged"
		want := e.rowOf("groups", "known")
		errs, err := e.s.Finish(e.ctx, []work.Outcome{
			{Lease: forged, Result: work.Done, Marks: []work.Mark{inGroups("forged"), inGroups("known")}},
			{Lease: leases[0], Result: work.Done, Marks: []work.Mark{inGroups("taken")}},
			{Lease: leases[0], Result: work.Done, Marks: []work.Mark{inGroups("twice"), inGroups("known")}},
		})
		e.NoError(err)
		e.Equal([]error{work.ErrLeaseLost, nil, work.ErrLeaseLost}, errs)
		for _, id := range []string{"forged", "twice"} {
			_, found := e.get("groups", key(id))
			e.False(found)
		}
		e.Equal(want, e.rowOf("groups", "known"))
		e.EqualValues(1, e.rowOf("groups", "taken").Dirty)
	}},
	{"FanOut/its marks are newer than those that came during a later outcome's run", func(e *env) {
		e.mark(mark("1"), mark("2"))
		leases := e.lease(2, time.Hour)
		older, newer := mark(leases[1].Key.ID), mark(leases[1].Key.ID)
		older.Cause.EventID, newer.Cause.EventID = "older", "newer"
		e.mark(older)
		e.finishAll(work.Outcome{Lease: leases[0], Result: work.Done, Marks: []work.Mark{newer}}, work.Outcome{Lease: leases[1], Result: work.Done})
		row := e.row(older.Key.ID)
		e.EqualValues(3, row.Dirty)
		e.Equal("newer", row.Cause.EventID)
	}},
	{"FanOut/a mark of the run's own entity comes after the run", func(e *env) {
		e.mark(mark("1"))
		e.run("1", work.Failed, time.Time{})
		m := markWith("1", work.Bulk)
		e.finishAll(work.Outcome{Lease: e.leaseOnly("1"), Result: work.Done, Next: now().Add(time.Hour), Marks: []work.Mark{m}})
		row := e.row("1")
		e.EqualValues(1, row.Done)
		e.EqualValues(2, row.Dirty)
		e.Equal(now(), row.Due)
		e.Equal(work.Bulk, row.Priority, "the row waited for a date")
		l := e.leaseOnly("1")
		e.finishAll(work.Outcome{Lease: l, Result: work.GaveUp, Marks: []work.Mark{mark("1")}})
		e.Equal(work.Due, e.row("1").State)
		e.Zero(e.row("1").Attempts)
	}},
	{"FanOut/a mark of an entity that is running is one during its run", func(e *env) {
		e.mark(mark("1"), inGroups("1"))
		running := e.leaseGroups()[0]
		e.finishAll(work.Outcome{Lease: e.leaseOnly("1"), Result: work.Done, Marks: []work.Mark{inGroups("1")}})
		e.finish(running, work.GaveUp, time.Time{})
		row := e.rowOf("groups", "1")
		e.Equal(work.Due, row.State)
		e.Zero(row.Attempts)
		e.EqualValues(2, row.Dirty)
	}},
	{"FanOut/outcomes and their marks are stored in order", func(e *env) {
		e.mark(mark("1"), mark("2"))
		leases := e.lease(2, time.Hour)
		if leases[0].Key != key("1") {
			leases[0], leases[1] = leases[1], leases[0]
		}
		e.finishAll(
			work.Outcome{Lease: leases[0], Result: work.GaveUp, Marks: []work.Mark{mark("2")}},
			work.Outcome{Lease: leases[1], Result: work.GaveUp, Marks: []work.Mark{mark("1")}},
		)
		for _, id := range []string{"1", "2"} {
			row := e.row(id)
			e.Equal(work.Due, row.State)
			e.Equal(work.GaveUp, row.LastResult)
			e.Zero(row.Attempts, "the mark has the last word")
			e.EqualValues(2, row.Dirty)
		}
	}},
	{"FanOut/several outcomes mark the same entity", func(e *env) {
		const n = 100
		for i := range n {
			e.mark(mark(strconv.Itoa(i)))
		}
		var outcomes []work.Outcome
		for i, l := range e.lease(n, time.Hour) {
			marks := []work.Mark{inGroups("all"), inGroups(strconv.Itoa(i))}
			if i == n-1 {
				marks[0].Cause.EventID = "last"
			}
			outcomes = append(outcomes, work.Outcome{Lease: l, Result: work.Done, Marks: marks})
		}
		e.finishAll(outcomes...)
		row := e.rowOf("groups", "all")
		e.EqualValues(n, row.Dirty)
		e.Equal("last", row.Cause.EventID)
		e.Len(e.leaseGroups(), n+1)
	}},
}
