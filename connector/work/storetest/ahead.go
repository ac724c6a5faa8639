package storetest

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// ahead asks for rows to be leased ahead, and for n at once.
func (e *env) ahead(n int) []work.Lease {
	return e.leaseOf(work.LeaseRequest{Flow: flow, N: n, TTL: time.Hour, Ahead: 9})
}

// giveBack gives back what is leased ahead.
func (e *env) giveBack() { e.Empty(e.leaseOf(work.LeaseRequest{Flow: flow})) }

// A store may lease rows ahead, or not: what one sees of it is the same.
var aheadCases = []testCase{
	{"Ahead/every row is given once", func(e *env) {
		e.mark(mark("1"), mark("2"), mark("3"), markWith("4", work.Bulk))
		leases := e.ahead(2)
		e.Len(leases, 2)
		e.mark(mark("5"))
		leases = append(leases, e.ahead(9)...)
		e.ElementsMatch([]string{"1", "2", "3", "4", "5"}, ids(leases))
		e.Equal("4", leases[4].Key.ID, "the one that is not live")
		e.Empty(e.ahead(9))
		e.giveBack()
		e.none()
	}},
	{"Ahead/marks before a row is given belong to its run", func(e *env) {
		for _, id := range []string{"1", "2"} { // one is marked before it can be leased, the other afterwards
			if id == "1" {
				e.mark(mark(id))
			}
			e.Empty(e.ahead(0))
			m := mark(id)
			m.Cause = fullCause()
			e.mark(mark(id))
			e.mark(m)
			l := e.leaseOnly(id)
			dirty := l.Dirty
			e.Equal(m.Cause, l.Cause)
			e.Equal([]int64{dirty + 1}, e.mark(mark(id)))
			e.finish(l, work.Done, time.Time{})
			e.Equal(dirty, e.row(id).Done)
			e.Equal(dirty+1, e.row(id).Dirty)
			l = e.leaseOnly(id)
			e.finish(l, work.Done, time.Time{})
			e.Equal(work.Idle, e.row(id).State)
		}
	}},
	{"Ahead/marks before a row is given make it start afresh", func(e *env) {
		e.mark(mark("1"))
		e.run("1", work.Failed, time.Time{})
		e.run("1", work.Deferred, time.Time{})
		for _, result := range []work.Result{work.Failed, work.Deferred, work.Released} {
			e.mark(mark("1"))
			e.Empty(e.ahead(0))
			e.mark(mark("1"))
			time.Sleep(time.Second)
			l := e.leaseOnly("1")
			e.Zero(l.Attempts + l.Deferrals)
			e.Zero(l.FirstFailure)
			e.Zero(e.row("1").LastFailure)
			e.finish(l, result, time.Now().Add(time.Minute))
			row := e.row("1")
			want := work.Row{}
			if result == work.Failed {
				want.Attempts, want.FirstFailure, want.LastFailure = 1, now(), now()
			}
			if result == work.Deferred {
				want.Deferrals = 1
			}
			e.Equal(want.Attempts, row.Attempts)
			e.Equal(want.Deferrals, row.Deferrals)
			e.Equal(want.FirstFailure, row.FirstFailure)
			e.Equal(want.LastFailure, row.LastFailure)
		}
	}},
	{"Ahead/others have what is not live, and what is given back", func(e *env) {
		e.mark(mark("1"), markWith("2", work.Bulk), markWith("3", work.Retry))
		e.Empty(e.ahead(0))
		other := work.LeaseRequest{Flow: flow, Owner: "other", N: 2, TTL: time.Hour, Order: work.ByAge}
		e.mark(mark("4"))
		e.giveBack()
		due := now()
		time.Sleep(time.Second)
		leases := e.leaseOf(other)
		e.Len(leases, 2)
		other.N = 9
		leases = append(leases, e.leaseOf(other)...)
		e.ElementsMatch([]string{"1", "2", "3", "4"}, ids(leases))
		for _, l := range leases {
			e.Equal(due, l.Due)
		}
	}},
	{"Ahead/what is kept is due like the rest", func(e *env) {
		request := func(id string, order work.Order, waited time.Duration) {
			e.Equal([]string{id}, ids(e.leaseOf(work.LeaseRequest{Flow: flow, N: 1, TTL: time.Hour, Ahead: 9, Order: order, Waited: waited})))
		}
		e.mark(mark("1"))
		time.Sleep(time.Second)
		e.Empty(e.ahead(0))
		e.mark(mark("2"))
		e.Equal(map[work.State]work.Stat{work.Due: {Rows: 2, Oldest: now().Add(-time.Second)}}, e.stats()[flow])
		e.LessOrEqual(e.nextDue(), now())
		e.NotZero(e.nextDue())
		request("1", work.ByPriority, time.Second)
		e.Empty(e.leaseOf(work.LeaseRequest{Flow: flow, N: 1, TTL: time.Hour, Ahead: 9, Waited: time.Second}))
		time.Sleep(time.Second)
		e.mark(mark("3"))
		request("2", work.ByAge, time.Second)
		request("3", work.ByAge, 0)
		e.mark(markWith("old bulk", work.Bulk))
		time.Sleep(time.Second)
		e.mark(mark("4"))
		request("old bulk", work.ByAge, 0)
		request("4", work.ByAge, 0)
	}},
	{"Ahead/a row that is given back has waited all the same", func(e *env) {
		e.mark(mark("1"), mark("2"))
		e.Empty(e.ahead(0))
		time.Sleep(time.Second)
		e.Equal(work.Due, e.row("1").State) // which gives it back
		e.Empty(e.ahead(0))
		e.ElementsMatch([]string{"1", "2"}, ids(e.leaseOf(work.LeaseRequest{Flow: flow, N: 9, TTL: time.Hour, Ahead: 9, Waited: time.Second})))
	}},
	{"Ahead/what is new does not overtake what waits", func(e *env) {
		next := func() []string {
			return ids(e.leaseOf(work.LeaseRequest{Flow: flow, N: 1, TTL: time.Hour, Ahead: 1}))
		}
		for _, id := range []string{"1", "2", "3"} {
			e.mark(mark(id))
			time.Sleep(time.Second)
		}
		e.Equal([]string{"1"}, next())
		e.Equal([]string{"2"}, next())
		e.mark(mark("new"))
		e.Equal([]string{"3"}, next())
		e.Equal([]string{"new"}, next())
	}},
	{"Ahead/a call that is too late takes nothing away", func(e *env) {
		e.mark(mark("1"))
		e.Empty(e.ahead(0))
		ended, cancel := context.WithCancel(e.ctx)
		cancel()
		_, err := e.s.List(ended, work.Query{Flow: flow, State: work.Due, Limit: 9})
		e.ErrorIs(err, context.Canceled)
		_, err = e.s.Lease(ended, work.LeaseRequest{Flow: flow, Owner: owner})
		e.ErrorIs(err, context.Canceled)
		e.leaseOnly("1")
	}},
	{"Ahead/a date is not lost", func(e *env) {
		e.mark(mark("1"))
		e.Empty(e.ahead(0))
		e.mark(mark("1"), markAt("1", time.Minute))
		l := e.leaseOnly("1")
		e.EqualValues(3, l.Dirty)
		e.finish(l, work.Done, time.Time{})
		e.Equal(now().Add(time.Minute), e.row("1").Due)
		e.none()
	}},
	{"Ahead/a row is due until it is given", func(e *env) {
		e.mark(mark("1"))
		e.Empty(e.ahead(0))
		e.mark(mark("2"))
		e.Equal(work.Due, e.row("1").State)
		e.Equal(work.Due, e.row("2").State)
		e.Empty(e.ahead(0))
		n, err := e.s.Forget(e.ctx, key("1"))
		e.NoError(err)
		e.Equal(1, n)
		e.leaseOnly("2")
	}},
	{"Ahead/a row is not given late", func(e *env) {
		e.mark(mark("1"))
		e.Empty(e.ahead(0))
		time.Sleep(7 * time.Minute)
		e.mark(mark("2"))
		for _, l := range e.lease(9, time.Hour) {
			e.WithinRange(l.Until, now().Add(52*time.Minute), now().Add(time.Hour))
		}
	}},
	{"Ahead/fan-out is marked as always", func(e *env) {
		e.mark(mark("1"), mark("2"))
		l := e.ahead(1)[0]
		errs, err := e.s.Finish(e.ctx, []work.Outcome{{Lease: l, Result: work.Done, Marks: []work.Mark{mark("2"), markAt("2", time.Hour)}}})
		e.NoError(err)
		e.Equal([]error{nil}, errs)
		next := e.leaseOnly("2")
		e.EqualValues(3, next.Dirty)
		e.finish(next, work.Done, time.Time{})
		e.Equal(now().Add(time.Hour), e.row("2").Due)
	}},
}

// sharedAheadCases are for stores that several processes use.
var sharedAheadCases = []testCase{
	{"Ahead/what another marks is not lost", func(e *env) {
		o := e.another()
		e.mark(mark("1"))
		e.Empty(e.ahead(0))
		o.mark(mark("1"))
		for _, l := range append(e.lease(9, time.Hour), o.lease(9, time.Hour)...) {
			e.finish(l, work.Done, time.Time{})
		}
		if o.row("1").State != work.Idle { // it counts for a mark during the run
			l := o.leaseOnly("1")
			o.finish(l, work.Done, time.Time{})
		}
		row := o.row("1")
		e.Equal(work.Idle, row.State)
		e.Equal(row.Dirty, row.Done)
	}},
	{"Ahead/another has it when the process is gone", func(e *env) {
		o := e.another()
		e.mark(mark("1"))
		e.Empty(e.ahead(0))
		e.mark(mark("1"), mark("2"))
		time.Sleep(time.Hour)
		e.Equal([]string{"1", "2"}, ids(o.lease(9, time.Hour)))
	}},
	{"Ahead/another has it when it was kept for too long", func(e *env) {
		o := e.another()
		e.mark(mark("1"), mark("2"))
		e.Empty(e.ahead(0))
		time.Sleep(8 * time.Minute)
		e.Empty(e.ahead(0))
		e.mark(mark("3"))
		e.Equal([]string{"1", "2", "3"}, ids(o.lease(9, time.Hour)))
	}},
	{"Ahead/two never have a row", func(e *env) {
		o := e.another()
		e.mark(mark("1"), mark("2"), mark("3"))
		all := e.ahead(1)
		all = append(all, o.ahead(1)...)
		o.mark(mark("4"))
		e.mark(mark("5"))
		for _, s := range []*env{e, o, e, o} {
			all = append(all, s.ahead(1)...)
			all = append(all, s.ahead(9)...)
			s.giveBack()
		}
		e.ElementsMatch([]string{"1", "2", "3", "4", "5"}, ids(all))
	}},
}
