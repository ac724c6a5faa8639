package connector_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
)

// halfLeases is a store that gives leases half of which is over, and renews none.
type halfLeases struct{ noRenewals }

func (s halfLeases) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	req.TTL /= 2
	return s.noRenewals.Lease(ctx, req)
}

// TestARunEndsWithTheLeaseThatItWasGiven: it may be one that was taken some time
// before.
func TestARunEndsWithTheLeaseThatItWasGiven(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.cfg.Store = halfLeases{noRenewals{Store: w.cfg.Store}}
		w.checkNoOverlap(t, 0)
	})
}

// requests is a durable store, as if shared, that remembers how it was asked for
// leases.
type requests struct {
	durable

	mu  sync.Mutex
	all []work.LeaseRequest
}

// rememberRequests gives the world such a store.
func (w *world) rememberRequests() *requests {
	s := &requests{durable: durable{work.NewMemory()}}
	w.cfg.Store = s
	return s
}

func (s *requests) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	s.mu.Lock()
	s.all = append(s.all, req)
	s.mu.Unlock()
	return s.durable.Lease(ctx, req)
}

func (s *requests) Shared() bool { return true }

func (s *requests) count(which func(work.LeaseRequest) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, req := range s.all {
		if which(req) {
			n++
		}
	}
	return n
}

// TestRowsAreLeasedAheadOfTheirRuns: during a tide as many as can begin in an
// eighth of a lease, while workers are busy in a tenth of a second, otherwise none.
// What is left is given back in the end.
func TestRowsAreLeasedAheadOfTheirRuns(t *testing.T) {
	none := func(req work.LeaseRequest) bool { return req.N == 0 && req.Ahead == 0 }
	ahead := func(req work.LeaseRequest) bool { return req.Ahead > 0 }
	bubble(t, func(t *testing.T, w *world) {
		s := w.rememberRequests()
		stop := w.start()
		for i := range 100 {
			w.notify(fmt.Sprint("alone-", i))
			synctest.Wait()
			time.Sleep(time.Millisecond)
		}
		require.NoError(t, stop())
		require.Equal(t, 100, w.register.total())
		require.Zero(t, s.count(ahead))
		require.Zero(t, s.count(none))
	})
	bubble(t, func(t *testing.T, w *world) {
		s := w.rememberRequests()
		w.flow.Workers, w.flow.Gather = 8, -1
		w.register.latency = 5 * time.Millisecond
		stop := w.start()
		for i := range 1000 { // no tide, but more than eight workers can do
			w.notify(fmt.Sprint("busy-", i))
			time.Sleep(500 * time.Microsecond)
		}
		require.NoError(t, stop())
		require.Positive(t, s.count(ahead))
		require.Zero(t, s.count(func(req work.LeaseRequest) bool { return req.Ahead > 200 }))
		require.Equal(t, 1, s.count(none))
		require.True(t, none(s.all[len(s.all)-1]))
	})
	bubble(t, func(t *testing.T, w *world) {
		s := w.rememberRequests()
		w.flow.Workers = 64
		w.register.latency = 5 * time.Millisecond
		stop := w.start()
		w.burst(100, 20, 200*time.Millisecond)
		time.Sleep(2 * time.Second)
		require.NoError(t, stop())
		require.Positive(t, s.count(func(req work.LeaseRequest) bool { return req.Ahead > 10_000 && req.Waited > 0 }))
		require.True(t, none(s.all[len(s.all)-1]))
	})
	bubble(t, func(t *testing.T, w *world) {
		s := w.rememberRequests()
		w.flow.Workers, w.flow.Rate = 64, 20
		stop := w.start()
		w.burst(100, 20, 200*time.Millisecond)
		time.Sleep(2 * time.Second)
		require.NoError(t, stop())
		require.Positive(t, s.count(ahead))
		require.Zero(t, s.count(func(req work.LeaseRequest) bool { return req.Ahead > 20*60/8 }))
	})
	bubble(t, func(t *testing.T, w *world) {
		s := w.rememberRequests()
		w.flow.Workers = 300
		w.register.latency = 30 * time.Second
		stop := w.start()
		w.burst(1000, 2, 200*time.Millisecond)
		time.Sleep(15 * time.Second)
		require.Equal(t, 1, s.count(none), "no worker is free: others shall have what is kept")
		require.NoError(t, stop())
	})
}
