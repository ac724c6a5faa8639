package sqlstore

import (
	"cmp"
	"fmt"
	"slices"
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

	t      require.TestingT
	file   string
	limits limits
	db     *plantedDB
	s      *SQLite
	m      *work.Memory
	leases [][2]work.Lease
}

func (p *pair) open() {
	var err error
	p.db = openPlanted(p.file, p.db.bug)
	p.s, err = NewSQLite(rapidContext, p.db.DB, SQLiteConfig{})
	p.NoError(err)
	p.s.limits = p.limits
}

func anyMarks(t *rapid.T) []work.Mark {
	marks := make([]work.Mark, rapid.IntRange(1, 8).Draw(t, "marks"))
	for i := range marks {
		marks[i] = work.Mark{
			Flow: rapid.SampledFrom(hotFlows).Draw(t, "flow"), Key: anyKey(t),
			Priority: rapid.SampledFrom([]work.Priority{work.Live, work.Bulk, work.Retry}).Draw(t, "priority"),
			Cause:    work.Cause{EventID: fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "event")), Time: time.Now().UTC()},
		}
		if later := rapid.IntRange(-1, 3).Draw(t, "later"); later > 0 {
			marks[i].Due = time.Now().Add(time.Duration(later) * time.Hour)
		}
	}
	return marks
}

var hotFlows = []string{"f", "g"}

func anyKey(t *rapid.T) entity.Key {
	return entity.Key{ID: fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "id"))}
}

func (p *pair) mark(t *rapid.T) {
	marks := anyMarks(t)
	got, err := p.s.Mark(rapidContext, marks)
	p.NoError(err)
	want, err := p.m.Mark(rapidContext, marks)
	p.NoError(err)
	p.Equal(want, got)
}

// markInVain marks, which cannot be stored.
func (p *pair) markInVain(t *rapid.T) {
	p.db.fail = true
	_, err := p.s.Mark(rapidContext, anyMarks(t))
	p.ErrorIs(err, errPlanted)
}

// lease leases all that is due: which rows of the same rank come first is for
// each store to say.
func (p *pair) lease(t *rapid.T) {
	p.leaseBut(work.LeaseRequest{
		Flow: rapid.SampledFrom(hotFlows).Draw(t, "flow"), Owner: "me", N: 100, TTL: time.Hour,
		Order: rapid.SampledFrom([]work.Order{work.ByPriority, work.ByAge}).Draw(t, "order"),
	}, nil)
}

// leaseBut leases all that is due, which in the database may be some more.
func (p *pair) leaseBut(req work.LeaseRequest, more func(work.Lease) bool) {
	got, err := p.s.Lease(rapidContext, req)
	p.NoError(err)
	got = slices.DeleteFunc(got, func(l work.Lease) bool { return more != nil && more(l) })
	want, err := p.m.Lease(rapidContext, req)
	p.NoError(err)
	p.leases = append(p.leases, sameLeases(p.Assertions, req.Order, want, got)...)
}

// sameLeases checks that two stores gave leases of the same rows in the same order,
// and returns them in pairs, what was given before what was wanted.
func sameLeases(check *require.Assertions, order work.Order, want, got []work.Lease) (pairs [][2]work.Lease) {
	check.Len(got, len(want))
	for i := range got {
		check.Equal(want[i].Due, got[i].Due)
		if order == work.ByPriority {
			// Bulk work can become a retry when it is leased, and keeps its place.
			check.Equal(max(want[i].Priority, work.Retry), max(got[i].Priority, work.Retry))
		}
	}
	byKey := func(a, b work.Lease) int { return cmp.Compare(a.Key.ID, b.Key.ID) }
	slices.SortFunc(got, byKey)
	slices.SortFunc(want, byKey)
	for i := range got {
		pairs = append(pairs, [2]work.Lease{got[i], want[i]})
		got[i].Token, want[i].Token = "", ""
		check.Equal(want[i], got[i])
	}
	return pairs
}

func (p *pair) finish(t *rapid.T) {
	if len(p.leases) == 0 {
		return
	}
	p.finishSome(t, rapid.IntRange(1, len(p.leases)).Draw(t, "outcomes"))
}

// finishInVain ends runs, which cannot be stored.
func (p *pair) finishInVain(t *rapid.T) {
	if len(p.leases) == 0 {
		return
	}
	p.db.fail = true
	var outcomes []work.Outcome
	for _, l := range p.leases {
		outcomes = append(outcomes, work.Outcome{Lease: l[0], Result: work.Done, Marks: anyMarks(t)})
	}
	errs, err := p.s.Finish(rapidContext, outcomes)
	if p.db.fail { // there was nothing to be stored
		p.db.fail = false
		p.NoError(err)
		p.NotContains(errs, error(nil))
		return
	}
	p.ErrorIs(err, errPlanted)
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
		p.renewOne(l, 2*time.Hour)
	}
}

func (p *pair) renewOne(l [2]work.Lease, ttl time.Duration) {
	got, err := p.s.Renew(rapidContext, []work.Lease{l[0]}, ttl)
	p.NoError(err)
	want, err := p.m.Renew(rapidContext, []work.Lease{l[1]}, ttl)
	p.NoError(err)
	p.Equal(want, got)
}

func (p *pair) forget(t *rapid.T) {
	key := anyKey(t)
	want, refused := p.m.Forget(rapidContext, key)
	got, err := p.s.Forget(rapidContext, key)
	p.Equal(want, got)
	if refused != nil {
		p.ErrorIs(err, work.ErrRunning)
		return
	}
	p.NoError(err)
}

func (p *pair) prune() {
	for _, prune := range []func(work.Store) (int, error){
		func(s work.Store) (int, error) { return s.PruneIdle(rapidContext, time.Now(), 100) },
		func(s work.Store) (int, error) {
			return s.PruneParked(rapidContext, time.Now().Add(-time.Hour), 100)
		},
	} {
		want, err := prune(p.m)
		p.NoError(err)
		got, err := prune(p.s)
		p.NoError(err)
		p.Equal(want, got)
	}
}

// crash ends the process. What it had leased is due again: in memory, where nobody
// crashes, the leases go on instead. That is the same for runs during which no mark
// and no date came; the others end before.
func (p *pair) crash(t *rapid.T) {
	var open [][2]work.Lease
	for { // outcomes may mark others
		open = nil
		var over [][2]work.Lease
		for i, l := range p.leases {
			row, found, err := p.m.Get(rapidContext, l[1].Flow, l[1].Key)
			p.NoError(err)
			lost := slices.ContainsFunc(p.leases[i+1:], func(o [2]work.Lease) bool {
				return o[1].Flow == l[1].Flow && o[1].Key == l[1].Key
			})
			if found && !lost && row.State == work.Running && row.Dirty == l[1].Dirty && len(row.Later) == 0 {
				open = append(open, l)
			} else {
				over = append(over, l)
			}
		}
		if len(over) == 0 {
			break
		}
		p.leases = over
		p.finishSome(t, len(over))
		p.leases = open
	}
	p.leases = nil
	crash(p.t, p.s)
	p.NoError(p.db.Close())
	p.open()
	var entries int
	p.NoError(p.db.QueryRowContext(rapidContext, "SELECT count(*) FROM konnektor_journal").Scan(&entries))
	p.Zero(entries, "what is recovered is over")
	for _, flow := range hotFlows {
		req := work.LeaseRequest{Flow: flow, Owner: "me", N: 100, TTL: time.Hour}
		p.leaseBut(req, func(l work.Lease) bool {
			i := slices.IndexFunc(open, func(o [2]work.Lease) bool { return o[1].Flow == flow && o[1].Key == l.Key })
			if i < 0 {
				return false
			}
			was := open[i][1]
			open = slices.Delete(open, i, i+1)
			p.leases = append(p.leases, [2]work.Lease{l, was})
			l.Token, l.Due, l.Until = was.Token, was.Due, was.Until
			p.Equal(was, l)
			return true
		})
	}
	p.Empty(open, "due again after the crash")
	for _, l := range p.leases {
		p.renewOne(l, time.Hour)
	}
}

func (p *pair) same() {
	for _, flow := range hotFlows {
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
	for _, flow := range hotFlows {
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

// playHot plays a random history in a database with a planted bug, or none.
func playHot(t *rapid.T, assert require.TestingT, file string, l limits, bug hotBug) {
	p := &pair{
		Assertions: require.New(assert), t: assert, file: file, limits: l, db: &plantedDB{bug: bug}, m: work.NewMemory(),
	}
	p.open()
	defer func() { p.NoError(p.db.Close()) }()
	steps := []string{
		"mark", "mark", "lease", "finish", "finish", "renew", "sleep", "sleep long", "crash", "crash twice", "compare", "in vain", "forget", "prune",
	}
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		switch rapid.SampledFrom(steps).Draw(t, "step") {
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
			p.crash(t)
		case "crash twice":
			p.crash(t)
			p.prune()
			p.crash(t)
		case "compare":
			p.compare()
		case "in vain":
			p.markInVain(t)
			p.finishInVain(t)
		case "forget":
			p.forget(t)
		case "prune":
			p.prune()
		}
		if bug.after != nil {
			bug.after(p.s)
		}
		p.same()
	}
	p.crash(t)
	p.compare()
	p.NoError(p.s.Close())
}
