package storetest

import (
	"strconv"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// leaseByAge leases rows of the flow in the order of their age.
func (e *env) leaseByAge(n int, ttl time.Duration) []work.Lease {
	return e.leaseOf(work.LeaseRequest{Flow: flow, N: n, TTL: ttl, Order: work.ByAge})
}

var leaseCases = []testCase{
	{"Lease/gives up to n rows of the flow that are due", func(e *env) {
		e.mark(mark("1"), mark("2"), mark("3"), markAt("4", time.Hour), work.Mark{Flow: "groups", Key: key("5")})
		e.Len(e.lease(2, time.Hour), 2)
		e.Len(e.lease(2, time.Hour), 1)
		e.none()
		e.Empty(e.leaseOf(work.LeaseRequest{Flow: "none", N: 1, TTL: time.Hour}))
	}},
	{"Lease/gives nothing for n of zero or less", func(e *env) {
		e.mark(mark("1"))
		e.Empty(e.lease(0, time.Hour))
		e.Empty(e.lease(-1, time.Hour))
		e.leaseOnly("1")
	}},
	{"Lease/highest priority first, then those due for longest", func(e *env) {
		for i, p := range []work.Priority{work.Bulk, work.Live, work.Retry, 7, work.Live, work.Bulk} {
			e.mark(markWith(strconv.Itoa(i), p))
			time.Sleep(time.Second)
		}
		e.mark(markAt("later", time.Second), markAt("now", 0))
		time.Sleep(time.Minute)
		e.Equal([]string{"3", "1", "4"}, ids(e.lease(3, time.Hour)))
		e.Equal([]string{"now", "later", "2", "0", "5"}, ids(e.lease(9, time.Hour)))
	}},
	{"Lease/a date that has come is not bulk work", func(e *env) {
		e.mark(markAt("date", time.Minute), markAt("failing", time.Hour), markAt("not yet", 2*time.Hour))
		for _, id := range []string{"date", "failing", "not yet", "bulk"} {
			e.mark(markWith(id, work.Bulk))
		}
		priorities := func(n int) map[string]work.Priority {
			found := make(map[string]work.Priority)
			for _, l := range e.lease(n, time.Hour) {
				found[l.Key.ID] = l.Priority
				if l.Key.ID != "bulk" {
					e.finish(l, work.Failed, time.Now().Add(time.Minute))
				}
			}
			return found
		}
		time.Sleep(time.Minute)
		e.Equal(map[string]work.Priority{"date": work.Retry, "failing": work.Bulk, "not yet": work.Bulk, "bulk": work.Bulk}, priorities(9))
		time.Sleep(time.Hour)
		found := priorities(9)
		e.Equal(map[string]work.Priority{"date": work.Retry, "failing": work.Retry, "not yet": work.Bulk}, map[string]work.Priority{
			"date": found["date"], "failing": found["failing"], "not yet": found["not yet"],
		})
		e.Equal(work.Retry, e.row("date").Priority)
	}},
	{"Lease/by age, those due for longest first", func(e *env) {
		for i, p := range []work.Priority{work.Bulk, work.Live, work.Retry, 7, work.Bulk, work.Live} {
			e.mark(markWith(strconv.Itoa(i), p), work.Mark{Flow: "groups", Key: key("x")})
			time.Sleep(time.Second)
		}
		expired := e.leaseByAge(1, time.Second) // due again in a second
		e.Equal([]string{"0"}, ids(expired))
		e.mark(markAt("future", time.Hour), markAt("soon", 2*time.Second))
		time.Sleep(time.Minute)
		e.Empty(e.leaseByAge(0, time.Hour))
		e.Empty(e.leaseByAge(-1, time.Hour))
		e.Equal([]string{"1", "2"}, ids(e.leaseByAge(2, time.Hour)))
		e.Equal([]string{"3"}, ids(e.lease(1, time.Hour)), "by priority")
		e.Equal([]string{"4", "5", "0", "soon"}, ids(e.leaseByAge(9, time.Hour)))
		e.Empty(e.leaseByAge(9, time.Hour))
	}},
	{"Lease/waits for rows as the request says", func(e *env) {
		wait := func(d time.Duration, order work.Order) []string {
			return ids(e.leaseOf(work.LeaseRequest{Flow: flow, N: 9, TTL: time.Minute, Waited: d, Order: order}))
		}
		e.mark(mark("1"))
		time.Sleep(time.Second)
		e.mark(markWith("2", 7), mark("1"))
		for _, order := range []work.Order{work.ByPriority, work.ByAge} {
			e.Empty(wait(1001*time.Millisecond, order))
		}
		e.Equal([]string{"1"}, wait(time.Second, work.ByPriority), "a mark does not make it wait anew")
		e.Empty(wait(time.Millisecond, work.ByAge))
		time.Sleep(time.Millisecond)
		e.Equal([]string{"2"}, wait(time.Millisecond, work.ByAge))
		time.Sleep(time.Minute)
		e.Empty(wait(time.Second, work.ByPriority), "a lease has to be over for as long")
		e.Equal([]string{"2", "1"}, wait(-time.Hour, work.ByPriority), "less than 0 is 0")
		e.mark(markAt("3", time.Minute))
		e.Empty(wait(-time.Hour, work.ByPriority))
	}},
	{"Lease/tells since when the row could be leased", func(e *env) {
		e.mark(markAt("1", time.Minute))
		due := now().Add(time.Minute)
		time.Sleep(time.Hour)
		l := e.lease(1, time.Minute)[0]
		e.Equal(due, l.Due)
		e.mark(mark("1"))
		time.Sleep(time.Hour)
		e.Equal(l.Until, e.leaseOnly("1").Due, "of an expired lease: the expiry")
	}},
	{"Lease/carries the row", func(e *env) {
		start := now()
		m := markWith("1", work.Bulk)
		m.Cause = fullCause()
		e.mark(m)
		e.run("1", work.Done, time.Time{})
		e.mark(m)
		e.run("1", work.Failed, time.Time{})
		time.Sleep(time.Minute)
		e.run("1", work.Failed, time.Time{})
		e.run("1", work.Deferred, time.Time{})
		due := now()
		time.Sleep(time.Minute)
		l := e.leaseOnly("1")
		e.NotEmpty(l.Token)
		l.Token = ""
		e.Equal(work.Lease{
			Flow: flow, Key: key("1"), Until: now().Add(time.Hour), Dirty: 2, Done: 1, Due: due, Attempts: 2, Deferrals: 1,
			FirstFailure: start, Priority: work.Bulk, Cause: m.Cause,
		}, l)
	}},
	{"Lease/consumes the due time and shows in the row", func(e *env) {
		e.mark(mark("1"))
		e.leaseOnly("1")
		row := e.row("1")
		e.Equal(work.Running, row.State)
		e.Zero(row.Due)
		e.Equal(owner, row.LeaseOwner)
		e.Equal(now().Add(time.Hour), row.LeaseUntil)
	}},
	{"Lease/one at a time, whatever is marked", func(e *env) {
		e.mark(mark("1"))
		l := e.leaseOnly("1")
		e.mark(mark("1"))
		e.none()
		e.finish(l, work.Done, time.Time{})
		e.leaseOnly("1")
		e.none()
	}},
	{"Lease/an expired one is due since the expiry", func(e *env) {
		e.mark(mark("a"))
		first := e.lease(1, 10*time.Minute)[0]
		e.mark(markAt("b", 5*time.Minute), markAt("c", 15*time.Minute))
		time.Sleep(10*time.Minute - time.Millisecond)
		e.Equal(work.Running, e.row("a").State)
		time.Sleep(time.Millisecond)
		e.Equal(work.Due, e.row("a").State)
		time.Sleep(time.Hour)
		leases := e.lease(10, time.Hour)
		e.Equal([]string{"b", "a", "c"}, ids(leases))
		e.NotEqual(first.Token, leases[1].Token)
		e.Zero(leases[1].Attempts)
	}},
	{"Lease/an expired one keeps the marks of its run", func(e *env) {
		e.mark(mark("1"))
		e.lease(1, time.Minute)
		e.mark(mark("1"), markAt("1", time.Hour))
		time.Sleep(2 * time.Minute)
		l := e.leaseOnly("1")
		e.EqualValues(3, l.Dirty)
		e.finish(l, work.Done, time.Time{})
		e.EqualValues(3, e.row("1").Done)
		e.Equal(now().Add(58*time.Minute), e.row("1").Due)
	}},
	{"Lease/the next run does not take them for its own", func(e *env) {
		e.mark(mark("1"))
		e.lease(1, time.Minute)
		e.mark(mark("1"))
		time.Sleep(time.Minute)
		e.run("1", work.GaveUp, time.Time{})
		e.Equal(work.Parked, e.row("1").State)
		e.Equal(1, e.row("1").Attempts)
	}},
	{"Lease/an expired one that was taken is refused", func(e *env) {
		e.mark(mark("1"))
		old := e.lease(1, time.Minute)[0]
		time.Sleep(time.Minute)
		l := e.leaseOnly("1")
		want := e.row("1")
		errs, err := e.s.Finish(e.ctx, []work.Outcome{{Lease: old, Result: work.Done, Present: true}})
		e.NoError(err)
		e.Equal([]error{work.ErrLeaseLost}, errs)
		errs, err = e.s.Renew(e.ctx, []work.Lease{old}, 2*time.Hour)
		e.NoError(err)
		e.Equal([]error{work.ErrLeaseLost}, errs)
		e.Equal(want, e.row("1"))
		e.finish(l, work.Done, time.Time{})
	}},
	{"Lease/an expired one that nobody took still counts", func(e *env) {
		e.mark(mark("1"), mark("2"))
		leases := e.lease(2, time.Minute)
		time.Sleep(time.Hour)
		errs, err := e.s.Renew(e.ctx, leases[:1], time.Hour)
		e.NoError(err)
		e.Equal([]error{nil}, errs)
		e.finish(leases[1], work.Done, time.Time{})
		e.none()
	}},
	{"Lease/every token is new", func(e *env) {
		seen := make(map[string]bool)
		for range 5 {
			e.mark(mark("1"), mark("2"), mark("3"))
			for _, l := range e.lease(3, time.Hour) {
				e.False(seen[l.Token])
				seen[l.Token] = true
				e.finish(l, work.Done, time.Time{})
			}
		}
		e.Len(seen, 15)
	}},
	{"Renew/prolongs from now", func(e *env) {
		e.mark(mark("1"))
		l := e.lease(1, time.Minute)[0]
		time.Sleep(30 * time.Second)
		errs, err := e.s.Renew(e.ctx, []work.Lease{l}, time.Minute)
		e.NoError(err)
		e.Equal([]error{nil}, errs)
		e.Equal(now().Add(time.Minute), e.row("1").LeaseUntil)
		e.Equal(now().Add(time.Minute), e.nextDue())
		time.Sleep(time.Minute - time.Millisecond)
		e.none()
		time.Sleep(time.Millisecond)
		e.leaseOnly("1")
	}},
	{"Renew/tells each lease's fate", func(e *env) {
		e.mark(mark("1"), mark("2"))
		leases := e.lease(2, time.Hour)
		ended := leases[0]
		e.finish(ended, work.Done, time.Time{})
		stranger := work.Lease{Flow: flow, Key: key("3"), Token: leases[1].Token}
		errs, err := e.s.Renew(e.ctx, []work.Lease{ended, leases[1], stranger, {}}, time.Hour)
		e.NoError(err)
		e.Equal([]error{work.ErrLeaseLost, nil, work.ErrLeaseLost, work.ErrLeaseLost}, errs)
		e.Zero(e.row("1").LeaseUntil)
	}},
}
