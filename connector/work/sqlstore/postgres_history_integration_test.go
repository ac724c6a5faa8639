//go:build integration

package sqlstore

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
)

// wish is what an accepted mark asks for: a run that begins after it, and not
// before its time.
type wish struct {
	at  int // step
	due time.Time
}

// taking is a lease that some process has.
type taking struct {
	lease work.Lease
	by    *Postgres
	at    int // step
	time  time.Time
	lost  bool // the database was put back since
}

// crew are processes on one database, which mark, run, stand still, die, and
// cannot reach the database, and the database itself is put back at times.
type crew struct {
	*require.Assertions

	*chance

	plant   func(*Postgres) // a bug, called before each call
	flow    string
	members []*Postgres
	broken  *sql.DB
	step    int
	wishes  map[string][]wish // by the key's ID
	held    []*taking
	done    map[string]*taking // the last run of each that was accepted as done or given up
}

// chance is where a history's choices come from.
type chance struct{ *rand.Rand }

func oneOf[T any](c *chance, of ...T) T { return of[c.IntN(len(of))] }

// between returns one of the whole numbers from a to b.
func (c *chance) between(a, b int) int { return a + c.IntN(b-a+1) }

func (c *chance) id() string { return strconv.Itoa(c.between(0, 2)) }

func (c *chance) duration(of ...time.Duration) time.Duration { return oneOf(c, of...) }

// marks are at most so many, for now or for a time to come.
func (c *chance) marks(flow string, most int) []work.Mark {
	marks := make([]work.Mark, c.between(0, most))
	for i := range marks {
		marks[i] = work.Mark{
			Flow: flow, Key: entity.Key{ID: c.id()}, Priority: oneOf(c, work.Live, work.Retry, work.Bulk),
			Cause: work.Cause{EventID: c.id(), Time: time.Now().UTC().Truncate(time.Millisecond)},
		}
		if in := c.between(-4, 2); in > 0 {
			marks[i].Due = time.Now().Add(time.Duration(in) * 20 * time.Second)
		}
	}
	return marks
}

// failure is what a check of a history has found.
type failure struct{ text string }

// Errorf and FailNow implement require.TestingT.
func (f *failure) Errorf(format string, args ...any) { f.text += fmt.Sprintf(format, args...) }
func (f *failure) FailNow()                          { panic(f) }

// findFailure runs a history with a seed, in a bubble and with a pool of its own.
// It returns what was found, empty if all is well.
func findFailure(t *testing.T, address string, seed uint64, history func(*require.Assertions, *chance, *sql.DB)) (found string) {
	synctest.Test(t, func(t *testing.T) {
		db, err := sql.Open("pgx", address)
		require.NoError(t, err)
		db.SetMaxIdleConns(4)
		defer db.Close()
		f := &failure{}
		defer func() {
			if r := recover(); r != nil && r != any(f) {
				panic(r)
			}
			found = f.text
		}()
		history(require.New(f), &chance{rand.New(rand.NewPCG(1, seed))}, db)
	})
	return found
}

// another returns a store as another process has it.
func (p *Postgres) another() *Postgres {
	return &Postgres{db: p.db, cfg: p.cfg, clock: p.clock, texts: p.texts, secret: p.secret}
}

func (c *crew) member() *Postgres {
	p := oneOf(c.chance, c.members...)
	c.plant(p)
	return p
}

// outage lets f make a call while the database is away, at times.
func (c *crew) outage(p *Postgres, f func() error) (stored bool) {
	if c.IntN(6) != 0 {
		c.NoError(f())
		return true
	}
	db := p.db
	p.db = c.broken
	err := f()
	p.db = db
	return err == nil // it needed no database
}

func (c *crew) wish(marks []work.Mark) {
	for _, m := range marks {
		c.wishes[m.Key.ID] = append(c.wishes[m.Key.ID], wish{c.step, m.Due})
	}
}

func (c *crew) mark() { c.markBy(c.member(), c.marks(c.flow, 3)) }

func (c *crew) markBy(p *Postgres, marks []work.Mark) {
	if c.outage(p, func() error {
		_, err := p.Mark(rapidContext, marks)
		return err
	}) {
		c.wish(marks)
	}
}

func (c *crew) lease() { c.leaseBy(c.member()) }

func (c *crew) leaseBy(p *Postgres) {
	req := work.LeaseRequest{
		Flow: c.flow, Owner: "me", N: c.between(0, 5), TTL: c.duration(time.Second, 10*time.Second, time.Minute),
		Ahead: oneOf(c.chance, 0, 0, 2, 10), Waited: c.duration(0, 0, time.Millisecond, time.Second),
		Order: oneOf(c.chance, work.ByPriority, work.ByPriority, work.ByAge),
	}
	var leases []work.Lease
	c.outage(p, func() (err error) {
		leases, err = p.Lease(rapidContext, req)
		return err
	})
	for _, l := range leases {
		for _, h := range c.held {
			c.False(h.lease.Key == l.Key && !h.lost && h.lease.Until.After(time.Now()), "two have a row")
		}
		c.held = append(c.held, &taking{lease: l, by: p, at: c.step, time: time.Now()})
	}
}

func (c *crew) renew() {
	if len(c.held) == 0 {
		return
	}
	h := oneOf(c.chance, c.held...)
	c.plant(h.by)
	errs, err := h.by.Renew(rapidContext, []work.Lease{h.lease}, 10*time.Second)
	c.NoError(err)
	if errs[0] == nil {
		h.lease.Until = time.Now().Add(10 * time.Second)
	}
	c.plant(h.by)
}

func (c *crew) finish() {
	if len(c.held) == 0 {
		return
	}
	h := oneOf(c.chance, c.held...)
	o := work.Outcome{
		Lease:  h.lease,
		Result: oneOf(c.chance, work.Done, work.Done, work.Failed, work.Deferred, work.Released, work.GaveUp),
		Marks:  c.marks(c.flow, 1),
	}
	c.finishWith(h, o)
}

func (c *crew) finishWith(h *taking, o work.Outcome) {
	c.plant(h.by)
	var errs []error
	if !c.outage(h.by, func() (err error) {
		errs, err = h.by.Finish(rapidContext, []work.Outcome{o})
		return err
	}) {
		return // to be repeated
	}
	c.held = slices.DeleteFunc(c.held, func(other *taking) bool { return other == h })
	if errs[0] != nil {
		c.ErrorIs(errs[0], work.ErrLeaseLost)
		return
	}
	if o.Result == work.Done || o.Result == work.GaveUp {
		c.done[h.lease.Key.ID] = h
	}
	c.wish(o.Marks)
}

// crash ends a process: what it has in memory is gone.
func (c *crew) crash() {
	i := c.IntN(len(c.members))
	p := c.members[i]
	for _, h := range c.held {
		if h.by == p && h.lost {
			return // both at once is too much
		}
	}
	if slices.ContainsFunc(p.owed(), func(h heldMarks) bool { return h.n > 0 }) {
		return // for the same reason
	}
	c.held = slices.DeleteFunc(c.held, func(h *taking) bool { return h.by == p })
	c.members[i] = p.another()
}

// owed returns the marks whose leases have ended.
func (p *Postgres) owed() (marks []heldMarks) {
	for _, r := range p.held.rows {
		if r.token == "" {
			marks = append(marks, r.marks)
		}
	}
	return marks
}

// putBack has the database forget a lease, as one does that is put back to how
// it was some seconds ago.
func (c *crew) putBack() {
	if len(c.held) == 0 {
		return
	}
	c.putBackBefore(oneOf(c.chance, c.held...))
}

func (c *crew) putBackBefore(h *taking) {
	p := h.by
	_, err := p.db.ExecContext(rapidContext, "UPDATE "+p.schema()+`.work SET lease_until = NULL, token = '', renewed = false,
		due = least(due, timestamptz 'epoch' + $3 * interval '1 millisecond') WHERE flow = $1 AND id = $2 AND token = $4`,
		c.flow, h.lease.Key.ID, h.lease.Due.UnixMilli(), h.lease.Token)
	c.NoError(err)
	h.lost = true
}

// overtake lets somebody take a row from a process, which then has a mark of it.
func (c *crew) overtake() {
	if len(c.held) == 0 {
		return
	}
	h := oneOf(c.chance, c.held...)
	if c.IntN(2) == 0 {
		c.putBackBefore(h)
	} else {
		time.Sleep(max(0, time.Until(h.lease.Until)))
	}
	c.leaseBy(c.member())
	c.step++
	c.plant(h.by)
	c.markBy(h.by, []work.Mark{{Flow: c.flow, Key: h.lease.Key}})
}

func (c *chance) sleep() {
	time.Sleep(c.duration(time.Millisecond, 900*time.Millisecond, 5*time.Second, 9*time.Second, 90*time.Second))
}

func (c *crew) look() {
	_, _, err := c.member().Get(rapidContext, c.flow, entity.Key{ID: c.id()})
	c.NoError(err)
}

func (c *crew) history() {
	steps := []func(){
		c.mark, c.mark, c.lease, c.lease, c.finish, c.finish, c.finish, c.renew, c.sleep, c.crash, c.overtake, c.putBack, c.look,
	}
	for range c.between(5, 25) {
		c.step++
		oneOf(c.chance, steps...)()
	}
	c.calm()
}

// calm lets all that is wanted be done, and checks that it was.
func (c *crew) calm() {
	for range 3 {
		c.step++
		time.Sleep(2 * time.Minute)
		for _, p := range c.members {
			c.plant(p)
			leases, err := p.Lease(rapidContext, work.LeaseRequest{Flow: c.flow, Owner: "me", N: 100, TTL: time.Hour})
			c.NoError(err)
			for _, l := range leases {
				errs, err := p.Finish(rapidContext, []work.Outcome{{Lease: l, Result: work.Done}})
				c.NoError(err)
				c.NoError(errs[0])
				c.done[l.Key.ID] = &taking{lease: l, at: c.step, time: time.Now()}
			}
		}
	}
	next, err := c.members[0].NextDue(rapidContext, c.flow)
	c.NoError(err)
	c.Zero(next)
	for id, wishes := range c.wishes {
		run := c.done[id]
		for _, w := range wishes {
			c.True(run != nil && run.at > w.at && !run.time.Before(w.due), "%s: no run since the mark of step %d", id, w.at)
		}
	}
}

// crewHistory returns a history of three processes with a bug.
func crewHistory(flow string, plant func(*Postgres)) func(*require.Assertions, *chance, *sql.DB) {
	return func(check *require.Assertions, ch *chance, db *sql.DB) {
		broken, err := sql.Open("pgx", "")
		check.NoError(err)
		check.NoError(broken.Close())
		p, err := newPostgres(rapidContext, db, PostgresConfig{}, processClock)
		check.NoError(err)
		c := &crew{
			Assertions: check, chance: ch, plant: plant, flow: flow, members: []*Postgres{p, p.another(), p.another()}, broken: broken,
			wishes: make(map[string][]wish), done: make(map[string]*taking),
		}
		c.history()
	}
}

// Three processes that mark and run the same entities forget no mark, whatever
// happens to them and to the database.
func TestPostgresHistories(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	for seed := range uint64(100) { // among them one that finds the bugs below
		found := findFailure(t, address, seed, crewHistory(fmt.Sprint(seed), func(*Postgres) {}))
		require.Empty(t, found, "seed %d", seed)
	}
}

// together is a store beside one in memory.
type together struct {
	*require.Assertions

	*chance

	p      *Postgres
	m      *work.Memory
	flow   string
	plant  func(*Postgres) // a bug, called before each call that may show it
	leases [][2]work.Lease
}

func (s *together) mark() {
	s.plant(s.p)
	marks := s.marks(s.flow, 4)
	got, err := s.p.Mark(rapidContext, marks)
	s.NoError(err)
	want, err := s.m.Mark(rapidContext, marks)
	s.NoError(err)
	s.Equal(want, got)
}

// lease leases all that is due: which rows of the same rank come first is for
// each store to say.
func (s *together) lease() {
	req := work.LeaseRequest{
		Flow: s.flow, Owner: "me", N: 100,
		TTL:    s.duration(time.Second, time.Minute),
		Order:  oneOf(s.chance, work.ByPriority, work.ByAge),
		Waited: s.duration(0, 0, time.Second),
	}
	s.giveBack()
	s.leaseAhead(req)
	s.plant(s.p)
	got, err := s.p.Lease(rapidContext, req)
	s.NoError(err)
	want, err := s.m.Lease(rapidContext, req)
	s.NoError(err)
	for i := range got { // what was leased ahead does not last as long
		got[i].Until = time.UnixMilli(time.Now().UnixMilli() + req.TTL.Milliseconds()).UTC()
	}
	s.leases = append(s.leases, sameLeases(s.Assertions, req.Order, want, got)...)
}

// leaseAhead leases some rows ahead, which then are marked.
func (s *together) leaseAhead(req work.LeaseRequest) {
	req.N, req.Ahead = 0, s.between(0, 4)
	none, err := s.p.Lease(rapidContext, req)
	s.NoError(err)
	s.Empty(none)
	for range s.between(0, 3) {
		s.mark()
	}
}

// giveBack gives back what is leased ahead: others do not see what the store in
// memory has.
func (s *together) giveBack() {
	none, err := s.p.Lease(rapidContext, work.LeaseRequest{Flow: s.flow, Owner: "me"})
	s.NoError(err)
	s.Empty(none)
}

func (s *together) pick() (l [2]work.Lease, found bool) {
	if len(s.leases) == 0 {
		return l, false
	}
	return oneOf(s.chance, s.leases...), true
}

func (s *together) finish() {
	if l, found := s.pick(); found {
		s.finishLease(l)
	}
}

func (s *together) finishLease(l [2]work.Lease) {
	o := work.Outcome{
		Lease:   l[0],
		Result:  oneOf(s.chance, work.Done, work.Failed, work.Deferred, work.Released, work.GaveUp),
		Present: true, Summary: "s", Group: "g", Marks: s.marks(s.flow, 1),
	}
	if s.IntN(2) == 0 {
		o.Next = time.Now().Add(time.Minute)
	}
	same := o
	same.Lease = l[1]
	s.plant(s.p)
	got, err := s.p.Finish(rapidContext, []work.Outcome{o})
	s.NoError(err)
	want, err := s.m.Finish(rapidContext, []work.Outcome{same})
	s.NoError(err)
	s.Equal(want, got)
}

func (s *together) renew() {
	l, found := s.pick()
	if !found {
		return
	}
	ttl := s.duration(time.Second, time.Minute)
	got, err := s.p.Renew(rapidContext, []work.Lease{l[0]}, ttl)
	s.NoError(err)
	want, err := s.m.Renew(rapidContext, []work.Lease{l[1]}, ttl)
	s.NoError(err)
	s.Equal(want, got)
}

// sleep first ends runs that have seen marks which were not written: if they
// lost their leases, these marks would be made once more.
func (s *together) sleep() {
	s.giveBack()
	for _, l := range s.leases {
		if row := s.p.held.rows[rowID{l[0].Flow, l[0].Key}]; row != nil && row.token == l[0].Token && row.seen.n > 0 {
			s.finishLease(l)
		}
	}
	s.chance.sleep()
}

func (s *together) compare() {
	s.giveBack()
	for _, state := range []work.State{work.Idle, work.Waiting, work.Due, work.Running, work.Parked} {
		q := work.Query{Flow: s.flow, State: state, Limit: 100}
		got, err := s.p.List(rapidContext, q)
		s.NoError(err)
		want, err := s.m.List(rapidContext, q)
		s.NoError(err)
		s.Equal(want, got, state)
	}
}

func (s *together) next() {
	s.giveBack()
	got, err := s.p.NextDue(rapidContext, s.flow)
	s.NoError(err)
	want, err := s.m.NextDue(rapidContext, s.flow)
	s.NoError(err)
	s.Equal(want, got)
	stats, err := s.p.Stats(rapidContext)
	s.NoError(err)
	all, err := s.m.Stats(rapidContext)
	s.NoError(err)
	s.Equal(all[s.flow], stats[s.flow])
}

// togetherHistory returns a history of one process with a bug.
func togetherHistory(flow string, plant func(*Postgres)) func(*require.Assertions, *chance, *sql.DB) {
	return func(check *require.Assertions, c *chance, db *sql.DB) {
		p, err := newPostgres(rapidContext, db, PostgresConfig{}, processClock)
		check.NoError(err)
		s := &together{Assertions: check, chance: c, p: p, m: work.NewMemory(), plant: plant, flow: flow}
		steps := []func(){
			s.mark, s.mark, s.mark, s.lease, s.lease, s.finish, s.finish, s.renew, s.sleep, s.sleep, s.next, s.compare,
		}
		for range c.between(5, 40) {
			oneOf(c, steps...)()
		}
		s.compare()
	}
}

// One process sees what it would see of a store in memory, although it has
// marks in memory for long.
func TestPostgresAlone(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	for seed := range uint64(60) {
		found := findFailure(t, address, seed, togetherHistory(fmt.Sprint(seed), func(*Postgres) {}))
		require.Empty(t, found, "seed %d", seed)
	}
}

// plants are bugs that the histories must find.
var plants = []struct {
	name    string
	history func(flow string, plant func(*Postgres)) func(*require.Assertions, *chance, *sql.DB)
	from    uint64 // the seed to begin with: each history takes its time, and many find nothing
	plant   func(*Postgres)
}{
	{"takes marks in though the lease has ended", crewHistory, 1990, func(p *Postgres) {
		for _, r := range p.held.rows {
			if r.ahead == nil {
				r.until = time.Now().Add(time.Hour)
			}
		}
	}},
	{"forgets what came during a run", crewHistory, 70, func(p *Postgres) {
		for _, r := range p.held.rows {
			r.marks = heldMarks{}
		}
	}},
	{"takes what came during a run for seen", crewHistory, 70, func(p *Postgres) {
		for _, r := range p.held.rows {
			if r.ahead == nil && r.token != "" {
				r.seen, r.marks = r.owed(), heldMarks{}
			}
		}
	}},
	{"forgets what came during a run whose lease was lost", crewHistory, 200, func(p *Postgres) {
		for _, r := range p.held.rows {
			if r.token == "" {
				r.seen, r.marks = heldMarks{}, heldMarks{}
			}
		}
	}},
	{"gives a row whose lease has ended", crewHistory, 0, func(p *Postgres) {
		for _, r := range p.held.rows {
			if r.ahead != nil {
				r.until = time.Now().Add(time.Hour)
			}
		}
	}},
	{"forgets rows that were leased ahead", togetherHistory, 0, func(p *Postgres) {
		for _, q := range p.held.ahead {
			q.leases = nil
		}
	}},
	{"forgets what came before a run", togetherHistory, 0, func(p *Postgres) {
		for _, r := range p.held.rows {
			if r.ahead != nil {
				r.marks = heldMarks{}
			}
		}
	}},
	{"forgets what a run has seen", togetherHistory, 0, func(p *Postgres) {
		for _, r := range p.held.rows {
			r.seen = heldMarks{}
		}
	}},
}

// The histories are worth something: they find bugs.
func TestPostgresHistoriesFindBugs(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	for _, b := range plants {
		t.Run(b.name, func(t *testing.T) {
			for seed := b.from; seed < b.from+300; seed++ {
				if findFailure(t, address, seed, b.history(fmt.Sprint(b.name, seed), b.plant)) != "" {
					t.Logf("found by history %d", seed)
					return
				}
			}
			t.Error("no history finds it")
		})
	}
}
