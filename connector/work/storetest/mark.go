package storetest

import (
	"strconv"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// fullCause returns a cause with all that one can have.
func fullCause() work.Cause {
	return work.Cause{
		Kind: "notification", EventID: "e1", Time: now().Add(-time.Minute), RoutingKey: "a.b",
		Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Hops: 2,
	}
}

var markCases = []testCase{
	{"Mark/makes a row", func(e *env) {
		_, found, err := e.s.Get(e.ctx, flow, key("1"))
		e.NoError(err)
		e.False(found)
		cause := fullCause()
		seqs := e.mark(work.Mark{Flow: flow, Key: key("1"), Priority: work.Bulk, Cause: cause})
		e.Equal([]int64{1}, seqs)
		e.Equal(work.Row{
			Flow: flow, Key: key("1"), State: work.Due, Dirty: 1, Due: now(), Priority: work.Bulk, Cause: cause,
		}, e.row("1"))
	}},
	{"Mark/counts each mark and keeps the last cause", func(e *env) {
		first, last := mark("1"), mark("1")
		first.Cause.EventID, last.Cause = "e1", work.Cause{Kind: "operator"}
		e.Equal([]int64{1, 1, 2}, e.mark(first, mark("2"), last))
		e.Equal([]int64{3}, e.mark(last))
		e.Equal(work.Cause{Kind: "operator"}, e.row("1").Cause)
		e.Len(e.lease(10, time.Hour), 2)
	}},
	{"Mark/for now keeps an earlier due time", func(e *env) {
		start := now()
		e.mark(mark("1"))
		time.Sleep(time.Minute)
		e.mark(mark("1"))
		e.Equal(start, e.row("1").Due)
	}},
	{"Mark/for now comes before a retry", func(e *env) {
		e.mark(mark("1"))
		e.run("1", work.Failed, now().Add(time.Hour))
		time.Sleep(time.Minute)
		e.mark(mark("1"))
		e.Equal(now(), e.row("1").Due)
		e.leaseOnly("1")
	}},
	{"Mark/for the past is for now", func(e *env) {
		e.mark(markAt("1", -time.Hour), markAt("2", 0))
		e.Equal(now(), e.row("1").Due)
		e.Equal(now(), e.row("2").Due)
		e.Empty(e.row("1").Later)
		e.Empty(e.row("2").Later)
	}},
	{"Mark/raises the priority", func(e *env) {
		e.mark(markWith("1", work.Bulk), markWith("1", work.Live))
		e.mark(markWith("2", work.Live), markWith("2", work.Bulk))
		e.Equal(work.Live, e.row("1").Priority)
		e.Equal(work.Live, e.row("2").Priority)
	}},
	{"Mark/raises the priority of a running row", func(e *env) {
		e.mark(markWith("1", work.Bulk))
		e.leaseOnly("1")
		e.mark(markWith("1", work.Retry))
		e.Equal(work.Retry, e.row("1").Priority)
		e.mark(markWith("1", work.Bulk))
		e.Equal(work.Retry, e.row("1").Priority)
	}},
	{"Mark/does not lower the priority of a running row", func(e *env) {
		e.mark(mark("1"))
		e.leaseOnly("1")
		e.mark(markWith("1", work.Bulk))
		e.Equal(work.Live, e.row("1").Priority)
	}},
	{"Mark/raises the priority of a row whose lease has expired", func(e *env) {
		e.mark(mark("1"))
		e.lease(1, time.Minute)
		time.Sleep(time.Minute)
		e.mark(markWith("1", work.Bulk))
		e.Equal(work.Live, e.row("1").Priority)
		e.mark(markWith("1", urgent))
		e.Equal(urgent, e.row("1").Priority)
	}},
	{"Mark/raises the priority of a row whose time has come", func(e *env) {
		e.mark(markAt("1", time.Minute))
		time.Sleep(time.Minute)
		e.mark(markWith("1", work.Bulk))
		e.Equal(work.Live, e.row("1").Priority)
	}},
	{"Mark/replaces the priority of a row that is idle", func(e *env) {
		e.mark(mark("1"))
		e.run("1", work.Done, time.Time{})
		e.mark(markWith("1", work.Bulk))
		e.Equal(work.Bulk, e.row("1").Priority)
	}},
	{"Mark/replaces the priority of a row that waits for a date", func(e *env) {
		e.mark(markAt("1", time.Hour))
		e.mark(markWith("1", work.Bulk))
		e.Equal(work.Bulk, e.row("1").Priority)
		e.run("1", work.Done, time.Time{})
		e.Equal(work.Waiting, e.row("1").State)
		e.mark(markWith("1", work.Bulk), markWith("1", work.Retry), markWith("1", work.Bulk))
		e.Equal(work.Retry, e.row("1").Priority, "the first replaces, the others raise")
	}},
	{"Mark/raises the priority of a row that waits for a retry", func(e *env) {
		for id, waits := range map[string]work.Result{"1": work.Failed, "2": work.Deferred, "3": work.Released} {
			e.mark(mark(id))
			e.run(id, waits, now().Add(time.Hour))
			want := e.row(id).Priority
			e.mark(markWith(id, work.Bulk))
			e.Equal(want, e.row(id).Priority, "what the run was to do is not done: %s", waits)
			e.run(id, work.Done, time.Time{})
		}
		e.mark(markWith("4", work.Bulk))
		e.run("4", work.Failed, now().Add(time.Hour))
		e.mark(markWith("4", work.Bulk))
		e.Equal(work.Bulk, e.row("4").Priority)
		e.mark(mark("4"))
		e.Equal(work.Live, e.row("4").Priority)
	}},
	{"Mark/raises the priority of a row that is parked", func(e *env) {
		e.mark(mark("1"))
		e.run("1", work.GaveUp, time.Time{})
		e.mark(markWith("1", work.Bulk))
		e.Equal(work.Retry, e.row("1").Priority)
		e.run("1", work.GaveUp, time.Time{})
		e.mark(markAt("1", time.Minute))
		time.Sleep(time.Hour)
		e.Equal(work.Parked, e.row("1").State, "until it is leased, though it could be")
		e.mark(markWith("1", work.Bulk))
		e.Equal(work.Retry, e.row("1").Priority)
		e.mark(mark("1"))
		e.Equal(work.Live, e.row("1").Priority)
	}},
	{"Mark/gives a fresh start", func(e *env) {
		e.mark(mark("1"))
		e.run("1", work.Failed, time.Time{})
		e.fail("1", "down")
		e.run("1", work.Deferred, time.Time{})
		e.Equal("down", e.row("1").Group)
		e.Equal(2, e.row("1").Attempts)
		e.Equal(1, e.row("1").Deferrals)
		e.mark(mark("1"))
		row := e.row("1")
		e.Zero(row.Attempts)
		e.Zero(row.Deferrals)
		e.Zero(row.FirstFailure)
		e.Zero(row.LastFailure)
		e.Empty(row.Group)
	}},
	{"Mark/wakes a parked row", func(e *env) {
		e.mark(mark("1"))
		e.run("1", work.GaveUp, time.Time{})
		e.Equal(work.Parked, e.row("1").State)
		e.mark(mark("1"))
		e.Equal(work.Due, e.row("1").State)
		e.Zero(e.row("1").Attempts)
		e.leaseOnly("1")
	}},
	{"Mark/tells flows, types and odd keys apart", func(e *env) {
		keys := []entity.Key{
			{ID: "1"}, {Type: "persons", ID: "1"}, {Type: "Persons", ID: "1"}, {Type: "persons", ID: "1 "},
			{ID: "persons/1"}, {Type: "persons/1"}, {Type: "a", ID: "bc"}, {Type: "ab", ID: "c"},
			{ID: "\u00e5"}, {ID: "a\u030a"}, {ID: "\u00c5"}, {ID: "日本語🙂"}, {ID: `'"; DROP TABLE x; --`}, {ID: `\%_?$1`},
			{ID: "01"}, {ID: "1.0"}, {ID: "NULL"}, {ID: strings.Repeat("x", entity.MaxLen)},
			{ID: "\u2028\u200b"}, {ID: "{\"a\":1}"}, {ID: " "},
		}
		for _, f := range []string{flow, "People", "", "ø'\""} {
			for _, k := range keys {
				e.Equal([]int64{1}, e.mark(work.Mark{Flow: f, Key: k}))
			}
			leases := e.leaseOf(work.LeaseRequest{Flow: f, N: 100, TTL: time.Hour})
			var got []entity.Key
			for _, l := range leases {
				got = append(got, l.Key)
				e.finish(l, work.Done, time.Time{})
			}
			e.ElementsMatch(keys, got)
		}
		for _, k := range keys {
			row, found, err := e.s.Get(e.ctx, flow, k)
			e.NoError(err)
			e.True(found)
			e.Equal(k, row.Key)
			e.EqualValues(1, row.Done)
		}
	}},
	{"Mark/takes a thousand at once", func(e *env) {
		marks := make([]work.Mark, 1000)
		for i := range marks {
			marks[i] = mark(strconv.Itoa(i % 500))
		}
		for i, seq := range e.mark(marks...) {
			e.EqualValues(1+i/500, seq)
		}
		leases := e.lease(1000, time.Hour)
		e.Len(leases, 500)
		outcomes := make([]work.Outcome, len(leases))
		for i, l := range leases {
			outcomes[i] = work.Outcome{Lease: l, Result: work.Done}
		}
		errs, err := e.s.Renew(e.ctx, leases, time.Hour)
		e.NoError(err)
		e.Equal(make([]error, len(leases)), errs)
		e.finishAll(outcomes...)
		e.Equal(map[string]map[work.State]work.Stat{flow: {work.Idle: {Rows: 500}}}, e.stats())
	}},
}

var laterCases = []testCase{
	{"Later/a mark for the future waits", func(e *env) {
		at := now().Add(time.Hour)
		e.Equal([]int64{1}, e.mark(markAt("1", time.Hour)))
		row := e.row("1")
		e.Equal(work.Waiting, row.State)
		e.Equal(at, row.Due)
		e.none()
		time.Sleep(time.Hour - time.Millisecond)
		e.none()
		time.Sleep(time.Millisecond)
		e.Equal(work.Due, e.row("1").State)
		e.leaseOnly("1")
	}},
	{"Later/makes the row due at the earlier time", func(e *env) {
		start := now()
		e.mark(markAt("1", 2*time.Hour))
		e.mark(markAt("1", time.Hour), markAt("1", 3*time.Hour))
		e.Equal(start.Add(time.Hour), e.row("1").Due)
		e.mark(mark("2"))
		e.mark(markAt("2", time.Hour))
		e.Equal(start, e.row("2").Due)
		e.Equal([]time.Time{start.Add(time.Hour)}, e.row("2").Later)
	}},
	{"Later/changes nothing else", func(e *env) {
		e.mark(markWith("1", work.Bulk))
		e.run("1", work.Failed, time.Time{})
		e.fail("1", "down")
		e.run("1", work.Deferred, time.Time{})
		want := e.row("1")
		time.Sleep(time.Minute)
		m := markWith("1", work.Live)
		m.Due, m.Cause = now().Add(time.Hour), work.Cause{Kind: "operator"}
		e.mark(m)
		want.Dirty, want.Cause, want.Later = 2, m.Cause, []time.Time{m.Due}
		e.Equal(want, e.row("1"))
	}},
	{"Later/a parked row sleeps until then and starts afresh", func(e *env) {
		e.mark(mark("1"))
		e.run("1", work.Failed, time.Time{})
		e.park("1", "down")
		e.mark(markAt("1", time.Hour))
		e.Equal("down", e.row("1").Group)
		e.Equal(work.Parked, e.row("1").State)
		e.Equal(2, e.row("1").Attempts)
		e.none()
		time.Sleep(time.Hour)
		l := e.leaseOnly("1")
		e.Zero(l.Attempts)
		e.Zero(l.Deferrals)
		e.Zero(l.FirstFailure)
		e.Zero(e.row("1").LastFailure)
		e.Empty(e.row("1").Group)
		e.finish(l, work.Failed, time.Time{})
		e.Equal(work.Due, e.row("1").State)
		e.Equal(1, e.row("1").Attempts)
	}},
	{"Later/neither a run nor another date makes it forgotten", func(e *env) {
		start := now()
		in := []time.Duration{time.Hour, 3 * time.Hour, 2 * time.Hour, 3 * time.Hour}
		for _, d := range in {
			e.mark(markAt("1", d))
		}
		e.Len(e.row("1").Later, 3)
		e.mark(mark("1"))
		for i, result := range []work.Result{work.Done, work.Done, work.Done} {
			e.run("1", result, time.Time{})
			e.Equal(start.Add(time.Duration(i+1)*time.Hour), e.row("1").Due)
			e.none()
			time.Sleep(time.Hour)
		}
		e.run("1", work.Done, time.Time{})
		e.Zero(e.row("1").Due)
		e.Equal(work.Idle, e.row("1").State)
	}},
	{"Later/survives giving up", func(e *env) {
		e.mark(mark("1"), markAt("1", time.Hour))
		e.run("1", work.GaveUp, time.Time{})
		e.Equal(work.Parked, e.row("1").State)
		e.Equal(now().Add(time.Hour), e.nextDue())
		time.Sleep(time.Hour)
		e.leaseOnly("1")
	}},
	{"Later/a lease consumes the times up to now", func(e *env) {
		for _, d := range []time.Duration{1, 2, 3} {
			e.mark(markAt("1", d*time.Hour))
		}
		time.Sleep(2 * time.Hour)
		l := e.leaseOnly("1")
		e.Equal([]time.Time{now().Add(time.Hour)}, e.row("1").Later)
		e.Zero(e.row("1").Due)
		e.finish(l, work.Done, time.Time{})
		e.Equal(now().Add(time.Hour), e.row("1").Due)
	}},
	{"Later/a date that passes during the run asks for another", func(e *env) {
		e.mark(mark("1"))
		l := e.leaseOnly("1")
		at := now().Add(time.Minute)
		e.mark(markAt("1", time.Minute))
		time.Sleep(2 * time.Minute)
		e.finish(l, work.Done, time.Time{})
		e.Equal(at, e.row("1").Due)
		e.leaseOnly("1")
	}},
}
