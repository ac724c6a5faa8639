package storetest

import (
	"strconv"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

func (e *env) listOf(q work.Query) []work.Row {
	rows, err := e.s.List(e.ctx, q)
	e.NoError(err)
	return rows
}

func (e *env) list(s work.State, limit int) []work.Row {
	return e.listOf(work.Query{Flow: flow, State: s, Limit: limit})
}

func rowIDs(rows []work.Row) []string {
	all := make([]string, len(rows))
	for i, r := range rows {
		all[i] = r.Key.ID
	}
	return all
}

// states are all that a row can have.
var states = []work.State{work.Idle, work.Waiting, work.Due, work.Running, work.Parked}

// oneOfEach makes rows that are named after their states, and some others that
// show the edges. It takes a minute.
func oneOfEach(e *env) {
	e.mark(mark("idle"), mark("parked"), mark("parked until later"), mark("running"), mark("due, expired"), mark("waiting, retry"))
	for _, l := range e.lease(10, time.Minute) {
		switch l.Key.ID {
		case "idle":
			e.finishAll(work.Outcome{Lease: l, Result: work.Done, Present: true, Fingerprint: []byte("f")})
		case "parked", "parked until later":
			e.finishAll(work.Outcome{Lease: l, Result: work.GaveUp, Group: "g", Summary: "s"})
		case "waiting, retry":
			e.finishAll(work.Outcome{Lease: l, Result: work.Failed, Next: now().Add(time.Hour), Group: "g"})
		case "running":
			_, err := e.s.Renew(e.ctx, []work.Lease{l}, time.Hour)
			e.NoError(err)
		}
	}
	time.Sleep(30 * time.Second)
	e.mark(
		mark("due"), markAt("due, date", 30*time.Second), markAt("waiting", 2*time.Hour), markAt("waiting", 3*time.Hour),
		markAt("parked until later", time.Hour), inGroups("due"), mark("running"), markAt("running", 4*time.Hour),
	)
	time.Sleep(30 * time.Second)
}

var inState = map[work.State][]string{
	work.Idle:    {"idle"},
	work.Waiting: {"waiting", "waiting, retry"},
	work.Due:     {"due", "due, date", "due, expired"},
	work.Running: {"running"},
	work.Parked:  {"parked", "parked until later"},
}

var listCases = []testCase{
	{"List/gives the rows in a state as Get does", func(e *env) {
		oneOfEach(e)
		for _, s := range states {
			rows := e.list(s, 10)
			e.Equal(inState[s], rowIDs(rows), s)
			for _, row := range rows {
				e.Equal(s, row.State)
				e.Equal(e.row(row.Key.ID), row)
			}
		}
		e.Empty(e.list("", 10))
		e.Empty(e.list("none", 10))
		e.Empty(e.listOf(work.Query{Flow: "none", State: work.Due, Limit: 10}))
		e.Equal([]string{"due"}, rowIDs(e.listOf(work.Query{Flow: "groups", State: work.Due, Limit: 10})))
	}},
	{"List/in the order of the keys as bytes", func(e *env) {
		sorted := []entity.Key{
			{ID: "1"}, {ID: "10"}, {ID: "2"}, {ID: "B"}, {ID: "_"}, {ID: "a"}, {ID: "a b"}, {ID: "a-b"}, {ID: "ab"},
			{ID: "a\u030a"}, {ID: "b"}, {ID: "\u00c5"}, {ID: "\u00e5"}, {ID: "\uff5e"}, {ID: "🙂"},
			{Type: " ", ID: "x"}, {Type: "A", ID: "z"}, {Type: "a", ID: "bc"}, {Type: "a b", ID: "a"},
			{Type: "ab", ID: "c"}, {Type: "\u00e5", ID: "a"},
		}
		for i := range sorted {
			e.mark(work.Mark{Flow: flow, Key: sorted[i*8%len(sorted)]})
		}
		check := func(s work.State) {
			for _, limit := range []int{1, 4, 100} {
				var got []entity.Key
				for after := (entity.Key{}); ; {
					page := e.listOf(work.Query{Flow: flow, State: s, After: after, Limit: limit})
					if len(page) == 0 {
						break
					}
					for _, row := range page {
						got = append(got, row.Key)
					}
					e.LessOrEqual(len(got), len(sorted), "%s %d", s, limit)
					after = got[len(got)-1]
				}
				e.Equal(sorted, got, "%s %d", s, limit)
			}
		}
		finish := func(result work.Result, next time.Time) {
			for _, l := range e.lease(100, time.Hour) {
				e.finish(l, result, next)
			}
		}
		check(work.Due)
		leases := e.lease(100, time.Hour)
		check(work.Running)
		for _, l := range leases {
			e.finish(l, work.Failed, now().Add(time.Hour))
		}
		check(work.Waiting)
		time.Sleep(time.Hour)
		finish(work.GaveUp, time.Time{})
		check(work.Parked)
		for _, k := range sorted {
			e.mark(work.Mark{Flow: flow, Key: k})
		}
		finish(work.Done, time.Time{})
		check(work.Idle)
	}},
	{"List/goes on after a key that is not there", func(e *env) {
		e.mark(mark("1"), mark("3"))
		e.Equal([]string{"3"}, rowIDs(e.listOf(work.Query{Flow: flow, State: work.Due, After: key("2"), Limit: 9})))
		e.Empty(e.listOf(work.Query{Flow: flow, State: work.Due, After: key("3"), Limit: 9}))
		e.Len(e.listOf(work.Query{Flow: flow, State: work.Due, After: entity.Key{Type: "a", ID: "9"}, Limit: 9}), 2)
		e.Empty(e.listOf(work.Query{Flow: flow, State: work.Due, After: entity.Key{Type: "z"}, Limit: 9}))
	}},
	{"List/gives nothing for a limit of zero or less", func(e *env) {
		oneOfEach(e)
		for _, s := range states {
			e.Empty(e.list(s, 0))
			e.Empty(e.list(s, -1))
			e.Len(e.list(s, 1), 1)
		}
	}},
	{"List/of a group", func(e *env) {
		for i := range 6 {
			id := strconv.Itoa(i)
			e.mark(mark(id))
			e.park(id, []string{"a", "b", ""}[i%3])
		}
		e.mark(mark("7"), mark("8"))
		for _, l := range e.lease(2, time.Hour) {
			e.finishAll(work.Outcome{Lease: l, Result: work.Failed, Next: now().Add(time.Hour), Group: map[string]string{"7": "a"}[l.Key.ID]})
		}
		q := work.Query{Flow: flow, State: work.Parked, Group: "a", Limit: 9}
		e.Equal([]string{"0", "3"}, rowIDs(e.listOf(q)))
		q.After = key("0")
		e.Equal([]string{"3"}, rowIDs(e.listOf(q)))
		q.After, q.Limit = entity.Key{}, 1
		e.Equal([]string{"0"}, rowIDs(e.listOf(q)))
		e.Empty(e.listOf(work.Query{Flow: flow, State: work.Parked, Group: "A", Limit: 9}))
		e.Equal([]string{"7"}, rowIDs(e.listOf(work.Query{Flow: flow, State: work.Waiting, Group: "a", Limit: 9})))
		e.Len(e.list(work.Parked, 9), 6, "no group means all")
	}},
	{"List/texts may hold any bytes", func(e *env) {
		odd := "\x00\xff'\"\\{}ø🙂\n"
		m := mark("1")
		m.Cause = work.Cause{Kind: odd, EventID: odd + "e", RoutingKey: odd + "r", Trace: odd + "t"}
		e.mark(m)
		l := e.leaseOnly("1")
		e.finishAll(work.Outcome{Lease: l, Result: work.GaveUp, Summary: odd + "s", Group: odd})
		row := e.row("1")
		for want, got := range map[string]string{
			odd: row.Cause.Kind, odd + "e": row.Cause.EventID, odd + "r": row.Cause.RoutingKey, odd + "t": l.Cause.Trace,
			odd + "s": row.Summary,
		} {
			e.Equal(valid(want), valid(got))
		}
		e.Equal(valid(odd), valid(row.Group))
		e.Equal(row.Cause, l.Cause)
		for _, group := range []string{odd, row.Group} {
			e.Equal([]work.Row{row}, e.listOf(work.Query{Flow: flow, State: work.Parked, Group: group, Limit: 9}))
		}
		e.Equal([]work.ParkedGroup{{Group: row.Group, Rows: 1, Summary: row.Summary, First: now(), Last: now()}}, e.groups())
	}},
}

// valid returns a text as a store may keep it at the worst.
func valid(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
