package connector_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/testkit"
)

// measured is a durable store that notes how many marks a transaction makes, and
// that is broken after some transactions.
type measured struct {
	flaky
	after int // transactions with marks until it breaks, 0: it does not

	mu    sync.Mutex
	most  int
	marks int // transactions with marks
}

func (*measured) Durable() bool { return true }

func (s *measured) note(marks int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, marks)
	if marks > 1 {
		s.marks++
		if s.marks == s.after {
			s.broken.Store(true)
		}
	}
}

func (s *measured) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	defer s.note(len(marks))
	return s.flaky.Mark(ctx, marks)
}

func (s *measured) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	marks := 0
	for _, o := range outcomes {
		marks += len(o.Marks)
	}
	defer s.note(marks)
	return s.flaky.Finish(ctx, outcomes)
}

// many returns n keys.
func many(n int) []entity.Key {
	keys := make([]entity.Key, n)
	for i := range keys {
		keys[i] = key(fmt.Sprint(i))
	}
	return keys
}

// allFetched checks that n entities were reconciled, each at least once.
func (w *world) allFetched(n int) {
	w.t.Helper()
	for _, k := range many(n) {
		require.Positive(w.t, w.register.count(k.ID))
	}
}

// TestAMessageForManyIsStoredInPieces stops in the middle of them.
func TestAMessageForManyIsStoredInPieces(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		store := &measured{flaky: flaky{Store: w.cfg.Store}, after: 2}
		w.cfg.Store = store
		w.flow.Keys = func(context.Context, notification.Notification) ([]entity.Key, error) { return many(3000), nil }
		stop := w.start()
		w.notify("all")
		time.Sleep(time.Minute)
		require.True(t, store.broken.Load())
		require.Equal(t, 1, w.broker.Len(queue), "it is not acked before all of it is stored")
		_ = stop() // an error if entities were leased before the store broke: their outcomes are not stored
		store.broken.Store(false)
		time.Sleep(time.Hour) // leases end
		stop = w.start()
		time.Sleep(time.Minute)
		require.Zero(t, w.broker.Len(queue))
		w.allFetched(3000)
		require.LessOrEqual(t, store.most, 1000)
		require.NoError(t, stop())
	})
}

func TestAMessageForTooManyIsRejected(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Keys = func(context.Context, notification.Notification) ([]entity.Key, error) { return many(100_001), nil }
		stop := w.start()
		w.notify("all")
		settle()
		rejected, err := w.connector.Rejected(t.Context(), "", 10)
		require.NoError(t, err)
		require.Len(t, rejected, 1)
		require.Equal(t, "message: marks more than 100000 entities; have it published in parts", rejected[0].Reason)
		require.Zero(t, w.broker.Len(queue))
		require.Zero(t, w.register.total())
		require.NoError(t, stop())
	})
}

// TestAFanOutToManyIsStoredInPieces stops in the middle of them.
func TestAFanOutToManyIsStoredInPieces(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		store := &measured{flaky: flaky{Store: w.cfg.Store}, after: 2}
		w.cfg.Store = store
		w.flow.Match = ofType("persons")
		holders := func(string) []string {
			var all []string
			for _, k := range many(3000) {
				all = append(all, k.ID)
			}
			return all
		}
		positions := w.positions(&testkit.Target[position]{}, holders)
		stop := w.start(positions)
		w.publish("positions/7")
		time.Sleep(time.Minute)
		require.True(t, store.broken.Load())
		require.Error(t, stop(), "the outcome is not stored")
		store.broken.Store(false)
		time.Sleep(time.Hour) // the lease ends
		stop = w.start(positions)
		time.Sleep(time.Minute)
		w.allFetched(3000)
		require.LessOrEqual(t, store.most, 1000)
		require.NoError(t, stop())
	})
}
