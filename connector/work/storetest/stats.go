package storetest

import (
	"strconv"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

func (e *env) stats() map[string]map[work.State]work.Stat {
	stats, err := e.s.Stats(e.ctx)
	e.NoError(err)
	return stats
}

func (e *env) groups() []work.ParkedGroup {
	groups, err := e.s.ParkedGroups(e.ctx, flow)
	e.NoError(err)
	return groups
}

var statsCases = []testCase{
	{"Stats/count rows by flow and state", func(e *env) {
		e.Empty(e.stats())
		start := now()
		oneOfEach(e)
		e.Equal(map[string]map[work.State]work.Stat{
			flow: {
				work.Idle:    {Rows: 1},
				work.Waiting: {Rows: 2, Oldest: start.Add(time.Hour)},
				work.Due:     {Rows: 3, Oldest: start.Add(30 * time.Second)},
				work.Running: {Rows: 1},
				work.Parked:  {Rows: 2, Oldest: start},
			},
			"groups": {work.Due: {Rows: 1, Oldest: start.Add(30 * time.Second)}},
		}, e.stats())
	}},
	{"Stats/the oldest of a lease that has expired is the expiry", func(e *env) {
		e.mark(mark("1"), mark("2"))
		e.lease(1, 30*time.Second)
		until := now().Add(30 * time.Second)
		e.lease(1, time.Hour)
		time.Sleep(time.Minute)
		e.mark(mark("1"), mark("2"), markAt("3", time.Minute))
		time.Sleep(time.Minute)
		e.Equal(map[string]map[work.State]work.Stat{
			flow: {work.Due: {Rows: 2, Oldest: until}, work.Running: {Rows: 1}},
		}, e.stats())
	}},
	{"Stats/the oldest of parked rows is the first that gave up", func(e *env) {
		start := now()
		for i := range 3 {
			e.mark(mark(strconv.Itoa(i)))
			e.run(strconv.Itoa(i), work.GaveUp, time.Time{})
			time.Sleep(time.Minute)
		}
		e.Equal(work.Stat{Rows: 3, Oldest: start}, e.stats()[flow][work.Parked])
		e.mark(mark("0"))
		e.Equal(work.Stat{Rows: 2, Oldest: start.Add(time.Minute)}, e.stats()[flow][work.Parked])
		e.Equal(work.Stat{Rows: 1, Oldest: now()}, e.stats()[flow][work.Due])
	}},
	{"ParkedGroups/the largest first, then by name", func(e *env) {
		e.Empty(e.groups())
		start := now()
		for i, group := range []string{"b", "a", "", "é", "Z", "c", "b", "b", "c", "ab"} {
			id := strconv.Itoa(i)
			e.mark(mark(id))
			e.finishAll(work.Outcome{Lease: e.leaseOnly(id), Result: work.GaveUp, Group: group, Summary: group + id})
			time.Sleep(time.Minute)
		}
		at := func(minute time.Duration) time.Time { return start.Add(minute * time.Minute) }
		want := []work.ParkedGroup{
			{Group: "b", Rows: 3, Summary: "b7", First: at(0), Last: at(7)},
			{Group: "c", Rows: 2, Summary: "c8", First: at(5), Last: at(8)},
			{Group: "", Rows: 1, Summary: "2", First: at(2), Last: at(2)},
			{Group: "Z", Rows: 1, Summary: "Z4", First: at(4), Last: at(4)},
			{Group: "a", Rows: 1, Summary: "a1", First: at(1), Last: at(1)},
			{Group: "ab", Rows: 1, Summary: "ab9", First: at(9), Last: at(9)},
			{Group: "é", Rows: 1, Summary: "é3", First: at(3), Last: at(3)},
		}
		e.Equal(want, e.groups())
		e.mark(mark("7"), mark("1"))
		want[0] = work.ParkedGroup{Group: "b", Rows: 2, Summary: "b6", First: at(0), Last: at(6)}
		e.Equal(append(want[:4:4], want[5:]...), e.groups(), "those that wait for nothing else")
	}},
	{"ParkedGroups/of one flow, of parked rows only", func(e *env) {
		e.mark(inGroups("1"), mark("1"), mark("2"))
		e.finishAll(work.Outcome{Lease: e.leaseGroups()[0], Result: work.GaveUp, Group: "a"})
		for _, l := range e.lease(2, time.Hour) {
			if l.Key.ID == "1" {
				e.finishAll(work.Outcome{Lease: l, Result: work.Failed, Next: now().Add(time.Hour), Group: "a"})
			} else {
				e.finishAll(work.Outcome{Lease: l, Result: work.GaveUp, Group: "a"})
			}
		}
		e.mark(markAt("2", time.Hour))
		e.Equal([]work.ParkedGroup{{Group: "a", Rows: 1, First: now(), Last: now()}}, e.groups())
	}},
}
