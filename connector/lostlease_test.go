package connector_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/testkit"
)

// lateRemoval is a sink whose first removal takes effect half a minute late,
// whatever becomes of its context: it was on its way when its process stood
// still.
type lateRemoval struct {
	sink.Sink[entry]
	target *testkit.Target[entry]
	begun  atomic.Bool
}

func (s *lateRemoval) Remove(ctx context.Context, key entity.Key) (sink.Change, error) {
	if !s.begun.CompareAndSwap(false, true) {
		return s.Sink.Remove(ctx, key)
	}
	time.Sleep(30 * time.Second)
	s.target.Unset(key)
	return sink.Change{Op: sink.Removed}, ctx.Err()
}

// TestALateWriteIsMadeGood has a removal arrive in the target after another run
// has taken over and found the person back again.
func TestALateWriteIsMadeGood(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		store := &noRenewal{Store: work.NewMemory()}
		store.broken.Store(true)
		w.cfg.Store, w.cfg.Lease = store, 10*time.Second
		w.flow.Sink = &lateRemoval{Sink: w.flow.Sink, target: w.target}
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.notify("1")
		settle()
		w.register.remove("1")
		w.notify("1")
		settle()
		w.register.set("1", person{Name: "Kari Nordmann"})
		time.Sleep(20 * time.Second)
		require.Equal(t, map[string]string{"1": "Kari Nordmann"}, w.inTarget(), "another run takes over")
		require.Equal(t, work.Idle, w.row("1").State)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, map[string]string{"1": "Kari Nordmann"}, w.inTarget())
		require.Equal(t, "created", w.row("1").Summary, "the late removal did take effect")
		require.Equal(t, "lost lease", w.row("1").Cause.Kind)
		require.NoError(t, stop())
	})
}
