package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// checkModel drives the store and the model through random histories and
// compares all that can be seen of them after each step.
func checkModel(t *testing.T, open Open, use usage) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		rapid.SyncTest(rt, func(rt *rapid.T) {
			e := &env{Assertions: require.New(rt), ctx: rt.Context(), openStore: open, dir: dir}
			e.open()
			defer func() { e.close() }()
			h := &history{env: e, t: rt, m: newModel()}
			actions := map[string]func(*rapid.T){
				"mark": h.mark, "lease": h.lease, "renew": h.renew, "finish": h.finish, "sleep": h.sleep, "": h.compare,
				"list": h.list, "upcoming": h.upcoming, "prune idle": h.pruneIdle, "prune parked": h.pruneParked,
				"forget": h.forget,
			}
			switch use {
			case alone:
			case restarting:
				actions["restart"] = h.restart
			case several:
				h.stores = []*env{e, e.another()}
				actions["change"] = h.change
			}
			rt.Repeat(actions)
			h.compareAll()
		})
	})
}

// history is one random history.
type history struct {
	*env

	t      *rapid.T
	m      *model
	leases []work.Lease // all that were given, ended or not
	step   int
	stores []*env // of the same data, for change
}

// usage is what happens to the store besides calls.
type usage int

const (
	alone usage = iota
	restarting
	several
)

var (
	flows = []string{flow, "groups"}
	keys  = []entity.Key{key("1"), key("2"), {ID: "1"}}

	anyFlow     = rapid.SampledFrom(flows)
	anyKey      = rapid.SampledFrom(keys)
	anyPriority = rapid.SampledFrom([]work.Priority{work.Live, work.Retry, work.Bulk})
	anyResult   = rapid.SampledFrom([]work.Result{work.Done, work.Failed, work.Deferred, work.Released, work.GaveUp})
	// Few different times, so that they coincide.
	anyTTL   = rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour})
	anySleep = rapid.SampledFrom([]time.Duration{
		time.Millisecond, time.Second - time.Millisecond, time.Second, time.Minute, time.Hour,
	})
	anyTime = rapid.Custom(func(t *rapid.T) time.Time {
		in := rapid.SampledFrom([]time.Duration{
			-1, -time.Hour, 0, time.Millisecond, time.Second, time.Minute, 2 * time.Minute, time.Hour,
		}).Draw(t, "in")
		if in == -1 {
			return time.Time{}
		}
		return now().Add(in)
	})
	anyMark = rapid.Custom(func(t *rapid.T) work.Mark {
		return work.Mark{
			Flow: anyFlow.Draw(t, "flow"), Key: anyKey.Draw(t, "key"), Due: anyTime.Draw(t, "due"),
			Priority: anyPriority.Draw(t, "priority"),
			Cause: work.Cause{
				EventID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "event"), Time: now(),
				Trace: rapid.SampledFrom([]string{"", "t"}).Draw(t, "trace"), Hops: rapid.IntRange(0, 2).Draw(t, "hops"),
			},
		}
	})
	anyGroup = rapid.SampledFrom([]string{"", "x", "y"})
)

func (h *history) mark(t *rapid.T) {
	marks := rapid.SliceOfN(anyMark, 1, 3).Draw(t, "marks")
	want := make([]int64, len(marks))
	for i := range marks {
		want[i] = h.m.mark(marks[i], now())
	}
	got, err := h.s.Mark(h.ctx, marks)
	h.NoError(err)
	h.Equal(want, got)
}

func (h *history) lease(t *rapid.T) {
	f, n, ttl := anyFlow.Draw(t, "flow"), rapid.IntRange(0, 4).Draw(t, "n"), anyTTL.Draw(t, "ttl")
	order := rapid.SampledFrom([]work.Order{work.ByPriority, work.ByAge}).Draw(t, "order")
	waited := rapid.SampledFrom([]time.Duration{0, 0, -time.Hour, time.Second, time.Hour}).Draw(t, "waited")
	leases := h.leaseOf(work.LeaseRequest{Flow: f, N: n, TTL: ttl, Order: order, Waited: waited})
	ready := h.m.ready(f, order, now().Add(-max(0, waited)))
	h.Len(leases, min(n, len(ready)))
	// Rows of the same rank may come in any order: compare ranks with the
	// model's, then let the model give the rows that the store gave.
	given := make([]*modelRow, len(leases))
	for i, l := range leases {
		r := h.m.rows[modelID{l.Flow, l.Key}]
		h.Contains(ready, r)
		h.NotContains(given, r)
		h.Zero(r.rank(ready[i], order))
		given[i] = r
	}
	for i, l := range leases {
		for _, old := range h.leases {
			h.NotEqual(old.Token, l.Token)
		}
		want := given[i].lease(owner, now(), ttl)
		want.Token = l.Token
		given[i].run.Token = l.Token
		h.Equal(want, l)
		h.leases = append(h.leases, l)
	}
}

// pick draws a lease, mostly one of the last.
func (h *history) pick(t *rapid.T) work.Lease {
	if len(h.leases) == 0 {
		t.Skip("no lease")
	}
	back := rapid.IntRange(0, min(len(h.leases), 8)-1).Draw(t, "lease")
	return h.leases[len(h.leases)-1-back]
}

func (h *history) renew(t *rapid.T) {
	l, ttl := h.pick(t), anyTTL.Draw(t, "ttl")
	errs, err := h.s.Renew(h.ctx, []work.Lease{l}, ttl)
	h.NoError(err)
	if r := h.m.held(l); r != nil {
		r.run.Until = now().Add(ttl)
		h.Equal([]error{nil}, errs)
	} else {
		h.Equal([]error{work.ErrLeaseLost}, errs)
	}
}

func (h *history) finish(t *rapid.T) {
	outcomes := make([]work.Outcome, rapid.IntRange(1, 2).Draw(t, "outcomes"))
	want := make([]error, len(outcomes))
	for i := range outcomes {
		outcomes[i] = work.Outcome{
			Lease: h.pick(t), Result: anyResult.Draw(t, "result"), Next: anyTime.Draw(t, "next"),
			Present: rapid.Bool().Draw(t, "present"), Summary: rapid.SampledFrom([]string{"", "x"}).Draw(t, "summary"),
			Fingerprint: rapid.SampledFrom([][]byte{nil, {}, {0}, {1, 2}}).Draw(t, "fingerprint"),
			Group:       anyGroup.Draw(t, "group"), Marks: rapid.SliceOfN(anyMark, 0, 2).Draw(t, "marks"),
		}
		want[i] = h.m.finish(outcomes[i], now())
	}
	errs, err := h.s.Finish(h.ctx, outcomes)
	h.NoError(err)
	h.Len(errs, len(want))
	for i := range want {
		h.ErrorIs(errs[i], want[i], "outcome %d", i)
	}
}

func (h *history) sleep(t *rapid.T) { time.Sleep(anySleep.Draw(t, "sleep")) }

func (h *history) restart(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "restart if 0") != 0 { // it takes long
		t.Skip("not now")
	}
	h.reopen()
	h.m.restart(now())
}

// change lets another store of the same data make the next calls.
func (h *history) change(t *rapid.T) {
	i := rapid.IntRange(0, 3).Draw(t, "store")
	if i >= len(h.stores) {
		if rapid.IntRange(0, 3).Draw(t, "open if 0") != 0 { // it takes long
			t.Skip("not now")
		}
		i = len(h.stores)
		h.stores = append(h.stores, h.stores[0].another())
	}
	h.env = h.stores[i]
}

// compare runs after every step. It looks at one row and one flow in turn, so
// that a history does not take seconds; the last look is at all.
func (h *history) compare(*rapid.T) {
	h.step++
	h.compareRow(modelID{flows[h.step%len(flows)], keys[h.step/2%len(keys)]})
	h.compareFlow(flows[h.step%len(flows)])
}

func (h *history) compareAll() {
	for _, f := range flows {
		for _, k := range keys {
			h.compareRow(modelID{f, k})
		}
		h.compareFlow(f)
	}
	h.Equal(h.m.stats(now()), h.stats())
}

func (h *history) compareRow(id modelID) {
	got, found := h.get(id.flow, id.key)
	r := h.m.rows[id]
	h.Equal(r != nil, found)
	if found {
		h.Equal(r.row(now()), got)
	}
}

func (h *history) compareFlow(f string) {
	next, err := h.s.NextDue(h.ctx, f)
	h.NoError(err)
	h.Equal(h.m.nextDue(f), next)
	groups, err := h.s.ParkedGroups(h.ctx, f)
	h.NoError(err)
	h.compareGroups(h.m.groups(f), groups)
	if h.step%8 == 0 {
		h.Equal(h.m.stats(now()), h.stats())
	}
}
