package connector_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
)

// earlyAck says that marks are stored and stores them a little later.
type earlyAck struct{ work.Store }

func (s *earlyAck) Mark(_ context.Context, marks []work.Mark) ([]int64, error) {
	time.AfterFunc(100*time.Millisecond, func() { _, _ = s.Store.Mark(context.Background(), marks) })
	return make([]int64, len(marks)), nil
}

// dropsDuringRun does not store a mark of an entity that is being reconciled.
type dropsDuringRun struct {
	work.Store
	h *history

	mu      sync.Mutex
	running map[entity.Key]bool
}

func (s *dropsDuringRun) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	var kept []work.Mark
	s.mu.Lock()
	for _, m := range marks {
		if !s.running[m.Key] {
			kept = append(kept, m)
		}
	}
	s.mu.Unlock()
	if len(kept) > 0 {
		if _, err := s.Store.Mark(ctx, kept); err != nil {
			return nil, err
		}
	}
	return make([]int64, len(marks)), nil
}

func (s *dropsDuringRun) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	leases, err := s.Store.Lease(ctx, req)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range leases {
		s.running[l.Key] = true
	}
	return leases, err
}

func (s *dropsDuringRun) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	s.mu.Lock()
	for _, o := range outcomes {
		delete(s.running, o.Lease.Key)
	}
	s.mu.Unlock()
	return s.Store.Finish(ctx, outcomes)
}

// noFanOut stores outcomes without what they mark.
type noFanOut struct{ work.Store }

func (s noFanOut) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	for i := range outcomes {
		outcomes[i].Marks = nil
	}
	return s.Store.Finish(ctx, outcomes)
}

// noLeases gives leases that end at once.
type noLeases struct{ work.Store }

func (s *noLeases) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	req.TTL = time.Millisecond
	leases, err := s.Store.Lease(ctx, req)
	for i := range leases {
		leases[i].Until = time.Now().Add(time.Hour)
	}
	return leases, err
}

// notCoalesced forgets that a finished run has dealt with several marks.
type notCoalesced struct {
	work.Store
	h *history
}

func (s *notCoalesced) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	for k, o := range outcomes {
		s.h.mu.Lock()
		again := s.h.fetches[o.Lease.Key.ID] < 100
		s.h.mu.Unlock()
		if o.Result == work.Done && again {
			outcomes[k].Next = time.Now()
		}
	}
	return s.Store.Finish(ctx, outcomes)
}

// cached answers from a cache that is a little too old.
type cached struct {
	source.Source[person]

	mu     sync.Mutex
	states map[string]person
}

func (s *cached) Fetch(ctx context.Context, req source.Request) (person, error) {
	s.mu.Lock()
	p, ok := s.states[req.Key.ID]
	s.mu.Unlock()
	if ok {
		return p, nil
	}
	p, err := s.Source.Fetch(ctx, req)
	if err == nil {
		s.mu.Lock()
		s.states[req.Key.ID] = p
		s.mu.Unlock()
	}
	return p, err
}

// alwaysWrites writes without a look at what is there.
type alwaysWrites struct{ h *history }

func (s *alwaysWrites) Apply(ctx context.Context, key entity.Key, want entry) (sink.Change, error) {
	if err := s.h.target.Create(ctx, key, want); !errors.Is(err, sink.ErrExists) {
		return sink.Change{Op: sink.Created}, err
	}
	have, _, err := s.h.target.Get(ctx, key)
	if err != nil {
		return sink.Change{}, err
	}
	err = s.h.target.Update(ctx, key, have, want, []sink.Field{{Name: "Name"}})
	return sink.Change{Op: sink.Updated}, err
}

func (s *alwaysWrites) Remove(ctx context.Context, key entity.Key) (sink.Change, error) {
	have, _, err := s.h.target.Get(ctx, key)
	if err != nil {
		return sink.Change{}, err
	}
	if err := s.h.target.Delete(ctx, key, have); !errors.Is(err, sink.ErrNotFound) {
		return sink.Change{Op: sink.Removed}, err
	}
	return sink.Change{}, nil
}

// unclassified forgets what its errors mean.
type unclassified struct{ source.Source[person] }

func (s *unclassified) Fetch(ctx context.Context, req source.Request) (person, error) {
	p, err := s.Source.Fetch(ctx, req)
	if err != nil && err.Error() == "source down" {
		return p, errors.New("something went wrong")
	}
	return p, err
}
