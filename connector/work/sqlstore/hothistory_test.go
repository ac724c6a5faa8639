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
	keys   int // the last of them
	db     *plantedDB
	s      *SQLite
	m      *work.Memory
	kept   map[rowID]*keptRow
	leases [][2]work.Lease
}

func (p *pair) open() {
	var err error
	p.db = openPlanted(p.file, p.db.bug)
	p.s, err = NewSQLite(rapidContext, p.db.DB, SQLiteConfig{})
	p.NoError(err)
	p.s.limits = p.limits
	p.db.store = p.s
}

func (p *pair) anyMarks(t *rapid.T) []work.Mark {
	marks := make([]work.Mark, rapid.IntRange(1, 8).Draw(t, "marks"))
	priorities := rapid.SampledFrom([][]work.Priority{{work.Live, work.Bulk, work.Retry}, {work.Bulk}, {work.Retry}}).Draw(t, "priorities")
	for i := range marks {
		marks[i] = work.Mark{
			Flow: rapid.SampledFrom(hotFlows).Draw(t, "flow"), Key: p.anyKey(t),
			Priority: rapid.SampledFrom(priorities).Draw(t, "priority"),
			Cause:    work.Cause{EventID: fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "event")), Time: time.Now().UTC()},
		}
		if later := rapid.IntRange(-1, 3).Draw(t, "later"); later > 0 {
			marks[i].Due = time.Now().Add(time.Duration(later) * time.Hour)
		}
	}
	return marks
}

var hotFlows = []string{"f", "g"}

func (p *pair) anyKey(t *rapid.T) entity.Key {
	return entity.Key{ID: fmt.Sprint(rapid.IntRange(0, p.keys).Draw(t, "id"))}
}

func (p *pair) mark(t *rapid.T) {
	marks := p.anyMarks(t)
	got, err := p.s.Mark(rapidContext, marks)
	p.NoError(err)
	p.marked(marks, got)
}

func (p *pair) marked(marks []work.Mark, got []int64) {
	want, err := p.m.Mark(rapidContext, marks)
	p.NoError(err)
	for i, m := range marks {
		k := p.keptOf(rowID{m.Flow, m.Key})
		k.mark(m)
		p.Equal(want[i]-k.lost, got[i])
	}
	p.store()
}

// markInVain marks, which cannot be stored, and then perhaps again.
func (p *pair) markInVain(t *rapid.T) {
	p.db.fail = true
	marks := p.anyMarks(t)
	got, err := p.s.Mark(rapidContext, marks)
	switch {
	case p.db.fail: // there was nothing to be stored
		p.db.fail = false
	case rapid.Bool().Draw(t, "again"):
		p.ErrorIs(err, errPlanted)
		p.undone()
		got, err = p.s.Mark(rapidContext, marks)
	default:
		p.ErrorIs(err, errPlanted)
		p.undone()
		return
	}
	p.NoError(err)
	p.marked(marks, got)
}

// markBeside marks rows that are not due, and leases others while the marks are
// stored, or perhaps are not.
func (p *pair) markBeside(t *rapid.T) {
	marks := slices.DeleteFunc(p.anyMarks(t), func(m work.Mark) bool {
		row, _, err := p.m.Get(rapidContext, m.Flow, m.Key)
		p.NoError(err)
		return row.State == work.Due
	})
	req := anyRequest(t)
	p.db.fail, p.db.whenRow = rapid.Bool().Draw(t, "fails"), rapid.Bool().Draw(t, "when a row goes back")
	var got []work.Lease
	p.db.beside = func() { got = p.s.leaseInMemory(rapidContext, req) }
	seqs, err := p.s.Mark(rapidContext, marks)
	p.db.fail, p.db.beside = false, nil
	if len(got) > 0 { // or perhaps the table had to be asked
		p.leases = append(p.leases, sameLeases(p.Assertions, req.Order, p.wanted(req), got)...)
	}
	if err != nil {
		p.ErrorIs(err, errPlanted)
		p.undone()
		return
	}
	p.marked(marks, seqs)
}

// anyRequest asks for all that is due: which rows of the same rank come first is for
// each store to say.
func anyRequest(t *rapid.T) work.LeaseRequest {
	return work.LeaseRequest{
		Flow: rapid.SampledFrom(hotFlows).Draw(t, "flow"), Owner: "me", N: 100, TTL: time.Hour,
		Order: rapid.SampledFrom([]work.Order{work.ByPriority, work.ByAge}).Draw(t, "order"),
	}
}

func (p *pair) lease(t *rapid.T) {
	req := anyRequest(t)
	want, got := p.leaseBoth(req)
	p.leases = append(p.leases, sameLeases(p.Assertions, req.Order, want, got)...)
}

func (p *pair) leaseBoth(req work.LeaseRequest) (want, got []work.Lease) {
	got, err := p.s.Lease(rapidContext, req)
	p.NoError(err)
	return p.wanted(req), got
}

// wanted leases in memory, as the database must have it.
func (p *pair) wanted(req work.LeaseRequest) []work.Lease {
	want, err := p.m.Lease(rapidContext, req)
	p.NoError(err)
	for i, l := range want {
		k := p.keptOf(rowID{l.Flow, l.Key})
		want[i].Dirty, want[i].Done, want[i].Cause = k.dirty, l.Done-k.lostDone, k.causes[k.dirty]
	}
	return want
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

// undone lets a bug see that a call has failed.
func (p *pair) undone() {
	if p.db.undone != nil {
		p.db.undone()
		p.db.undone = nil
	}
}

// finishInVain ends runs, which cannot be stored.
func (p *pair) finishInVain(t *rapid.T) {
	if len(p.leases) == 0 {
		return
	}
	p.db.fail = true
	var outcomes []work.Outcome
	for _, l := range p.leases {
		outcomes = append(outcomes, work.Outcome{Lease: l[0], Result: work.Done, Marks: p.anyMarks(t)})
	}
	errs, err := p.s.Finish(rapidContext, outcomes)
	if p.db.fail { // there was nothing to be stored
		p.db.fail = false
		p.NoError(err)
		p.NotContains(errs, error(nil))
		return
	}
	p.ErrorIs(err, errPlanted)
	p.undone()
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
	for i, o := range outcomes {
		if want[i] != nil {
			continue
		}
		k := p.keptOf(rowID{o.Lease.Flow, o.Lease.Key})
		if k.owed = true; o.Result == work.Done {
			k.lostDone = k.lost
		}
		for _, m := range o.Marks {
			p.keptOf(rowID{m.Flow, m.Key}).mark(m)
		}
	}
	p.store()
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

func (p *pair) forget(t *rapid.T) {
	key := p.anyKey(t)
	want, refused := p.m.Forget(rapidContext, key)
	got, err := p.s.Forget(rapidContext, key)
	p.Equal(want, got)
	if refused != nil {
		p.ErrorIs(err, work.ErrRunning)
		return
	}
	p.NoError(err)
	p.storeAll()
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
	p.storeAll()
}

// crash ends the process. What it had leased is due again; in memory, where nobody
// crashes, the leases end.
func (p *pair) crash() {
	crash(p.t, p.s)
	p.NoError(p.db.Close())
	p.open()
	var entries int
	p.NoError(p.db.QueryRowContext(rapidContext, "SELECT count(*) FROM konnektor_journal").Scan(&entries))
	p.Zero(entries, "what is recovered is over")
	leased := p.recovered()
	for _, l := range p.leases {
		_, err := p.m.Renew(rapidContext, []work.Lease{l[1]}, 0)
		p.NoError(err)
	}
	p.leases = nil
	for _, flow := range hotFlows {
		want, got := p.leaseBoth(work.LeaseRequest{Flow: flow, Owner: "me", N: 100, TTL: time.Hour})
		again := func(l work.Lease) bool { return leased[rowID{l.Flow, l.Key}] }
		wantAgain, want := split(want, again)
		gotAgain, got := split(got, again)
		p.leases = append(p.leases, sameLeases(p.Assertions, work.ByPriority, want, got)...)
		p.Len(gotAgain, len(wantAgain))
		for i := range gotAgain { // since when they are due is another matter
			p.False(gotAgain[i].Due.After(time.Now()))
			gotAgain[i].Due, wantAgain[i].Due = time.Time{}, time.Time{}
		}
		p.leases = append(p.leases, sameLeases(p.Assertions, work.ByPriority, wantAgain, gotAgain)...)
	}
}

func split(leases []work.Lease, by func(work.Lease) bool) (those, others []work.Lease) {
	for _, l := range leases {
		if by(l) {
			those = append(those, l)
		} else {
			others = append(others, l)
		}
	}
	return those, others
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
				p.Equal(p.keptOf(rowID{flow, want[i].Key}).as(want[i]), got[i])
			}
		}
	}
	p.storeAll()
}

// playHot plays a random history in a database with a planted bug, or none.
func playHot(t *rapid.T, assert require.TestingT, file string, l limits, bug hotBug) {
	p := &pair{
		Assertions: require.New(assert), t: assert, file: file, limits: l, db: &plantedDB{bug: bug}, m: work.NewMemory(),
		kept: make(map[rowID]*keptRow), keys: rapid.SampledFrom([]int{3, 30}).Draw(t, "keys"),
	}
	p.open()
	defer func() { p.NoError(p.db.Close()) }()
	steps := []string{
		"mark", "mark", "mark", "mark beside", "lease", "finish", "finish", "renew", "sleep", "sleep long", "crash", "crash twice", "compare", "in vain", "forget", "prune",
	}
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		switch rapid.SampledFrom(steps).Draw(t, "step") {
		case "mark":
			p.mark(t)
		case "mark beside":
			if l.rows > p.keys*len(hotFlows) { // or rows go back that could be leased
				p.markBeside(t)
			}
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
			p.crash()
		case "crash twice":
			p.crash()
			p.prune()
			p.crash()
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
	p.crash()
	p.compare()
	p.NoError(p.s.Close())
}
