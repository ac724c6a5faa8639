package storetest

import (
	"fmt"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// The row before each outcome: applied at 0 with fingerprint "before", 2
// attempts, 1 deferral, first failure at 0, last at 1 minute with group
// "before", leased at 3 minutes with priority Bulk, finished at 4 with "after".
type outcomeRow struct {
	result  work.Result
	present bool

	attempts, deferrals int
	done                int64
	priority            work.Priority
	wasPresent          bool
	first, last         time.Duration // -1: none
	state               work.State
	due                 time.Duration // -1: none
	group, fingerprint  string
	applied             time.Duration
}

var outcomes = []outcomeRow{
	{work.Done, true, 0, 0, 2, work.Live, true, -1, -1, work.Idle, -1, "", "after", 4},
	{work.Failed, true, 3, 0, 1, work.Bulk, false, 0, 4, work.Due, 4, "after", "before", 0},
	{work.Deferred, true, 2, 2, 1, work.Bulk, false, 0, 1, work.Due, 4, "before", "before", 0},
	{work.Released, true, 2, 1, 1, work.Bulk, false, 0, 1, work.Due, 4, "before", "before", 0},
	{work.GaveUp, true, 3, 0, 1, work.Bulk, false, 0, 4, work.Parked, -1, "after", "before", 0},
}

var outcomeCases = makeOutcomeCases()

func makeOutcomeCases() (cases []testCase) {
	for _, o := range outcomes {
		cases = append(cases,
			testCase{fmt.Sprintf("Outcome/%s", o.result), func(e *env) { checkOutcome(e, o, false) }},
			testCase{fmt.Sprintf("Outcome/%s after a mark for the future", o.result), func(e *env) { checkOutcome(e, o, true) }},
			testCase{fmt.Sprintf("Outcome/%s after a mark for now", o.result), func(e *env) { checkMarkedOutcome(e, o) }},
		)
	}
	return cases
}

// prepareOutcome returns the lease of the row described above.
func prepareOutcome(e *env) work.Lease {
	e.mark(markWith("1", work.Bulk))
	e.finishAll(work.Outcome{Lease: e.leaseOnly("1"), Result: work.Done, Fingerprint: []byte("before")})
	e.mark(markWith("1", work.Bulk))
	e.fail("1", "earlier")
	time.Sleep(time.Minute)
	e.fail("1", "before")
	time.Sleep(time.Minute)
	e.run("1", work.Deferred, time.Time{})
	time.Sleep(time.Minute)
	return e.leaseOnly("1")
}

func (o outcomeRow) outcome(l work.Lease) work.Outcome {
	return work.Outcome{
		Lease: l, Result: o.result, Present: o.present, Fingerprint: []byte("after"), Summary: "what came of it", Group: "after",
	}
}

func after(start time.Time, minutes time.Duration) time.Time {
	if minutes < 0 {
		return time.Time{}
	}
	return start.Add(minutes * time.Minute)
}

func checkOutcome(e *env, o outcomeRow, future bool) {
	start := now()
	l := prepareOutcome(e)
	want := work.Row{
		Flow: flow, Key: key("1"), State: o.state, Dirty: 2, Done: o.done, Due: after(start, o.due),
		Priority: o.priority, Attempts: o.attempts, Deferrals: o.deferrals,
		FirstFailure: after(start, o.first), LastFailure: after(start, o.last),
		Present: o.wasPresent, Applied: after(start, o.applied), Fingerprint: []byte(o.fingerprint),
		Finished: after(start, 4), LastResult: o.result, Summary: "what came of it", Group: o.group,
	}
	if future {
		e.mark(markAt("1", time.Hour))
		want.Dirty, want.Later = 3, []time.Time{now().Add(time.Hour)}
		if want.Due.IsZero() {
			want.Due = want.Later[0]
		}
		if want.State == work.Idle {
			want.State = work.Waiting
		}
	}
	time.Sleep(time.Minute)
	e.finishAll(o.outcome(l))
	e.Equal(want, e.row("1"))
}

// urgent is a priority that no result sets.
const urgent work.Priority = 7

func checkMarkedOutcome(e *env, o outcomeRow) {
	start := now()
	l := prepareOutcome(e)
	m := markWith("1", urgent)
	m.Cause = work.Cause{Kind: "operator"}
	e.mark(m)
	time.Sleep(time.Minute)
	outcome := o.outcome(l)
	outcome.Next = now().Add(time.Hour)
	e.finishAll(outcome)
	e.Equal(work.Row{
		Flow: flow, Key: key("1"), State: work.Due, Dirty: 3, Done: o.done, Due: after(start, 3),
		Priority: urgent, Present: o.wasPresent, Applied: after(start, o.applied), Fingerprint: []byte(o.fingerprint),
		Finished: after(start, 4), LastResult: o.result, Summary: "what came of it", Cause: m.Cause,
	}, e.row("1"))
	e.Zero(e.leaseOnly("1").Attempts)
}

var finishCases = []testCase{
	{"Finish/the next time is the outcome's", func(e *env) {
		for _, result := range []work.Result{work.Done, work.Failed, work.Deferred, work.Released} {
			e.mark(mark("1"))
			at := now().Add(time.Hour)
			e.run("1", result, at)
			e.Equal(at, e.row("1").Due)
			e.Equal(work.Waiting, e.row("1").State)
			time.Sleep(time.Hour)
			e.run("1", work.Done, time.Time{})
		}
	}},
	{"Finish/no next time means at once after Failed, Deferred and Released", func(e *env) {
		for _, result := range []work.Result{work.Failed, work.Deferred, work.Released} {
			e.mark(mark("1"))
			e.run("1", result, time.Time{})
			e.Equal(now(), e.row("1").Due)
			e.run("1", work.Done, time.Time{})
			e.Zero(e.row("1").Due)
		}
	}},
	{"Finish/the next time is not looked at after GaveUp", func(e *env) {
		e.mark(mark("1"))
		e.run("1", work.GaveUp, now().Add(time.Hour))
		e.Zero(e.row("1").Due)
		e.Equal(work.Parked, e.row("1").State)
		time.Sleep(2 * time.Hour)
		e.none()
	}},
	{"Finish/the earliest time wins", func(e *env) {
		for _, result := range []work.Result{work.Done, work.Failed, work.Deferred, work.Released} {
			e.mark(mark("1"), markAt("1", 2*time.Hour))
			e.run("1", result, now().Add(3*time.Hour))
			e.Equal(now().Add(2*time.Hour), e.row("1").Due, "a later time before the outcome's")
			time.Sleep(2 * time.Hour)
			l := e.leaseOnly("1")
			e.mark(markAt("1", 4*time.Hour))
			e.finish(l, result, now().Add(3*time.Hour))
			e.Equal(now().Add(3*time.Hour), e.row("1").Due, "the outcome's before a later time")
			time.Sleep(3 * time.Hour)
			l = e.leaseOnly("1")
			e.mark(mark("1"))
			e.finish(l, result, now().Add(3*time.Hour))
			e.Equal(now(), e.row("1").Due, "a mark for now before all")
			e.run("1", work.Done, time.Time{})
			time.Sleep(time.Hour)
			e.run("1", work.Done, time.Time{})
			e.Zero(e.row("1").Due)
		}
	}},
	{"Finish/a mark during the run costs one more run", func(e *env) {
		e.mark(mark("1"), mark("1"))
		l := e.leaseOnly("1")
		e.mark(mark("1"))
		e.mark(mark("1"))
		e.finish(l, work.Done, time.Time{})
		e.EqualValues(2, e.row("1").Done)
		e.EqualValues(4, e.row("1").Dirty)
		e.run("1", work.Done, time.Time{})
		e.EqualValues(4, e.row("1").Done)
		e.none()
	}},
	{"Finish/present is used after Done only", func(e *env) {
		e.mark(mark("1"))
		e.finishAll(work.Outcome{Lease: e.leaseOnly("1"), Result: work.Done, Present: true})
		for _, result := range []work.Result{work.Failed, work.Deferred, work.GaveUp} {
			e.mark(mark("1"))
			e.run("1", result, now().Add(time.Hour))
			e.True(e.row("1").Present)
		}
		e.mark(mark("1"))
		e.run("1", work.Done, time.Time{})
		e.False(e.row("1").Present)
	}},
	{"Finish/no fingerprint is none", func(e *env) {
		for _, none := range [][]byte{nil, {}} {
			e.mark(mark("1"))
			e.finishAll(work.Outcome{Lease: e.leaseOnly("1"), Result: work.Done, Fingerprint: []byte{0, 0xff}})
			e.Equal([]byte{0, 0xff}, e.row("1").Fingerprint)
			e.mark(mark("1"))
			e.finishAll(work.Outcome{Lease: e.leaseOnly("1"), Result: work.Done, Fingerprint: none})
			e.Nil(e.row("1").Fingerprint)
		}
	}},
	{"Finish/the last failure names the group", func(e *env) {
		e.mark(mark("1"))
		e.fail("1", "a")
		e.fail("1", "b")
		e.Equal("b", e.row("1").Group)
		e.park("1", "")
		e.Empty(e.row("1").Group)
	}},
	{"Finish/failures lower the priority of live work", func(e *env) {
		for _, result := range []work.Result{work.Failed, work.GaveUp} {
			e.mark(mark("1"))
			e.run("1", result, now().Add(time.Hour))
			e.Equal(work.Retry, e.row("1").Priority)
		}
		e.mark(mark("1"))
		e.run("1", work.Deferred, now().Add(time.Hour))
		e.Equal(work.Live, e.row("1").Priority)
	}},
	{"Finish/deferrals do not end a series of failures", func(e *env) {
		start := now()
		e.mark(mark("1"))
		for _, result := range []work.Result{work.Failed, work.Deferred, work.Deferred, work.Failed} {
			e.run("1", result, time.Time{})
			time.Sleep(time.Minute)
		}
		row := e.row("1")
		e.Equal(2, row.Attempts)
		e.Zero(row.Deferrals)
		e.Equal(start, row.FirstFailure)
		e.Equal(start.Add(3*time.Minute), row.LastFailure)
	}},
	{"Finish/ends the lease", func(e *env) {
		e.mark(mark("1"))
		l := e.leaseOnly("1")
		e.finish(l, work.Done, time.Time{})
		e.Empty(e.row("1").LeaseOwner)
		e.Zero(e.row("1").LeaseUntil)
		want := e.row("1")
		errs, err := e.s.Finish(e.ctx, []work.Outcome{{Lease: l, Result: work.Failed}})
		e.NoError(err)
		e.Equal([]error{work.ErrLeaseLost}, errs)
		e.Equal(want, e.row("1"))
	}},
	{"Finish/tells each outcome's fate", func(e *env) {
		e.mark(mark("1"), mark("2"))
		leases := e.lease(2, time.Hour)
		forged := leases[0]
		forged.Token = "forged"
		free := work.Lease{Flow: flow, Key: key("1")}
		stranger := work.Lease{Flow: flow, Key: key("3"), Token: leases[0].Token}
		errs, err := e.s.Finish(e.ctx, []work.Outcome{
			{Lease: forged, Result: work.Failed}, {Lease: leases[0], Result: work.Done},
			{Lease: leases[0], Result: work.Failed}, {Lease: free, Result: work.Failed},
			{Lease: leases[1], Result: work.Done}, {Lease: stranger, Result: work.Failed},
		})
		e.NoError(err)
		lost := work.ErrLeaseLost
		e.Equal([]error{lost, nil, lost, lost, nil, lost}, errs)
		e.Equal(work.Done, e.row("1").LastResult)
		e.Equal(work.Done, e.row("2").LastResult)
		_, found, err := e.s.Get(e.ctx, flow, key("3"))
		e.NoError(err)
		e.False(found)
	}},
}
