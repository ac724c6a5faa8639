package connector_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/testkit"
)

// flowStatus returns the status of the only flow.
func (w *world) flowStatus() connector.FlowStatus {
	w.t.Helper()
	status := w.connector.Status()
	require.Len(w.t, status.Flows, 1)
	return status.Flows[0]
}

func TestEachSystemHasItsBreaker(t *testing.T) {
	for _, system := range []struct {
		name   string
		down   func(w *world, err error)
		status func(connector.FlowStatus) (down, other connector.BreakerStatus)
		reason string
	}{
		{
			"source", func(w *world, err error) { w.register.setDown(err) },
			func(s connector.FlowStatus) (down, other connector.BreakerStatus) { return s.Source, s.Target },
			"fetch: 503",
		},
		{
			"target", func(w *world, err error) { w.target.Fail(func(testkit.Call) error { return err }) },
			func(s connector.FlowStatus) (down, other connector.BreakerStatus) { return s.Target, s.Source },
			"write: ",
		},
	} {
		t.Run(system.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				for i := range 20 {
					w.register.set(fmt.Sprint(i), person{Name: "n"})
				}
				system.down(w, failure.As(failure.Unavailable, errors.New("503")))
				stop := w.start()
				begun := time.Now()
				for i := range 20 {
					w.notify(fmt.Sprint(i))
				}
				time.Sleep(time.Hour)
				down, other := system.status(w.flowStatus())
				require.True(t, down.Open)
				require.Contains(t, down.Reason, system.reason)
				require.WithinDuration(t, begun, down.Since, time.Minute)
				require.True(t, down.Next.After(time.Now().Add(-time.Second)))
				require.False(t, other.Open, "the other system has nothing to do with it")
				require.Less(t, w.register.total(), 8+60*60/8, "one probe at a time, with growing delays")
				system.down(w, nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Len(t, w.inTarget(), 20)
				down, _ = system.status(w.flowStatus())
				require.False(t, down.Open)
				require.Empty(t, down.Reason)
				require.NoError(t, stop())
			})
		})
	}
}

// TestABreakerOpensByTheShareOfFailures has every second answer fail, so that
// there are never three failures in a row.
func TestABreakerOpensByTheShareOfFailures(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Workers = 1
		var calls atomic.Int64
		w.target.Fail(func(testkit.Call) error {
			if calls.Add(1)%2 == 0 {
				return failure.As(failure.Unavailable, errors.New("one of two servers is down"))
			}
			return nil
		})
		stop := w.start()
		opened := false
		for i := range 40 {
			id := fmt.Sprint(i)
			w.register.set(id, person{Name: "n"})
			w.notify(id)
			synctest.Wait()
			opened = opened || w.flowStatus().Target.Open
		}
		require.True(t, opened)
		w.target.Fail(nil)
		time.Sleep(time.Hour)
		require.Len(t, w.inTarget(), 40)
		for i := range 40 {
			require.Zero(t, w.row(fmt.Sprint(i)).Attempts)
		}
		require.NoError(t, stop())
	})
}

func TestStatus(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.latency = 30 * time.Second
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.notify("1")
		time.Sleep(time.Second)
		status := w.flowStatus()
		require.Equal(t, 8, status.Workers)
		require.Len(t, status.Runs, 1)
		run := status.Runs[0]
		require.Equal(t, "fetch", run.Stage)
		require.Len(t, run.Entity, 16, "a hash, not the key")
		require.False(t, run.Stuck)
		time.Sleep(time.Minute)
		require.Empty(t, w.flowStatus().Runs)
		require.NoError(t, stop())
		require.False(t, w.connector.Status().Running)
		require.Equal(t, "people", w.flowStatus().Name)
	})
}

// TestAStuckReconcileIsVisible has user code that does not heed its context.
func TestAStuckReconcileIsVisible(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		stuck := make(chan struct{})
		w.target.Fail(func(testkit.Call) error {
			<-stuck
			return nil
		})
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.notify("1")
		time.Sleep(65 * time.Second)
		require.False(t, w.flowStatus().Runs[0].Stuck, "its time is over, but it may take a moment to notice")
		time.Sleep(10 * time.Minute)
		run := w.flowStatus().Runs[0]
		require.True(t, run.Stuck)
		require.Equal(t, "write", run.Stage)
		require.Equal(t, 1, w.log.Count("stuck: "), "once")
		close(stuck)
		time.Sleep(5 * time.Minute)
		require.Empty(t, w.flowStatus().Runs)
		require.NoError(t, stop())
	})
}

func TestRate(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Rate = 10
		for i := range 100 {
			w.register.set(fmt.Sprint(i), person{Name: "n"})
		}
		stop := w.start()
		for i := range 100 {
			w.notify(fmt.Sprint(i))
		}
		for second := range 9 {
			synctest.Wait()
			require.InDelta(t, 10+10*second, w.register.total(), 1, "after %d s", second)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		require.Len(t, w.inTarget(), 100)
		require.NoError(t, stop())
	})
}

// TestRateOfSlowRuns has runs that take longer than it takes until the next may
// begin.
func TestRateOfSlowRuns(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Rate, w.flow.Workers = 10, 100
		w.register.latency = 5 * time.Second
		for i := range 300 {
			w.register.set(fmt.Sprint(i), person{Name: "n"})
		}
		stop := w.start()
		for i := range 300 {
			w.notify(fmt.Sprint(i))
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.InDelta(t, 210, w.register.total(), 5)
		require.NoError(t, stop())
	})
}

// TestAnAnswerOfBeforeDoesNotCloseABreaker has several workers, of which one is
// told to wait while the others have asked already.
func TestAnAnswerOfBeforeDoesNotCloseABreaker(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Workers = 4
		var calls atomic.Int64
		w.flow.Source = source.Func[person](func(context.Context, source.Request) (person, error) {
			if calls.Add(1)%4 == 0 {
				return person{}, failure.UnavailableFor(time.Hour, errors.New("429"))
			}
			time.Sleep(100 * time.Millisecond)
			return person{Name: "n"}, nil
		})
		stop := w.start()
		for i := range 100 {
			w.notify(fmt.Sprint(i))
		}
		time.Sleep(59 * time.Minute)
		require.LessOrEqual(t, calls.Load(), int64(4))
		require.True(t, w.flowStatus().Source.Open)
		require.NoError(t, stop())
	})
}

func TestRateMustBeANumber(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Rate = -1
		_, err := connector.New("c", w.cfg, w.flow)
		require.ErrorContains(t, err, `flow "people": Rate: `)
	})
}

// TestASlowCommitHoldsUpNobody has a store that takes a second for each commit of
// outcomes: the workers go on meanwhile.
func TestASlowCommitHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.cfg.Store = slowFinish{w.cfg.Store}
		w.flow.Workers = 2
		for i := range 100 {
			w.register.set(fmt.Sprint(i), person{Name: "n"})
		}
		stop := w.start()
		for i := range 100 {
			w.notify(fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 100, w.register.total())
		require.NoError(t, stop())
		require.Zero(t, w.broker.Len(queue))
	})
}

type slowFinish struct{ work.Store }

func (s slowFinish) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	time.Sleep(time.Second)
	return s.Store.Finish(ctx, outcomes)
}
