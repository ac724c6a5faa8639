package connector_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing/synctest"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/source"
)

// playHistory plays the acts in a world with a planted bug, or none, and
// returns which promise was broken.
func playHistory(ctx context.Context, acts []act, p plant) error {
	h, err := newHistory(p)
	if err != nil {
		return err
	}
	defer func() {
		h.late.Wait()
		for len(h.instances) > 0 {
			h.end(true)
		}
		_ = h.broker.Close()
		synctest.Wait()
	}()
	if err := h.start(ctx); err != nil {
		return err
	}
	for _, a := range acts {
		if err := h.play(ctx, a); err != nil {
			return err
		}
	}
	if err := h.settleDown(ctx); err != nil {
		return err
	}
	return h.check(ctx)
}

// check says which promises were broken, when all is quiet.
func (h *history) check(ctx context.Context) error {
	errs := append([]error(nil), h.violations...)
	if n := h.broker.Len(queue); n > 0 {
		errs = append(errs, fmt.Errorf("nothing is lost: %d notifications are left in the queue", n))
	}
	h.mu.Lock()
	want := make(map[entity.Key]entry)
	for id, p := range h.people {
		want[key(id)] = entry{p.Name} // all futures have come
	}
	h.mu.Unlock()
	if got := h.target.Snapshot(); !maps.Equal(got, want) {
		errs = append(errs, fmt.Errorf("convergent: the target holds %v, not %v", got, want))
	}
	for n := range entities {
		errs = append(errs, h.checkRow(ctx, name(n)))
	}
	return errors.Join(append(errs, h.checkIdempotence())...)
}

func (h *history) checkRow(ctx context.Context, id string) error {
	row, found, err := h.store.Get(ctx, "people", key(id))
	if err != nil || !found {
		return err
	}
	var errs []error
	if row.State != work.Idle || row.Done != row.Dirty {
		errs = append(errs, fmt.Errorf("nothing is lost: %s is %s, %d of %d marks done", id, row.State, row.Done, row.Dirty))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	// A mark, a run that did not end well and the one date to come each cost a
	// run at most; so does what a crash interrupted, which is counted too.
	if most := h.marks[id] + h.unfinished[id] + h.dates(); h.fetches[id] > most {
		errs = append(errs, fmt.Errorf("coalesced: %s was fetched %d times for %d causes", id, h.fetches[id], most))
	}
	if h.attempts[id] > h.ownFailures[id] {
		errs = append(errs, fmt.Errorf("an outage is nobody's error: %s has spent %d attempts for %d failures of its own",
			id, h.attempts[id], h.ownFailures[id]))
	}
	return errors.Join(errs...)
}

// dates is how many runs dates, crashes and stops can have cost one entity.
func (h *history) dates() int { return h.version + 12 }

// checkIdempotence notifies about everybody once more: nothing is written.
func (h *history) checkIdempotence() error {
	before := len(h.target.Log())
	for n := range entities {
		if err := h.notify(n, 1, 0); err != nil {
			return err
		}
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if after := len(h.target.Log()); after > before {
		return fmt.Errorf("idempotent: %d writes though nothing had changed", after-before)
	}
	return nil
}

// mortalStore is the work store, as an instance sees it: before and after each
// call the process can die, so that nobody hears what the store did.
type mortalStore struct {
	work.Store
	i *instance
}

func storeCall[R any](s *mortalStore, do func() (R, error)) (R, error) {
	var none R
	if err := s.i.step(); err != nil {
		return none, err
	}
	s.i.mu.Lock()
	down := time.Now().Before(s.i.storeDown)
	s.i.mu.Unlock()
	if down {
		return none, errStore
	}
	result, err := do()
	return result, errors.Join(err, s.i.step())
}

func (s *mortalStore) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	return storeCall(s, func() ([]int64, error) {
		s.i.mu.Lock()
		for _, m := range marks {
			s.i.marks[m.Key.ID]++
		}
		s.i.mu.Unlock()
		return s.Store.Mark(ctx, marks)
	})
}

func (s *mortalStore) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	return storeCall(s, func() ([]work.Lease, error) { return s.Store.Lease(ctx, req) })
}

func (s *mortalStore) Renew(ctx context.Context, leases []work.Lease, ttl time.Duration) ([]error, error) {
	return storeCall(s, func() ([]error, error) { return s.Store.Renew(ctx, leases, ttl) })
}

func (s *mortalStore) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	return storeCall(s, func() ([]error, error) {
		errs, err := s.Store.Finish(ctx, outcomes)
		s.i.mu.Lock()
		defer s.i.mu.Unlock()
		for _, o := range outcomes {
			for _, m := range o.Marks {
				s.i.marks[m.Key.ID]++
			}
		}
		for k, o := range outcomes {
			if err == nil && errs[k] == nil && (o.Result == work.Failed || o.Result == work.GaveUp) {
				s.i.attempts[o.Lease.Key.ID]++
			}
		}
		return errs, err
	})
}

func (s *mortalStore) NextDue(ctx context.Context, flow string) (time.Time, error) {
	return storeCall(s, func() (time.Time, error) { return s.Store.NextDue(ctx, flow) })
}

// bugs are what the histories must catch.
var bugs = []struct {
	name   string
	plant  plant
	caught string
}{
	{"acked before the mark is stored", func(_ *history, i *instance) {
		i.store = &earlyAck{i.store}
	}, "convergent"},
	{"a mark during a run is dropped", func(h *history, i *instance) {
		i.store = &dropsDuringRun{Store: i.store, h: h, running: make(map[entity.Key]bool)}
	}, "convergent"},
	{"fan-out is forgotten", func(_ *history, i *instance) {
		i.store = noFanOut{i.store}
	}, "convergent"},
	{"leases are given twice", func(_ *history, i *instance) {
		i.store = &noLeases{i.store}
	}, "one at a time"},
	{"each mark costs a run", func(h *history, i *instance) {
		i.store = &notCoalesced{i.store, h}
	}, "coalesced"},
	{"a cache answers", func(_ *history, i *instance) {
		i.flow.Source = &cached{Source: i.flow.Source, states: make(map[string]person)}
	}, "convergent"},
	{"written though equal", func(h *history, i *instance) {
		i.flow.Sink = &alwaysWrites{h}
	}, "idempotent"},
	{"an outage costs attempts", func(_ *history, i *instance) {
		i.flow.Source = &unclassified{i.flow.Source}
	}, "an outage is nobody's error"},
}

var _ source.Source[person] = (*instance)(nil)
