package sqlstore

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// crash ends a store as the end of the process does: nothing is written back.
func crash(t require.TestingT, s *SQLite) {
	conn, err := s.conn(rapidContext)
	require.NoError(t, err)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.discard(conn)
}

// pair is a store beside one in memory, of which the suite says that it is right.
type pair struct {
	*require.Assertions

	s      *SQLite
	m      *work.Memory
	leases [][2]work.Lease
}

func (p *pair) mark(t *rapid.T) {
	marks := make([]work.Mark, rapid.IntRange(1, 8).Draw(t, "marks"))
	for i := range marks {
		marks[i] = work.Mark{
			Flow: rapid.SampledFrom([]string{"f", "g"}).Draw(t, "flow"), Key: entity.Key{ID: fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "id"))},
			Priority: rapid.SampledFrom([]work.Priority{work.Live, work.Bulk, work.Retry}).Draw(t, "priority"),
			Cause:    work.Cause{EventID: fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "event")), Time: time.Now().UTC()},
		}
		if later := rapid.IntRange(-1, 3).Draw(t, "later"); later > 0 {
			marks[i].Due = time.Now().Add(time.Duration(later) * time.Hour)
		}
	}
	got, err := p.s.Mark(rapidContext, marks)
	p.NoError(err)
	want, err := p.m.Mark(rapidContext, marks)
	p.NoError(err)
	p.Equal(want, got)
}

// lease leases all that is due: which rows of the same rank come first is for
// each store to say.
func (p *pair) lease(t *rapid.T) {
	req := work.LeaseRequest{
		Flow: rapid.SampledFrom([]string{"f", "g"}).Draw(t, "flow"), Owner: "me", N: 100, TTL: time.Hour,
		Order: rapid.SampledFrom([]work.Order{work.ByPriority, work.ByAge}).Draw(t, "order"),
	}
	got, err := p.s.Lease(rapidContext, req)
	p.NoError(err)
	want, err := p.m.Lease(rapidContext, req)
	p.NoError(err)
	p.Len(got, len(want))
	if len(got) == 0 {
		return
	}
	rank := func(l work.Lease) [2]int64 {
		if req.Order == work.ByAge {
			return [2]int64{l.Due.UnixMilli()}
		}
		return [2]int64{-int64(l.Priority), l.Due.UnixMilli()}
	}
	for i := range got {
		p.Equal(rank(want[i]), rank(got[i]))
	}
	byKey := func(a, b work.Lease) int { return cmp.Compare(a.Key.ID, b.Key.ID) }
	slices.SortFunc(got, byKey)
	slices.SortFunc(want, byKey)
	for i := range got {
		p.leases = append(p.leases, [2]work.Lease{got[i], want[i]})
		got[i].Token, want[i].Token = "", ""
	}
	p.Equal(want, got)
}

func (p *pair) finish(t *rapid.T) {
	if len(p.leases) == 0 {
		return
	}
	p.finishSome(t, rapid.IntRange(1, len(p.leases)).Draw(t, "outcomes"))
}

func (p *pair) finishSome(t *rapid.T, n int) {
	outcomes, same := make([]work.Outcome, n), make([]work.Outcome, n)
	for i := range outcomes {
		o := work.Outcome{
			Result:  rapid.SampledFrom([]work.Result{work.Done, work.Done, work.Failed, work.Deferred, work.Released, work.GaveUp}).Draw(t, "result"),
			Present: rapid.Bool().Draw(t, "present"), Summary: "s", Group: "g", Fingerprint: []byte("f"),
		}
		if rapid.Bool().Draw(t, "next") {
			o.Next = time.Now().Add(time.Hour)
		}
		if rapid.IntRange(0, 3).Draw(t, "fan-out") == 0 {
			o.Marks = []work.Mark{{Flow: "g", Key: entity.Key{ID: fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "marked"))}}}
		}
		outcomes[i], same[i] = o, o
		outcomes[i].Lease, same[i].Lease = p.leases[i][0], p.leases[i][1]
	}
	p.leases = p.leases[n:]
	got, err := p.s.Finish(rapidContext, outcomes)
	p.NoError(err)
	want, err := p.m.Finish(rapidContext, same)
	p.NoError(err)
	p.Equal(want, got)
}

func (p *pair) renew() {
	for _, l := range p.leases[:min(2, len(p.leases))] {
		got, err := p.s.Renew(rapidContext, []work.Lease{l[0]}, 2*time.Hour)
		p.NoError(err)
		want, err := p.m.Renew(rapidContext, []work.Lease{l[1]}, 2*time.Hour)
		p.NoError(err)
		p.Equal(want, got)
	}
}

func (p *pair) same() {
	for _, flow := range []string{"f", "g"} {
		got, err := p.s.NextDue(rapidContext, flow)
		p.NoError(err)
		want, err := p.m.NextDue(rapidContext, flow)
		p.NoError(err)
		p.Equal(want, got)
	}
	got, err := p.s.Stats(rapidContext)
	p.NoError(err)
	want, err := p.m.Stats(rapidContext)
	p.NoError(err)
	p.Equal(want, got)
}

// compare reads all rows, which brings them back to the table.
func (p *pair) compare() {
	for _, flow := range []string{"f", "g"} {
		for _, state := range []work.State{work.Idle, work.Waiting, work.Due, work.Running, work.Parked} {
			q := work.Query{Flow: flow, State: state, Limit: 1000}
			got, err := p.s.List(rapidContext, q)
			p.NoError(err)
			want, err := p.m.List(rapidContext, q)
			p.NoError(err)
			p.Len(got, len(want))
			for i := range got {
				p.Equal(want[i], got[i])
			}
		}
	}
}

// Rows are the same whether they live in memory, in the journal or in the table,
// and wherever they have been in between.
func TestHotRows(t *testing.T) {
	for _, l := range []limits{
		defaultLimits, {resting: 8, back: 4, rows: 1000, journal: 1 << 20}, {resting: 3, back: 2, rows: 8, journal: 1 << 20},
		{resting: 0, back: 3, rows: 1000, journal: 500},
	} {
		t.Run(fmt.Sprint(l), func(t *testing.T) {
			round := 0
			dir := t.TempDir()
			rapid.Check(t, func(rt *rapid.T) {
				round++
				rapid.SyncTest(rt, func(rt *rapid.T) { hotHistory(rt, filepath.Join(dir, fmt.Sprint(round)), l) })
			})
		})
	}
}

func hotHistory(t *rapid.T, file string, l limits) {
	p := &pair{Assertions: require.New(t), m: work.NewMemory()}
	var closeDB func() error
	open := func() {
		var err error
		p.s, closeDB, err = openHot(file, l)
		p.NoError(err)
	}
	open()
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		switch rapid.SampledFrom([]string{"mark", "mark", "lease", "finish", "finish", "renew", "sleep", "sleep long", "crash", "compare"}).Draw(t, "step") {
		case "mark":
			p.mark(t)
		case "lease":
			p.lease(t)
		case "finish":
			p.finish(t)
		case "renew":
			p.renew()
		case "sleep":
			time.Sleep(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
		case "sleep long":
			time.Sleep(30 * time.Minute)
		case "crash":
			p.finishSome(t, len(p.leases)) // leases do not outlive the process
			if running, err := p.m.List(rapidContext, work.Query{Flow: "f", State: work.Running, Limit: 1}); err == nil && len(running) == 0 {
				crash(t, p.s)
				p.NoError(closeDB())
				open()
			}
		case "compare":
			p.compare()
		}
		p.same()
	}
	p.compare()
	p.NoError(errors.Join(p.s.Close(), closeDB()))
}

// The journal stays short although no rows rest for long enough to go back, and
// although one is never done.
func TestJournalStaysShort(t *testing.T) {
	const most = 10_000
	for _, rows := range []int{3, 40} {
		s, closeDB, err := openHot(filepath.Join(t.TempDir(), "work.db"), limits{resting: 20, back: 20, rows: 1000, journal: most})
		require.NoError(t, err)
		mark := func(id string) {
			_, err := s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: id}}})
			require.NoError(t, err)
		}
		lease := func(n int) []work.Lease {
			leases, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: n, TTL: time.Hour})
			require.NoError(t, err)
			require.Len(t, leases, n)
			return leases
		}
		mark("stuck")
		stuck := lease(1)[0]
		for i := range 2000 {
			mark(fmt.Sprint(i % rows))
			errs, err := s.Finish(t.Context(), []work.Outcome{{Lease: lease(1)[0], Result: work.Done}})
			require.NoError(t, err)
			require.NoError(t, errs[0])
			var bytes int
			if i%100 == 0 {
				require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT coalesce(sum(length(states)), 0) FROM konnektor_journal").Scan(&bytes))
				require.Less(t, bytes, 2*most)
			}
		}
		errs, err := s.Finish(t.Context(), []work.Outcome{{Lease: stuck, Result: work.Done}})
		require.NoError(t, err)
		require.NoError(t, errs[0])
		require.NoError(t, errors.Join(s.Close(), closeDB()))
	}
}

// A journal that is damaged is not taken for one that is empty.
func TestDamagedJournal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "work.db")
	s, closeDB, err := openHot(file, defaultLimits)
	require.NoError(t, err)
	_, err = s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}})
	require.NoError(t, err)
	for _, damage := range []string{"x''", "x'01'", "x'03'", "x'02ff'", "substr(states, 1, length(states) - 1)"} {
		_, err = s.db.ExecContext(t.Context(), "UPDATE konnektor_journal SET states = "+damage)
		require.NoError(t, err)
		crash(t, s)
		require.NoError(t, closeDB())
		_, _, err = openHot(file, defaultLimits)
		require.ErrorIs(t, err, errJournal, damage)
		db := openDB(t, file)
		_, err = db.ExecContext(t.Context(), "DELETE FROM konnektor_journal")
		require.NoError(t, err)
		require.NoError(t, db.Close())
		s, closeDB, err = openHot(file, defaultLimits)
		require.NoError(t, err)
		_, err = s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}})
		require.NoError(t, err)
	}
	require.NoError(t, errors.Join(s.Close(), closeDB()))
}

// What another process did while the connection was lost counts, not memory.
func TestFileWasElsewhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "work.db")
	s, closeDB, err := openHot(file, defaultLimits)
	require.NoError(t, err)
	mark := func(s *SQLite) []int64 {
		seqs, err := s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}})
		require.NoError(t, err)
		return seqs
	}
	mark(s)
	leases, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: 1, TTL: time.Hour})
	require.NoError(t, err)
	conn, err := s.conn(t.Context())
	require.NoError(t, err)
	s.discard(conn)
	other, closeOther, err := openHot(file, defaultLimits)
	require.NoError(t, err)
	require.Equal(t, []int64{2}, mark(other))
	require.NoError(t, errors.Join(other.Close(), closeOther()))
	require.Equal(t, []int64{3}, mark(s))
	errs, err := s.Finish(t.Context(), []work.Outcome{{Lease: leases[0], Result: work.Done}})
	require.NoError(t, err)
	require.Equal(t, []error{work.ErrLeaseLost}, errs)
	require.NoError(t, errors.Join(s.Close(), closeDB()))
}
