package storetest

import (
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

var readCases = []testCase{
	{"NextDue/is zero for none", func(e *env) {
		e.Zero(e.nextDue())
		e.mark(work.Mark{Flow: "groups", Key: key("1")})
		e.Zero(e.nextDue())
		e.mark(mark("1"), mark("2"))
		leases := e.lease(2, time.Hour)
		e.finish(leases[0], work.Done, time.Time{})
		e.finish(leases[1], work.GaveUp, time.Time{})
		e.Zero(e.nextDue())
	}},
	{"NextDue/is the earliest of all priorities", func(e *env) {
		start := now()
		m := markWith("1", work.Bulk)
		m.Due = start.Add(time.Hour)
		e.mark(m, markAt("2", 2*time.Hour), markWith("3", work.Retry))
		e.Equal(start, e.nextDue())
		l := e.leaseOnly("3")
		e.Equal(start.Add(time.Hour), e.nextDue())
		e.finish(l, work.Done, start.Add(time.Minute))
		e.Equal(start.Add(time.Minute), e.nextDue())
	}},
	{"NextDue/is the expiry of a lease", func(e *env) {
		e.mark(mark("1"))
		e.leaseOnly("1")
		e.mark(mark("1"), markAt("2", 2*time.Hour))
		e.Equal(now().Add(time.Hour), e.nextDue())
	}},
	{"NextDue/is when Lease gives a row", func(e *env) {
		e.mark(markAt("1", 1234*time.Millisecond+567*time.Microsecond))
		e.none()
		time.Sleep(time.Until(e.nextDue()))
		e.leaseOnly("1")
	}},
	{"Secret/is 32 random bytes and stays", func(e *env) {
		secret, err := e.s.Secret(e.ctx)
		e.NoError(err)
		e.Len(secret, 32)
		e.NotEqual(make([]byte, 32), secret)
		want := string(secret)
		clear(secret)
		again, err := e.s.Secret(e.ctx)
		e.NoError(err)
		e.Equal(want, string(again))
	}},
	{"Times/come back in UTC, cut to milliseconds at the worst", func(e *env) {
		zone := time.FixedZone("summer", 2*60*60)
		odd := func(in time.Duration) time.Time {
			return time.Now().Add(in + 123456789*time.Nanosecond).In(zone)
		}
		m := mark("1")
		m.Due, m.Cause.Time = odd(time.Hour), odd(-time.Hour)
		e.mark(m, mark("1"), m)
		check := func(want, got time.Time) {
			e.Equal(time.UTC, got.Location())
			e.Equal(cut(want), cut(got))
		}
		row := e.row("1")
		check(time.Now(), row.Due)
		check(m.Due, row.Later[0])
		check(m.Cause.Time, row.Cause.Time)
		time.Sleep(1500 * time.Microsecond)
		l := e.leaseOnly("1")
		check(m.Cause.Time, l.Cause.Time)
		check(row.Due, l.Due)
		e.WithinDuration(time.Now().Add(time.Hour), l.Until, time.Millisecond)
		check(l.Until, e.row("1").LeaseUntil)
		check(l.Until, e.nextDue())
		e.finish(l, work.Failed, odd(time.Minute))
		row = e.row("1")
		coming := e.upcoming(work.Upcoming{}, 9)
		check(odd(time.Minute), coming[0].At)
		check(row.Later[0], coming[1].At)
		e.Empty(e.upcoming(work.Upcoming{At: coming[1].At.In(zone), Key: coming[1].Key}, 9))
		check(row.Due, e.stats()[flow][work.Waiting].Oldest)
		check(odd(time.Minute), row.Due)
		check(time.Now(), row.Finished)
		check(time.Now(), row.FirstFailure)
		check(time.Now(), row.LastFailure)
		e.NoError(e.s.Reject(e.ctx, []work.Rejected{{Received: odd(0)}}))
		all, err := e.s.ListRejected(e.ctx, "", 1)
		e.NoError(err)
		check(odd(0), all[0].Received)
		time.Sleep(time.Minute + time.Second)
		e.run("1", work.GaveUp, time.Time{})
		check(e.row("1").LastFailure, e.stats()[flow][work.Parked].Oldest)
		groups := e.groups()
		check(e.row("1").LastFailure, groups[0].First)
		check(e.row("1").LastFailure, groups[0].Last)
		e.mark(mark("1"))
		e.run("1", work.Done, time.Time{})
		check(time.Now(), e.row("1").Applied)
	}},
	{"Times/may be of any year", func(e *env) {
		for _, at := range []time.Time{
			time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(58864, 3, 1, 0, 0, 0, 0, time.UTC),
			time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.UnixMilli(0).UTC(), time.UnixMilli(-1).UTC(),
		} {
			m := mark("1")
			m.Cause.Time, m.Due = at, at
			e.mark(m)
			row := e.row("1")
			e.Equal(at, row.Cause.Time)
			if at.After(time.Now()) {
				e.Contains(row.Later, at)
				e.Contains(e.upcoming(work.Upcoming{}, 9), work.Upcoming{At: at, Key: key("1")})
			}
		}
	}},
}
