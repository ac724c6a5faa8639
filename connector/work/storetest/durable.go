package storetest

import (
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

var durableCases = []testCase{
	{"Durable/says so", func(e *env) { e.True(e.s.Durable()) }},
	{"Durable/rows outlive the process", func(e *env) {
		e.mark(mark("done"), markAt("done", time.Hour))
		e.finishAll(work.Outcome{Lease: e.leaseOnly("done"), Result: work.Done, Present: true, Summary: "created"})
		e.mark(markWith("failed", work.Bulk), mark("deferred"))
		for _, l := range e.lease(2, time.Hour) {
			if l.Key.ID == "failed" {
				e.finish(l, work.Failed, now().Add(time.Minute))
			} else {
				e.finish(l, work.Deferred, time.Time{})
			}
		}
		e.mark(mark("parked"))
		for _, l := range e.lease(2, time.Hour) {
			e.finish(l, work.GaveUp, time.Time{})
		}
		m := markAt("new", time.Second)
		m.Cause = work.Cause{Kind: "notification", EventID: "e", Time: now(), RoutingKey: "a.b"}
		e.mark(m)
		names := []string{"done", "failed", "deferred", "parked", "new"}
		var want []work.Row
		for _, id := range names {
			want = append(want, e.row(id))
		}
		next := e.nextDue()
		e.reopen()
		for i, id := range names {
			e.Equal(want[i], e.row(id))
		}
		e.Equal(next, e.nextDue())
		e.Equal([]int64{3}, e.mark(mark("done")))
	}},
	{"Durable/rejected messages outlive the process", func(e *env) {
		e.reject(work.Rejected{Reason: "a", Payload: []byte{0}}, work.Rejected{Reason: "b"}, work.Rejected{Reason: "c"})
		all := e.listRejected("", 10)
		e.Equal(1, e.deleteRejected(all[0].ID))
		e.reopen()
		e.Equal(all[1:], e.listRejected("", 10))
		e.reject(work.Rejected{Reason: "d"})
		e.NotEqual(all[0].ID, e.listRejected("", 1)[0].ID, "no ID is given twice")
	}},
	{"Durable/the secret outlives the process", func(e *env) {
		want, err := e.s.Secret(e.ctx)
		e.NoError(err)
		e.reopen()
		got, err := e.s.Secret(e.ctx)
		e.NoError(err)
		e.Equal(want, got)
	}},
}

var singleCases = []testCase{
	{"Single/says so", func(e *env) { e.False(e.s.Shared()) }},
	{"Single/leases of the process before are ended at once", func(e *env) {
		start := now()
		e.mark(markWith("1", work.Bulk), markAt("1", time.Hour))
		old := e.leaseOnly("1")
		time.Sleep(time.Minute)
		e.reopen()
		e.Equal(work.Row{
			Flow: flow, Key: key("1"), State: work.Due, Dirty: 2, Due: now(), Priority: work.Bulk,
			Later: []time.Time{start.Add(time.Hour)},
		}, e.row("1"))
		e.Equal(now(), e.nextDue())
		errs, err := e.s.Finish(e.ctx, []work.Outcome{{Lease: old, Result: work.Done}})
		e.NoError(err)
		e.Equal([]error{work.ErrLeaseLost}, errs)
		l := e.leaseOnly("1")
		e.NotEqual(old.Token, l.Token)
		e.finish(l, work.Done, time.Time{})
		e.Equal(start.Add(time.Hour), e.row("1").Due)
	}},
	{"Single/marks made during a run that died keep their time", func(e *env) {
		e.mark(mark("1"))
		e.leaseOnly("1")
		marked := now()
		e.mark(mark("1"))
		time.Sleep(time.Minute)
		e.reopen()
		e.Equal(marked, e.row("1").Due)
		l := e.leaseOnly("1")
		e.EqualValues(2, l.Dirty)
		e.finish(l, work.Failed, now().Add(time.Hour))
		e.Equal(1, e.row("1").Attempts)
		e.none()
	}},
}
