package connector

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// watchedStore is a work store that knows how many of the calls by which a
// connector lives are under way: one that hangs must not be taken for user code
// that does not return.
type watchedStore struct {
	work.Store

	calls atomic.Int64
}

// began notes a call. It returns what notes its end.
func (s *watchedStore) began() (ended func()) {
	s.calls.Add(1)
	return func() { s.calls.Add(-1) }
}

func (s *watchedStore) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	defer s.began()()
	return s.Store.Mark(ctx, marks)
}

func (s *watchedStore) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	defer s.began()()
	return s.Store.Lease(ctx, req)
}

func (s *watchedStore) Renew(ctx context.Context, leases []work.Lease, ttl time.Duration) ([]error, error) {
	defer s.began()()
	return s.Store.Renew(ctx, leases, ttl)
}

func (s *watchedStore) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	defer s.began()()
	return s.Store.Finish(ctx, outcomes)
}

func (s *watchedStore) NextDue(ctx context.Context, flow string) (time.Time, error) {
	defer s.began()()
	return s.Store.NextDue(ctx, flow)
}

func (s *watchedStore) Get(ctx context.Context, flow string, key entity.Key) (work.Row, bool, error) {
	defer s.began()()
	return s.Store.Get(ctx, flow, key)
}

func (s *watchedStore) Reject(ctx context.Context, rejected []work.Rejected) error {
	defer s.began()()
	return s.Store.Reject(ctx, rejected)
}

func (s *watchedStore) PruneIdle(ctx context.Context, before time.Time, limit int) (int, error) {
	defer s.began()()
	return s.Store.PruneIdle(ctx, before, limit)
}

func (s *watchedStore) PruneParked(ctx context.Context, before time.Time, limit int) (int, error) {
	defer s.began()()
	return s.Store.PruneParked(ctx, before, limit)
}

func (s *watchedStore) PruneRejected(ctx context.Context, before time.Time, limit int) (int, error) {
	defer s.began()()
	return s.Store.PruneRejected(ctx, before, limit)
}
