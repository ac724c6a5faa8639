package storetest

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

var parallelCases = []testCase{
	{"Parallel/one run at a time and no mark is lost", func(e *env) { checkParallel(time.Hour, e) }},
	{"Parallel/also when leases expire", func(e *env) { checkParallel(5*time.Millisecond, e) }},
}

const (
	parallelRows    = 20
	parallelMarkers = 4
	parallelRunners = 4
	parallelBatches = 25
)

// witness sees all leases of the parallel cases.
type witness struct {
	mu       sync.Mutex
	live     map[entity.Key]time.Time // until, of runs that have not begun to finish
	newest   map[entity.Key]string    // token
	overlaps int
	zombies  int
	lost     int
}

func (w *witness) begin(l work.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until, ok := w.live[l.Key]; ok && until.After(time.Now()) {
		w.overlaps++
	}
	w.live[l.Key] = l.Until
	w.newest[l.Key] = l.Token
}

// finishing must be called before Finish: the next run may begin within it.
func (w *witness) finishing(l work.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.newest[l.Key] == l.Token {
		delete(w.live, l.Key)
	}
}

func (w *witness) finished(superseded bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.lost++
	case superseded:
		w.zombies++
	}
}

func (w *witness) superseded(l work.Lease) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest[l.Key] != l.Token
}

// checkParallel lets goroutines mark, lease and finish the same rows at once,
// by one or several stores of the same data. Runs take up to 10 ms.
func checkParallel(ttl time.Duration, stores ...*env) {
	e := stores[0]
	for i := range parallelRows {
		e.mark(mark(strconv.Itoa(i)))
	}
	w := &witness{live: make(map[entity.Key]time.Time), newest: make(map[entity.Key]string)}
	var markers, runners sync.WaitGroup
	errs := make(chan error, parallelMarkers+parallelRunners)
	quiet := make(chan struct{})
	for i := range parallelMarkers {
		markers.Go(func() { errs <- markAtRandom(stores[i%len(stores)], rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	for i := range parallelRunners {
		runners.Go(func() { errs <- runAtRandom(stores[i%len(stores)], w, ttl, quiet, rand.New(rand.NewPCG(2, uint64(i)))) })
	}
	markers.Wait()
	close(quiet)
	runners.Wait()
	close(errs)
	for err := range errs {
		e.NoError(err)
	}
	e.Zero(w.overlaps, "leases of one row that were live at once")
	e.Zero(w.zombies, "outcomes taken from a run that had lost its lease")
	if ttl == time.Hour {
		e.Zero(w.lost)
	}
	var marks int64
	for i := range parallelRows {
		row := e.row(strconv.Itoa(i))
		e.Equal(row.Dirty, row.Done)
		e.Equal(work.Idle, row.State)
		marks += row.Dirty
	}
	e.EqualValues(parallelRows+parallelMarkers*parallelBatches*3, marks)
}

func markAtRandom(e *env, r *rand.Rand) error {
	for range parallelBatches {
		marks := make([]work.Mark, 3)
		for i := range marks {
			marks[i] = mark(strconv.Itoa(r.IntN(parallelRows)))
		}
		if _, err := e.s.Mark(e.ctx, marks); err != nil {
			return err
		}
		time.Sleep(time.Duration(r.IntN(4)) * time.Millisecond)
	}
	return nil
}

// runAtRandom leases and finishes until it is quiet and nothing is left.
func runAtRandom(e *env, w *witness, ttl time.Duration, quiet <-chan struct{}, r *rand.Rand) error {
	for start := time.Now(); ; {
		if time.Since(start) > 20*time.Second { // it takes less than one
			return errors.New("there is always something left to do")
		}
		leases, err := e.s.Lease(e.ctx, work.LeaseRequest{
			Flow: flow, Owner: owner, N: 1 + r.IntN(3), TTL: ttl, Order: work.Order(r.IntN(2)),
		})
		if err != nil {
			return err
		}
		for _, l := range leases {
			w.begin(l)
		}
		time.Sleep(time.Duration(1+r.IntN(10)) * time.Millisecond)
		if err := finishAtRandom(e, w, leases, r); err != nil {
			return err
		}
		select {
		case <-quiet:
			if next, err := e.s.NextDue(e.ctx, flow); err != nil || next.IsZero() {
				return err
			}
		default:
		}
	}
}

func finishAtRandom(e *env, w *witness, leases []work.Lease, r *rand.Rand) error {
	results := []work.Result{work.Done, work.Done, work.Failed, work.Deferred, work.Released}
	outcomes := make([]work.Outcome, len(leases))
	superseded := make([]bool, len(leases))
	for i, l := range leases {
		outcomes[i] = work.Outcome{Lease: l, Result: results[r.IntN(len(results))]}
		superseded[i] = w.superseded(l)
		w.finishing(l)
	}
	errs, err := e.s.Finish(e.ctx, outcomes)
	if err != nil {
		return err
	}
	for i, err := range errs {
		w.finished(superseded[i], err)
	}
	return nil
}
