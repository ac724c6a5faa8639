package storetest

import (
	"strconv"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

func (e *env) upcoming(after work.Upcoming, limit int) []work.Upcoming {
	all, err := e.s.Upcoming(e.ctx, flow, after, limit)
	e.NoError(err)
	return all
}

// coming returns the times of a row that are to come, from now.
func coming(id string, in ...time.Duration) []work.Upcoming {
	all := make([]work.Upcoming, len(in))
	for i, d := range in {
		all[i] = work.Upcoming{At: now().Add(d), Key: key(id)}
	}
	return all
}

var upcomingCases = []testCase{
	{"Upcoming/has Later times and due times, each once", func(e *env) {
		e.Empty(e.upcoming(work.Upcoming{}, 9))
		e.mark(mark("1"), markAt("1", time.Hour), markAt("1", 3*time.Hour), markAt("1", time.Hour))
		e.Equal(coming("1", time.Hour, 3*time.Hour), e.upcoming(work.Upcoming{}, 9), "of a row that is due")
		l := e.leaseOnly("1")
		e.Equal(coming("1", time.Hour, 3*time.Hour), e.upcoming(work.Upcoming{}, 9), "of one that is running, not its lease")
		e.finish(l, work.Failed, now().Add(2*time.Hour))
		e.Equal(coming("1", time.Hour, 3*time.Hour), e.upcoming(work.Upcoming{}, 9), "the due time is the first date")
		time.Sleep(time.Hour)
		e.Equal(coming("1", 2*time.Hour), e.upcoming(work.Upcoming{}, 9), "what has come is not to come")
		past := work.Upcoming{At: now().Add(-time.Minute), Key: key("0")}
		e.Equal(coming("1", 2*time.Hour), e.upcoming(past, 9), "nor after a time that has passed")
		e.mark(markAt("0", time.Minute))
		time.Sleep(time.Minute)
		e.Equal(coming("1", 119*time.Minute), e.upcoming(past, 9))
		e.Equal(1, e.forget(key("0")))
		time.Sleep(time.Minute)
		e.run("1", work.Failed, now().Add(time.Minute))
		e.Equal(coming("1", time.Minute, 118*time.Minute), e.upcoming(work.Upcoming{}, 9), "a retry and a date")
		time.Sleep(time.Minute)
		e.run("1", work.GaveUp, time.Time{})
		e.Equal(coming("1", 117*time.Minute), e.upcoming(work.Upcoming{}, 9), "of one that is parked")
		time.Sleep(117 * time.Minute)
		e.Empty(e.upcoming(work.Upcoming{}, 9))
	}},
	{"Upcoming/has neither leases nor other flows", func(e *env) {
		e.mark(mark("1"), work.Mark{Flow: "groups", Key: key("2"), Due: now().Add(time.Hour)})
		e.lease(1, time.Hour)
		e.mark(mark("1"))
		e.Empty(e.upcoming(work.Upcoming{}, 9))
		time.Sleep(time.Hour)
		e.Empty(e.upcoming(work.Upcoming{}, 9))
	}},
	{"Upcoming/page by page, in the order of times, then keys", func(e *env) {
		m := markWith("a", work.Bulk)
		m.Due = now().Add(time.Hour)
		e.mark(
			m, markAt("b", time.Hour), markAt("B", time.Hour), work.Mark{Flow: flow, Key: keys[2], Due: m.Due},
			markAt("b", time.Minute), markAt("c", 2*time.Hour), mark("d"), markAt("d", time.Hour),
		)
		e.mark(mark("e"))
		for _, l := range e.lease(9, time.Hour) {
			if l.Key.ID == "e" {
				e.finish(l, work.Failed, now().Add(time.Hour))
			}
		}
		all := e.upcoming(work.Upcoming{}, 99)
		e.Equal([]work.Upcoming{
			{At: now().Add(time.Minute), Key: key("b")},
			{At: m.Due, Key: keys[2]},
			{At: m.Due, Key: key("B")},
			{At: m.Due, Key: key("a")},
			{At: m.Due, Key: key("b")},
			{At: m.Due, Key: key("d")},
			{At: m.Due, Key: key("e")},
			{At: now().Add(2 * time.Hour), Key: key("c")},
		}, all)
		for limit := 1; limit <= len(all); limit++ {
			var paged []work.Upcoming
			for after := (work.Upcoming{}); ; {
				page := e.upcoming(after, limit)
				if len(page) == 0 {
					break
				}
				e.LessOrEqual(len(page), limit)
				paged = append(paged, page...)
				e.LessOrEqual(len(paged), len(all), limit)
				after = page[len(page)-1]
			}
			e.Equal(all, paged, limit)
		}
		e.Equal(all[3:], e.upcoming(work.Upcoming{At: m.Due, Key: key("C")}, 99), "after one that is not there")
		e.Equal(all[1:], e.upcoming(work.Upcoming{At: now().Add(time.Minute + 1), Key: key("z")}, 99))
		e.Equal(all, e.upcoming(work.Upcoming{At: now().Add(-time.Hour), Key: key("z")}, 99))
		e.Equal(all, e.upcoming(work.Upcoming{At: now(), Key: key("z")}, 99))
	}},
	{"Upcoming/gives nothing for a limit of zero or less", func(e *env) {
		e.mark(markAt("1", time.Hour))
		e.Empty(e.upcoming(work.Upcoming{}, 0))
		e.Empty(e.upcoming(work.Upcoming{}, -1))
	}},
	{"Upcoming/pages within one time", func(e *env) {
		const n = 300
		at := now().Add(time.Hour)
		marks := make([]work.Mark, n)
		for i := range marks {
			marks[i] = work.Mark{Flow: flow, Key: key(strconv.Itoa(1000 + i*7%n)), Due: at, Priority: work.Priority(-10 * (i % 3))}
		}
		e.mark(marks...)
		after := work.Upcoming{}
		for i := range n {
			if i%50 == 0 {
				page := e.upcoming(after, 50)
				e.Len(page, 50)
				for j, u := range page {
					e.Equal(work.Upcoming{At: at, Key: key(strconv.Itoa(1000 + i + j))}, u)
				}
				after = page[49]
			}
		}
		e.Empty(e.upcoming(after, 50))
	}},
}
