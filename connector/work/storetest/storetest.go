package storetest

import (
	"cmp"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// Open opens the store that is kept in dir, an empty folder at first. Opened
// again with the same dir, a durable store has the same data. It returns how to
// close the store and whatever it opened for it, nil if that is nothing. It is
// called within a bubble, see the package comment.
type Open func(dir string) (s work.Store, closeStore func() error, err error)

// Run checks what holds for every store.
func Run(t *testing.T, open Open) {
	for _, group := range [][]testCase{
		markCases, laterCases, leaseCases, aheadCases, outcomeCases, finishCases, fanOutCases, readCases, listCases, upcomingCases,
		statsCases, pruneCases, writeCases, rejectedCases, parallelCases,
	} {
		runCases(t, open, group)
	}
	t.Run("RandomHistories", func(t *testing.T) { checkModel(t, open, alone) })
	t.Run("RandomRejected", func(t *testing.T) { checkRejectedModel(t, open) })
}

// RunDurable checks that what was stored outlives the process.
func RunDurable(t *testing.T, open Open) {
	runCases(t, open, durableCases)
}

// RunSingle checks a durable store that one process alone can use: opening it
// ends the leases of the process before.
func RunSingle(t *testing.T, open Open) {
	runCases(t, open, singleCases)
	t.Run("RandomHistoriesWithRestarts", func(t *testing.T) { checkModel(t, open, restarting) })
}

// RunShared checks a store that several processes can use at once. It opens it
// several times with the same dir, in one bubble.
func RunShared(t *testing.T, open Open) {
	runCases(t, open, sharedCases)
	runCases(t, open, sharedAheadCases)
	t.Run("RandomHistoriesOfSeveral", func(t *testing.T) { checkModel(t, open, several) })
}

// testCase is one rule of the contract.
type testCase struct {
	name string
	run  func(e *env)
}

func runCases(t *testing.T, open Open, cases []testCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				e := &env{Assertions: require.New(t), ctx: t.Context(), openStore: open, dir: dir}
				e.open()
				defer e.close()
				c.run(e)
			})
		})
	}
}

// The names that the cases use.
const (
	flow  = "people"
	owner = "instance-1"
)

// env is what a case works with.
type env struct {
	*require.Assertions

	ctx        context.Context
	openStore  Open
	dir        string
	s          work.Store
	closeStore func() error
	others     []func() error // close what another opened
}

func (e *env) open() {
	var err error
	e.s, e.closeStore, err = e.openStore(e.dir)
	e.NoError(err)
}

func (e *env) close() {
	for _, closeStore := range append(e.others, e.closeStore) {
		if closeStore != nil {
			e.NoError(closeStore())
		}
	}
	e.others = nil
}

func (e *env) reopen() {
	e.close()
	e.open()
}

// another opens the store once more, as another process would.
func (e *env) another() *env {
	o := *e
	o.others = nil
	o.open()
	e.others = append(e.others, o.closeStore)
	return &o
}

func key(id string) entity.Key { return entity.Key{Type: "persons", ID: id} }

// mark returns a live mark for now.
func mark(id string) work.Mark { return work.Mark{Flow: flow, Key: key(id)} }

// markAt returns a live mark for a time from now.
func markAt(id string, in time.Duration) work.Mark {
	m := mark(id)
	m.Due = now().Add(in)
	return m
}

func markWith(id string, p work.Priority) work.Mark {
	m := mark(id)
	m.Priority = p
	return m
}

// now is the time as stores keep it.
func now() time.Time { return cut(time.Now()) }

func cut(t time.Time) time.Time { return t.Truncate(time.Millisecond).UTC() }

func (e *env) mark(marks ...work.Mark) []int64 {
	seqs, err := e.s.Mark(e.ctx, marks)
	e.NoError(err)
	e.Len(seqs, len(marks))
	return seqs
}

func (e *env) lease(n int, ttl time.Duration) []work.Lease {
	return e.leaseOf(work.LeaseRequest{Flow: flow, N: n, TTL: ttl})
}

// leaseOf leases for the owner of all cases.
func (e *env) leaseOf(req work.LeaseRequest) []work.Lease {
	req.Owner = cmp.Or(req.Owner, owner)
	leases, err := e.s.Lease(e.ctx, req)
	e.NoError(err)
	return leases
}

// leaseOnly leases for an hour and wants exactly the row of id.
func (e *env) leaseOnly(id string) work.Lease {
	leases := e.lease(10, time.Hour)
	e.Len(leases, 1)
	e.Equal(key(id), leases[0].Key)
	return leases[0]
}

// finish stores one outcome, which must be accepted.
func (e *env) finish(l work.Lease, result work.Result, next time.Time) {
	e.finishAll(work.Outcome{Lease: l, Result: result, Next: next})
}

func (e *env) finishAll(outcomes ...work.Outcome) {
	errs, err := e.s.Finish(e.ctx, outcomes)
	e.NoError(err)
	e.Len(errs, len(outcomes))
	for _, err := range errs {
		e.NoError(err)
	}
}

// fail and park let a run of the row of id, which alone is due, fail with a
// group.
func (e *env) fail(id, group string) {
	e.finishAll(work.Outcome{Lease: e.leaseOnly(id), Result: work.Failed, Group: group})
}

func (e *env) park(id, group string) {
	e.finishAll(work.Outcome{Lease: e.leaseOnly(id), Result: work.GaveUp, Group: group})
}

// run leases the row of id, which alone is due, and finishes it.
func (e *env) run(id string, result work.Result, next time.Time) {
	e.finish(e.leaseOnly(id), result, next)
}

func (e *env) row(id string) work.Row { return e.rowOf(flow, id) }

func (e *env) rowOf(flow, id string) work.Row {
	row, found := e.get(flow, key(id))
	e.True(found)
	return row
}

func (e *env) get(flow string, k entity.Key) (work.Row, bool) {
	row, found, err := e.s.Get(e.ctx, flow, k)
	e.NoError(err)
	return row, found
}

func (e *env) nextDue() time.Time {
	t, err := e.s.NextDue(e.ctx, flow)
	e.NoError(err)
	return t
}

func (e *env) none() { e.Empty(e.lease(10, time.Hour)) }

func ids(leases []work.Lease) []string {
	all := make([]string, len(leases))
	for i, l := range leases {
		all[i] = l.Key.ID
	}
	return all
}
