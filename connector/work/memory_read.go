package work

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// Get implements Store.
func (m *Memory) Get(ctx context.Context, flow string, key entity.Key) (Row, bool, error) {
	if err := ctx.Err(); err != nil {
		return Row{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rowLocked(flow, key)
	if r == nil {
		return Row{}, false, nil
	}
	return r.row(millisOf(time.Now())), true, nil
}

// rowsLocked returns the rows of a flow, in no order.
func (m *Memory) rowsLocked(flow string) map[entity.Key]*memoryRow {
	if f := m.flows[flow]; f != nil {
		return f.rows
	}
	return nil
}

// page is the first of what is added, in order and at most limit.
type page[T any] struct {
	limit   int
	compare func(a, b T) int
	all     []T
	full    bool // the first limit of all are in order
}

func (p *page[T]) add(x T) {
	if p.limit <= 0 || p.full && p.compare(x, p.all[p.limit-1]) >= 0 {
		return
	}
	p.all = append(p.all, x)
	if len(p.all)/2 >= max(p.limit, 500) {
		p.cut()
	}
}

func (p *page[T]) cut() []T {
	slices.SortFunc(p.all, p.compare)
	if len(p.all) > p.limit {
		p.all, p.full = p.all[:p.limit], true
	}
	return p.all
}

func compareKeys(a, b entity.Key) int {
	return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.ID, b.ID))
}

// List implements Store.
func (m *Memory) List(ctx context.Context, q Query) ([]Row, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := millisOf(time.Now())
	found := page[*memoryRow]{
		limit:   max(q.Limit, 0),
		compare: func(a, b *memoryRow) int { return compareKeys(a.key, b.key) },
	}
	for _, r := range m.rowsLocked(q.Flow) {
		if r.state(now) == q.State && (q.Group == "" || q.Group == r.group.value()) && compareKeys(r.key, q.After) > 0 {
			found.add(r)
		}
	}
	var rows []Row
	for _, r := range found.cut() {
		rows = append(rows, r.row(now))
	}
	return rows, nil
}

// Upcoming implements Store.
func (m *Memory) Upcoming(ctx context.Context, flow string, after Upcoming, limit int) ([]Upcoming, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	compare := func(a, b Upcoming) int { return cmp.Or(a.At.Compare(b.At), compareKeys(a.Key, b.Key)) }
	after.At = cut(after.At)
	found := page[Upcoming]{limit: max(limit, 0), compare: compare}
	now := millisOf(time.Now())
	for _, r := range m.rowsLocked(flow) {
		for _, at := range r.upcoming(now) {
			if u := (Upcoming{At: at.time(), Key: r.key}); compare(u, after) > 0 {
				found.add(u)
			}
		}
	}
	return found.cut(), nil
}

// upcoming returns the times to come that the row waits for.
func (r *memoryRow) upcoming(now millis) []millis {
	i, _ := slices.BinarySearch(r.later, now+1)
	times := r.later[i:]
	if _, found := slices.BinarySearch(times, r.due); !found && r.state(now) == Waiting {
		times = append([]millis{r.due}, times...)
	}
	return times
}

// Stats implements Store.
func (m *Memory) Stats(ctx context.Context) (map[string]map[State]Stat, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := millisOf(time.Now())
	stats := make(map[string]map[State]Stat)
	for name, f := range m.flows {
		rows, oldest := make(map[State]int), make(map[State]millis)
		for _, r := range f.rows {
			s := r.state(now)
			rows[s]++
			switch s {
			case Due, Waiting:
				oldest[s] = earliest(oldest[s], r.free())
			case Parked:
				oldest[s] = earliest(oldest[s], r.last)
			case Idle, Running:
			}
		}
		for s, n := range rows {
			if stats[name] == nil {
				stats[name] = make(map[State]Stat)
			}
			stats[name][s] = Stat{Rows: n, Oldest: oldest[s].time()}
		}
	}
	return stats, nil
}

// ParkedGroups implements Store.
func (m *Memory) ParkedGroups(ctx context.Context, flow string) ([]ParkedGroup, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := millisOf(time.Now())
	groups := make(map[text]ParkedGroup)
	for _, r := range m.rowsLocked(flow) {
		if r.state(now) != Parked {
			continue
		}
		g, failed := groups[r.group], r.last.time()
		if g.Rows == 0 || failed.Before(g.First) {
			g.First = failed
		}
		if g.Rows == 0 || failed.After(g.Last) {
			g.Last, g.Summary = failed, r.summary.value()
		}
		g.Group = r.group.value()
		g.Rows++
		groups[r.group] = g
	}
	return slices.SortedFunc(maps.Values(groups), func(a, b ParkedGroup) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), strings.Compare(a.Group, b.Group))
	}), nil
}
