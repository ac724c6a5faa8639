package connector_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
)

// durableStore is the world's store, which says that it is durable.
func (w *world) durableStore() { w.cfg.Store = durable{work.NewMemory()} }

// burst notifies of entities in turn, several times each, over a time.
func (w *world) burst(entities, times int, took time.Duration) {
	for range times {
		for i := range entities {
			w.notify(fmt.Sprint("burst-", i))
		}
		time.Sleep(took / time.Duration(times))
	}
}

// TestATideIsTakenInFirst: while notifications come in faster than runs can
// follow, one run does for several of them.
func TestATideIsTakenInFirst(t *testing.T) {
	for _, c := range []struct {
		name        string
		gather      time.Duration
		least, most int
	}{
		{name: "default", least: 100, most: 200},
		{name: "never", gather: -1, least: 300, most: 2000},
		{name: "short", gather: 50 * time.Millisecond, least: 200, most: 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.durableStore()
				w.flow.Gather, w.flow.Workers = c.gather, 64
				w.register.latency = 5 * time.Millisecond
				stop := w.start()
				w.burst(100, 20, 200*time.Millisecond)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				require.GreaterOrEqual(t, w.register.total(), c.least)
				require.LessOrEqual(t, w.register.total(), c.most)
				require.NoError(t, stop())
			})
		})
	}
}

// TestATideDelaysNobodyForLong: an entity waits for Gather at most, however long
// the tide lasts, and not at all when there is none.
func TestATideDelaysNobodyForLong(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.durableStore()
		w.flow.Workers = 64
		stop := w.start()
		w.notify("alone")
		synctest.Wait()
		require.Equal(t, 1, w.register.count("alone"), "at once")
		go w.burst(300, 500, 5*time.Second)
		time.Sleep(time.Second)
		w.notify("live")
		time.Sleep(900 * time.Millisecond)
		require.Zero(t, w.register.count("live"), "there may be more about it")
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 1, w.register.count("live"))
		time.Sleep(5 * time.Second)
		w.notify("alone")
		synctest.Wait()
		require.Equal(t, 2, w.register.count("alone"), "at once again")
		require.NoError(t, stop())
	})
}

// TestManyThatRunsKeepUpWithAreNoTide: nobody waits while runs follow.
func TestManyThatRunsKeepUpWithAreNoTide(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.durableStore()
		w.flow.Workers = 64
		stop := w.start()
		for i := range 1000 {
			w.notify(fmt.Sprint(i))
			synctest.Wait()
			require.Equal(t, i+1, w.register.total(), "at once")
			time.Sleep(100 * time.Microsecond)
		}
		require.NoError(t, stop())
	})
}

// TestAStoreInMemoryDoesNotWait: its deliveries are acked after their runs, and
// the broker gives no more until then.
func TestAStoreInMemoryDoesNotWait(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Workers = 64
		w.register.latency = 5 * time.Millisecond
		stop := w.start()
		w.burst(640, 1, 0)
		time.Sleep(10 * 5 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 640, w.register.total())
		require.NoError(t, stop())
	})
}
