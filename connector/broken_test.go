package connector_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
)

// poisoned is a register that is unavailable whenever it is asked for one
// entity.
type poisoned struct {
	*register
	id    string
	asked atomic.Int64
}

func (p *poisoned) Fetch(ctx context.Context, req source.Request) (person, error) {
	if req.Key.ID == p.id {
		p.asked.Add(1)
		return person{}, failure.As(failure.Unavailable, errors.New("502"))
	}
	return p.register.Fetch(ctx, req)
}

var errStore = errors.New("connection refused")

// noRenewal is a store that can lose leases: it cannot renew them while broken.
type noRenewal struct {
	work.Store
	broken atomic.Bool
}

func (s *noRenewal) Renew(ctx context.Context, leases []work.Lease, ttl time.Duration) ([]error, error) {
	if s.broken.Load() {
		return nil, errStore
	}
	return s.Store.Renew(ctx, leases, ttl)
}

// flaky is a store that fails all calls while broken.
type flaky struct {
	work.Store
	broken atomic.Bool
}

func (s *flaky) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	if s.broken.Load() {
		return nil, errStore
	}
	return s.Store.Mark(ctx, marks)
}

func (s *flaky) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	if s.broken.Load() {
		return nil, errStore
	}
	return s.Store.Lease(ctx, req)
}

func (s *flaky) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	if s.broken.Load() {
		return nil, errStore
	}
	return s.Store.Finish(ctx, outcomes)
}

func (s *flaky) Reject(ctx context.Context, rejected []work.Rejected) error {
	if s.broken.Load() {
		return errStore
	}
	return s.Store.Reject(ctx, rejected)
}

func msgOf(payload string) *message.Message {
	return message.NewMessage(watermill.NewUUID(), []byte(payload))
}
