package connector_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/failure"
)

// mix is live work on top of bulk work.
type mix struct {
	Workers int
	Bulk    int             // entities of bulk work, at the start
	Live    []time.Duration // pauses between live changes
}

var anyMix = rapid.Custom(func(t *rapid.T) mix {
	return mix{
		Workers: rapid.IntRange(1, 8).Draw(t, "workers"),
		Bulk:    rapid.IntRange(20, 200).Draw(t, "bulk"),
		Live: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond
		}), 1, 20).Draw(t, "live"),
	}
})

// reorder changes the order in which rows are leased.
type reorder struct {
	work.Store
	change func(*work.LeaseRequest)
}

func (s reorder) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	s.change(&req)
	return s.Store.Lease(ctx, req)
}

// checkLive plays a mix in which each run takes a second, and returns an error if
// a live change had to wait for bulk work that had not begun when it came.
func (w *world) checkLive(m mix) error {
	const takes = time.Second
	w.register.latency = takes
	w.flow.Workers = m.Workers
	if err := w.bulk(m.Bulk); err != nil {
		return err
	}
	stop := w.start()
	defer func() { _ = stop() }()
	var errs []error
	// What runs, one that has waited for longest, and its own run.
	const limit = 3*takes + time.Millisecond
	for i, pause := range m.Live {
		time.Sleep(pause)
		id := fmt.Sprint("live-", i)
		w.register.set(id, person{Name: "n"})
		w.notify(id)
		time.Sleep(limit)
		synctest.Wait()
		if _, there := w.inTarget()[id]; !there {
			errs = append(errs, fmt.Errorf("live beats bulk: change %d is not there after %v", i, limit))
		}
	}
	return errors.Join(errs...)
}

// checkBulk plays bulk work below live work that never ends, and returns an error
// if the bulk work does not get done.
func (w *world) checkBulk(workers int) error {
	w.register.latency = time.Second
	w.flow.Workers = workers
	if err := w.bulk(20); err != nil {
		return err
	}
	stop := w.start()
	defer func() { _ = stop() }()
	for i := range 400 {
		for j := range 2 * workers {
			id := fmt.Sprintf("live-%d", (2*workers*i+j)%1000)
			w.register.set(id, person{Name: "n"})
			w.notify(id)
		}
		time.Sleep(time.Second)
	}
	synctest.Wait()
	for i := range 20 {
		if w.row(fmt.Sprint("bulk-", i)).Done == 0 {
			return errors.New("bulk is not starved: it does not get done")
		}
	}
	return nil
}

// bulk marks n entities as full provisioning does.
func (w *world) bulk(n int) error {
	marks := make([]work.Mark, n)
	for i := range n {
		id := fmt.Sprint("bulk-", i)
		w.register.set(id, person{Name: "n"})
		marks[i] = work.Mark{Flow: "people", Key: key(id), Priority: work.Bulk}
	}
	_, err := w.cfg.Store.Mark(w.t.Context(), marks)
	return err
}

// TestLiveBeatsBulk is invariant N12.
func TestLiveBeatsBulk(t *testing.T) {
	for seed := range 30 {
		bubble(t, func(t *testing.T, w *world) { require.NoError(t, w.checkLive(anyMix.Example(seed))) })
	}
	t.Run("catches a store that ignores priorities", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.cfg.Store = reorder{w.cfg.Store, func(req *work.LeaseRequest) { req.Order = work.ByAge }}
			require.ErrorContains(t, w.checkLive(mix{Workers: 2, Bulk: 200, Live: []time.Duration{time.Second}}), "live beats bulk")
		})
	})
}

func TestBulkIsNotStarved(t *testing.T) {
	for _, workers := range []int{1, 4, 16} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) { require.NoError(t, w.checkBulk(workers)) })
		})
	}
	t.Run("catches a store that knows no age", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.cfg.Store = reorder{w.cfg.Store, func(req *work.LeaseRequest) { req.Order = work.ByPriority }}
			require.ErrorContains(t, w.checkBulk(4), "bulk is not starved")
		})
	})
}

// TestBulkLeavesLiveWorkFresh lets bulk work come upon an entity that owes what a
// notification asked for. The register refuses a read that may be cached.
func TestBulkLeavesLiveWorkFresh(t *testing.T) {
	for _, class := range []failure.Class{failure.Failed, failure.Unavailable, failure.Rejected} {
		t.Run(class.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.register.set("1", person{Name: "Kari"})
				w.register.setDown(failure.As(class, errors.New("not now")))
				stop := w.start()
				w.notify("1")
				settle()
				require.Contains(t, []work.State{work.Waiting, work.Parked}, w.row("1").State)
				w.register.setDown(nil)
				_, err := w.cfg.Store.Mark(t.Context(), []work.Mark{{Flow: "people", Key: key("1"), Priority: work.Bulk}})
				require.NoError(t, err)
				w.notify("2") // wakes the loop
				settle()
				require.Equal(t, work.Done, w.row("1").LastResult)
				require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget())
				require.NoError(t, stop())
			})
		})
	}
}

// TestADateIsNotBulkWork: what somebody asked for at a date is read past caches,
// also if bulk work waits for the entity when the date comes.
func TestADateIsNotBulkWork(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.set("1", person{Name: "Kari"})
		_, err := w.cfg.Store.Mark(t.Context(), []work.Mark{
			{Flow: "people", Key: key("1"), Due: time.Now().Add(time.Hour)},
			{Flow: "people", Key: key("1"), Priority: work.Bulk},
		})
		require.NoError(t, err)
		time.Sleep(2 * time.Hour)
		stop := w.start()
		settle()
		require.Equal(t, work.Done, w.row("1").LastResult)
		require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget())
		require.NoError(t, stop())
	})
}
