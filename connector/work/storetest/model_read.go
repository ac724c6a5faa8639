package storetest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// What the model answers when it is asked for many rows, and what histories do
// with it.

func compareKeys(a, b entity.Key) int {
	return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.ID, b.ID))
}

// list returns all rows of a flow in the order of their keys.
func (m *model) list(flow string, now time.Time) (rows []work.Row) {
	for _, r := range m.rows {
		if r.told.Flow == flow {
			rows = append(rows, r.row(now))
		}
	}
	slices.SortFunc(rows, func(a, b work.Row) int { return compareKeys(a.Key, b.Key) })
	return rows
}

func (h *history) list(t *rapid.T) {
	q := work.Query{
		Flow: anyFlow.Draw(t, "flow"), State: rapid.SampledFrom(states).Draw(t, "state"), Group: anyGroup.Draw(t, "group"),
		After: rapid.SampledFrom(append([]entity.Key{{}, {Type: "a"}}, keys...)).Draw(t, "after"),
		Limit: rapid.IntRange(0, 4).Draw(t, "limit"),
	}
	want := slices.DeleteFunc(h.m.list(q.Flow, now()), func(r work.Row) bool {
		return r.State != q.State || q.Group != "" && r.Group != q.Group || compareKeys(r.Key, q.After) <= 0
	})
	h.same(want[:min(q.Limit, len(want))], h.listOf(q))
}

// same compares rows, of which none may be nil or empty.
func (h *history) same(want, got []work.Row) {
	h.Len(got, len(want))
	for i := range want {
		h.Equal(want[i], got[i])
	}
}

func (h *history) upcoming(t *rapid.T) {
	f, limit := anyFlow.Draw(t, "flow"), rapid.IntRange(0, 4).Draw(t, "limit")
	after := work.Upcoming{}
	if rapid.Bool().Draw(t, "a later page") {
		after = work.Upcoming{At: anyTime.Draw(t, "after"), Key: anyKey.Draw(t, "after key")}
	}
	compare := func(a, b work.Upcoming) int { return cmp.Or(a.At.Compare(b.At), compareKeys(a.Key, b.Key)) }
	want := []work.Upcoming{}
	for _, r := range h.m.list(f, now()) {
		times := r.Later
		if r.State == work.Waiting {
			times = append(times, r.Due)
		}
		for _, at := range times {
			if u := (work.Upcoming{At: at, Key: r.Key}); at.After(now()) && compare(u, after) > 0 {
				want = append(want, u)
			}
		}
	}
	slices.SortFunc(want, compare)
	want = slices.Compact(want)
	got, err := h.s.Upcoming(h.ctx, f, after, limit)
	h.NoError(err)
	h.Equal(want[:min(limit, len(want))], append([]work.Upcoming{}, got...))
}

func (m *model) stats(now time.Time) map[string]map[work.State]work.Stat {
	stats := make(map[string]map[work.State]work.Stat)
	for _, r := range m.rows {
		if stats[r.told.Flow] == nil {
			stats[r.told.Flow] = make(map[work.State]work.Stat)
		}
		state := r.state(now)
		stat := stats[r.told.Flow][state]
		stat.Rows++
		switch state {
		case work.Due, work.Waiting:
			stat.Oldest = first(stat.Oldest, r.free())
		case work.Parked:
			stat.Oldest = first(stat.Oldest, r.told.LastFailure)
		case work.Idle, work.Running:
		}
		stats[r.told.Flow][state] = stat
	}
	return stats
}

// modelGroup is a group and the rows in it.
type modelGroup struct {
	name string
	rows []*modelRow
}

func (m *model) groups(flow string) (groups []modelGroup) {
	for _, r := range m.rows {
		if r.told.Flow != flow || !r.parked {
			continue
		}
		i := slices.IndexFunc(groups, func(g modelGroup) bool { return g.name == r.told.Group })
		if i < 0 {
			i = len(groups)
			groups = append(groups, modelGroup{name: r.told.Group})
		}
		groups[i].rows = append(groups[i].rows, r)
	}
	slices.SortFunc(groups, func(a, b modelGroup) int {
		return cmp.Or(cmp.Compare(len(b.rows), len(a.rows)), strings.Compare(a.name, b.name))
	})
	return groups
}

func (h *history) compareGroups(want []modelGroup, got []work.ParkedGroup) {
	h.Len(got, len(want))
	for i, g := range got {
		h.Equal(want[i].name, g.Group)
		h.Equal(len(want[i].rows), g.Rows)
		slices.SortFunc(want[i].rows, func(a, b *modelRow) int { return a.told.LastFailure.Compare(b.told.LastFailure) })
		h.Equal(want[i].rows[0].told.LastFailure, g.First)
		h.Equal(want[i].rows[g.Rows-1].told.LastFailure, g.Last)
		h.True(slices.ContainsFunc(want[i].rows, func(r *modelRow) bool { // of those that failed last, any
			return r.told.LastFailure.Equal(g.Last) && r.told.Summary == g.Summary
		}))
	}
}

func (h *history) pruneIdle(t *rapid.T) {
	h.prune(t, h.env.pruneIdle, func(r work.Row, before time.Time) bool {
		return r.State == work.Idle && !r.Present && r.Finished.Before(before)
	})
}

func (h *history) pruneParked(t *rapid.T) {
	h.prune(t, h.env.pruneParked, func(r work.Row, before time.Time) bool {
		return r.State == work.Parked && len(r.Later) == 0 && r.LastFailure.Before(before)
	})
}

// prune lets the store choose which of the rows that may go it deletes.
func (h *history) prune(t *rapid.T, prune func(time.Time, int) int, may func(work.Row, time.Time) bool) {
	before := now().Add(-rapid.SampledFrom([]time.Duration{-time.Hour, 0, time.Second, time.Minute}).Draw(t, "age"))
	limit := rapid.IntRange(-1, 4).Draw(t, "limit")
	allowed := make(map[modelID]bool)
	for id, r := range h.m.rows {
		if may(r.row(now()), before) {
			allowed[id] = true
		}
	}
	n := prune(before, limit)
	h.Equal(max(0, min(limit, len(allowed))), n)
	for id := range allowed {
		if _, found := h.get(id.flow, id.key); !found {
			delete(h.m.rows, id)
			n--
		}
	}
	h.Zero(n, "rows said to be deleted that are there")
}

func (h *history) forget(t *rapid.T) {
	k := anyKey.Draw(t, "key")
	known, running := 0, false
	for _, f := range flows {
		if r := h.m.rows[modelID{f, k}]; r != nil {
			known++
			running = running || r.state(now()) == work.Running
		}
	}
	n, err := h.s.Forget(h.ctx, k)
	if running {
		h.ErrorIs(err, work.ErrRunning)
		h.Zero(n)
		return
	}
	h.NoError(err)
	h.Equal(known, n)
	for _, f := range flows {
		delete(h.m.rows, modelID{f, k})
	}
}
