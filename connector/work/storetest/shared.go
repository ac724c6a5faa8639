package storetest

import (
	"strconv"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// openAtOnce opens the store n times more, all at the same moment.
func (e *env) openAtOnce(n int) []*env {
	stores := make([]*env, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range stores {
		o := *e
		o.others = nil
		stores[i] = &o
		wg.Go(func() { o.s, o.closeStore, errs[i] = o.openStore(o.dir) })
	}
	wg.Wait()
	for i, o := range stores {
		if errs[i] == nil {
			e.others = append(e.others, o.closeStore)
		}
	}
	for _, err := range errs {
		e.NoError(err)
	}
	return stores
}

func (e *env) secret() []byte {
	secret, err := e.s.Secret(e.ctx)
	e.NoError(err)
	return secret
}

var sharedCases = []testCase{
	{"Shared/says so", func(e *env) { e.True(e.s.Shared()) }},
	{"Shared/several may open it at once, the first time too", func(e *env) {
		// One has opened it already. Take a folder in which none has.
		fresh := *e
		fresh.dir, fresh.others = e.dir+"-fresh", nil
		stores := fresh.openAtOnce(8)
		e.others = append(e.others, fresh.others...)
		for i, o := range stores {
			e.Equal(stores[0].secret(), o.secret(), "one secret for all")
			e.Equal([]int64{int64(i + 1)}, o.mark(mark("1")))
		}
		e.Empty(e.stats(), "another folder is another store")
	}},
	{"Shared/what one marks the others see", func(e *env) {
		o := e.another()
		e.Equal([]int64{1}, e.mark(mark("1")))
		e.Equal([]int64{2}, o.mark(mark("1")))
		e.Equal(e.row("1"), o.row("1"))
		e.Equal(now(), o.nextDue())
		e.Equal([]string{"1"}, rowIDs(o.list(work.Due, 9)))
		e.Equal(e.stats(), o.stats())
		l := o.leaseOnly("1")
		e.EqualValues(2, l.Dirty)
		e.mark(mark("1"), markAt("1", time.Hour))
		o.finishAll(work.Outcome{Lease: l, Result: work.Done, Marks: []work.Mark{inGroups("1")}})
		e.Equal(work.Due, e.row("1").State)
		e.EqualValues(2, e.row("1").Done)
		e.Equal(o.upcoming(work.Upcoming{}, 9), e.upcoming(work.Upcoming{}, 9))
		e.Len(e.leaseGroups(), 1)
		e.Equal(e.secret(), o.secret())
	}},
	{"Shared/what one leases the others do not get", func(e *env) {
		o := e.another()
		e.mark(mark("1"), mark("2"), mark("3"))
		first := e.lease(2, time.Hour)
		second := o.lease(9, time.Hour)
		e.Len(second, 1)
		e.none()
		o.none()
		for _, l := range first {
			e.NotEqual(l.Key, second[0].Key)
			e.NotEqual(l.Token, second[0].Token)
			e.Equal(work.Running, o.row(l.Key.ID).State)
		}
		n, err := o.s.Forget(o.ctx, first[0].Key)
		e.ErrorIs(err, work.ErrRunning)
		e.Zero(n)
	}},
	{"Shared/opening and closing another ends no leases", func(e *env) {
		e.mark(mark("1"), mark("2"))
		leases := e.lease(2, time.Hour)
		want := e.row("1")
		others := e.openAtOnce(2)
		e.Equal(want, e.row("1"))
		others[0].none()
		others[0].close()
		e.others = e.others[1:]
		others[1].none()
		errs, err := e.s.Renew(e.ctx, leases, 2*time.Hour)
		e.NoError(err)
		e.Equal([]error{nil, nil}, errs)
		others[1].finish(leases[0], work.Done, time.Time{}) // whoever has it may
		e.finish(leases[1], work.Done, time.Time{})
	}},
	{"Shared/another takes over when a lease has expired", func(e *env) {
		o := e.another()
		e.mark(mark("1"))
		old := e.lease(1, time.Minute)[0]
		time.Sleep(time.Minute - time.Millisecond)
		o.none()
		e.Equal(old.Until, o.nextDue())
		time.Sleep(time.Millisecond)
		l := o.leaseOnly("1")
		e.Equal(old.Until, l.Due)
		want := e.row("1")
		errs, err := e.s.Renew(e.ctx, []work.Lease{old}, time.Hour)
		e.NoError(err)
		e.Equal([]error{work.ErrLeaseLost}, errs)
		errs, err = e.s.Finish(e.ctx, []work.Outcome{{Lease: old, Result: work.Done, Marks: []work.Mark{inGroups("1")}}})
		e.NoError(err)
		e.Equal([]error{work.ErrLeaseLost}, errs)
		e.Equal(want, o.row("1"))
		_, found := o.get("groups", key("1"))
		e.False(found)
		o.finish(l, work.Done, time.Time{})
		e.Equal(work.Idle, e.row("1").State)
	}},
	{"Shared/a lease that was renewed is not taken over", func(e *env) {
		o := e.another()
		e.mark(mark("1"))
		l := e.lease(1, time.Minute)[0]
		for range 5 {
			time.Sleep(30 * time.Second)
			errs, err := e.s.Renew(e.ctx, []work.Lease{l}, time.Minute)
			e.NoError(err)
			e.Equal([]error{nil}, errs)
			o.none()
		}
		e.finish(l, work.Done, time.Time{})
	}},
	{"Shared/what one deletes is gone for all", func(e *env) {
		o := e.another()
		e.mark(mark("1"))
		e.run("1", work.Done, time.Time{})
		e.mark(mark("2"))
		e.run("2", work.GaveUp, time.Time{})
		e.mark(mark("3"))
		time.Sleep(time.Hour)
		e.Equal(1, o.pruneIdle(now(), 9))
		e.Equal(1, o.pruneParked(now(), 9))
		e.Equal(1, o.forget(key("3")))
		e.Empty(e.stats())
		e.Equal([]int64{1}, e.mark(mark("3")))
	}},
	{"Shared/rejected messages of all", func(e *env) {
		const each = 20
		stores := append(e.openAtOnce(2), e)
		errs := make([]error, len(stores))
		var wg sync.WaitGroup
		for i, o := range stores {
			wg.Go(func() {
				for range each {
					if err := o.s.Reject(o.ctx, []work.Rejected{{Reason: strconv.Itoa(i)}}); err != nil {
						errs[i] = err
					}
				}
			})
		}
		wg.Wait()
		e.Equal(make([]error, len(stores)), errs)
		seen := make(map[string]bool)
		for _, r := range stores[0].listRejected("", 1000) {
			e.False(seen[r.ID])
			seen[r.ID] = true
		}
		e.Len(seen, each*len(stores))
		for id := range seen {
			e.Equal(1, stores[1].deleteRejected(id))
			_, found := e.getRejected(id)
			e.False(found)
		}
	}},
	{"Shared/one run at a time and no mark is lost", func(e *env) { checkParallel(time.Hour, append(e.openAtOnce(2), e)...) }},
	{"Shared/also when leases expire", func(e *env) { checkParallel(5*time.Millisecond, append(e.openAtOnce(2), e)...) }},
}
