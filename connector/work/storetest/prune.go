package storetest

import (
	"strconv"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

func (e *env) pruneIdle(before time.Time, limit int) int {
	n, err := e.s.PruneIdle(e.ctx, before, limit)
	e.NoError(err)
	return n
}

func (e *env) pruneParked(before time.Time, limit int) int {
	n, err := e.s.PruneParked(e.ctx, before, limit)
	e.NoError(err)
	return n
}

func (e *env) forget(k entity.Key) int {
	n, err := e.s.Forget(e.ctx, k)
	e.NoError(err)
	return n
}

// gone makes sure that no row of an entity of the flow is there.
func (e *env) gone(id string) {
	_, found := e.get(flow, key(id))
	e.False(found)
}

var pruneCases = []testCase{
	{"PruneIdle/deletes what is idle, not present and old", func(e *env) {
		oneOfEach(e)
		e.mark(mark("gone"), mark("gone, but marked for later"), markAt("gone, but marked for later", time.Hour))
		for _, l := range e.leaseOf(work.LeaseRequest{Flow: flow, N: 99, TTL: time.Hour}) {
			if l.Key.ID == "gone" || l.Key.ID == "gone, but marked for later" {
				e.finish(l, work.Done, time.Time{})
			}
		}
		finished := now()
		time.Sleep(time.Second)
		e.Zero(e.pruneIdle(finished, 99), "finished before, not at")
		e.Zero(e.pruneIdle(time.Time{}, 99))
		e.Equal(1, e.pruneIdle(finished.Add(time.Millisecond), 99))
		e.gone("gone")
		e.Zero(e.pruneIdle(now().Add(time.Hour), 99))
		for _, ids := range inState {
			for _, id := range ids {
				e.row(id)
			}
		}
		e.row("gone, but marked for later")
		e.Equal([]int64{1}, e.mark(mark("gone")), "a row like any new one")
		e.Zero(e.row("gone").Finished)
	}},
	{"PruneIdle/keeps what exists in the target", func(e *env) {
		e.mark(mark("1"))
		e.finishAll(work.Outcome{Lease: e.leaseOnly("1"), Result: work.Done, Present: true})
		time.Sleep(time.Hour)
		e.Zero(e.pruneIdle(now(), 99))
		e.mark(mark("1"))
		e.run("1", work.Done, time.Time{})
		time.Sleep(time.Hour)
		e.Equal(1, e.pruneIdle(now(), 99))
		e.gone("1")
	}},
	{"PruneIdle/deletes no more than the limit", func(e *env) {
		e.mark(inGroups("x"))
		e.finish(e.leaseGroups()[0], work.Done, time.Time{})
		for i := range 4 {
			e.mark(mark(strconv.Itoa(i)))
			e.run(strconv.Itoa(i), work.Done, time.Time{})
		}
		time.Sleep(time.Hour)
		e.Zero(e.pruneIdle(now(), 0))
		e.Zero(e.pruneIdle(now(), -1))
		e.Equal(2, e.pruneIdle(now(), 2))
		e.Equal(3, e.pruneIdle(now(), 9), "of all flows")
		e.Zero(e.pruneIdle(now(), 9))
		e.Empty(e.stats())
	}},
	{"PruneParked/deletes what is parked, old and has no dates", func(e *env) {
		start := now()
		oneOfEach(e)
		e.Zero(e.pruneParked(start, 99), "failed before, not at")
		e.Zero(e.pruneParked(time.Time{}, 99))
		e.Equal(1, e.pruneParked(start.Add(time.Millisecond), 99))
		e.gone("parked")
		for s, ids := range inState {
			for _, id := range ids {
				if id != "parked" {
					e.Equal(s, e.row(id).State)
				}
			}
		}
		time.Sleep(24 * time.Hour)
		e.Zero(e.pruneParked(now(), 99), "one whose date has come")
	}},
	{"PruneParked/counts from the last failure", func(e *env) {
		e.mark(mark("1"))
		e.run("1", work.Failed, time.Time{})
		time.Sleep(time.Hour)
		e.run("1", work.GaveUp, time.Time{})
		e.Zero(e.pruneParked(now(), 99))
		e.Equal(1, e.pruneParked(now().Add(time.Millisecond), 99))
	}},
	{"PruneParked/deletes no more than the limit", func(e *env) {
		for i := range 5 {
			e.mark(mark(strconv.Itoa(i)))
			e.run(strconv.Itoa(i), work.GaveUp, time.Time{})
		}
		time.Sleep(time.Hour)
		e.Zero(e.pruneParked(now(), 0))
		e.Zero(e.pruneParked(now(), -1))
		e.Equal(2, e.pruneParked(now(), 2))
		e.Len(e.list(work.Parked, 9), 3)
		e.Equal(3, e.pruneParked(now(), 9))
		e.Empty(e.stats())
	}},
	{"Forget/deletes an entity's rows in all flows", func(e *env) {
		e.mark(
			mark("1"), markAt("1", time.Hour), inGroups("1"), mark("2"), markAt("2", time.Hour),
			work.Mark{Flow: flow, Key: entity.Key{ID: "1"}}, work.Mark{Flow: "courses", Key: key("1"), Due: now().Add(time.Hour)},
		)
		e.Zero(e.forget(key("3")))
		e.Equal(3, e.forget(key("1")))
		e.gone("1")
		e.Zero(e.forget(key("1")))
		e.row("2")
		_, found := e.get(flow, entity.Key{ID: "1"})
		e.True(found)
		e.Equal(coming("2", time.Hour), e.upcoming(work.Upcoming{}, 9))
		e.Equal([]int64{1}, e.mark(mark("1")))
		e.Empty(e.row("1").Later, "its dates are forgotten too")
	}},
	{"Forget/in every state but running", func(e *env) {
		oneOfEach(e)
		for s, ids := range inState {
			for _, id := range ids {
				if s != work.Running && id != "due" {
					e.Equal(1, e.forget(key(id)), id)
				}
			}
		}
		e.Equal(2, e.forget(key("due")))
		e.Equal(map[string]map[work.State]work.Stat{flow: {work.Running: {Rows: 1}}}, e.stats())
	}},
	{"Forget/deletes none while one is running", func(e *env) {
		e.mark(mark("1"), inGroups("1"))
		l := e.lease(1, time.Minute)[0]
		n, err := e.s.Forget(e.ctx, key("1"))
		e.ErrorIs(err, work.ErrRunning)
		e.Zero(n)
		e.Equal(work.Running, e.row("1").State)
		e.Equal(work.Due, e.rowOf("groups", "1").State)
		time.Sleep(time.Minute)
		e.Equal(2, e.forget(key("1")), "once the lease has expired")
		errs, err := e.s.Finish(e.ctx, []work.Outcome{{Lease: l, Result: work.Done}})
		e.NoError(err)
		e.Equal([]error{work.ErrLeaseLost}, errs)
		e.gone("1")
		e.mark(mark("1"))
		e.leaseOnly("1")
		errs, err = e.s.Finish(e.ctx, []work.Outcome{{Lease: l, Result: work.Done}})
		e.NoError(err)
		e.Equal([]error{work.ErrLeaseLost}, errs, "nor is it the lease of the row that was made since")
	}},
}
