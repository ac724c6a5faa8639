package connector_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/testkit"
)

func TestAnEntityThatFailsIsRetriedThenParked(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		begin := time.Now()
		var tries []time.Duration
		var mended atomic.Bool
		w.flow.Map = func(ctx context.Context, k entity.Key, p person) (connector.Desired[entry], error) {
			if k.ID == "bad" && !mended.Load() {
				tries = append(tries, time.Since(begin))
				return connector.Desired[entry]{}, errors.New("no such department")
			}
			return toEntry(ctx, k, p)
		}
		w.flow.Retry = connector.Retry{Attempts: 6}
		w.register.set("bad", person{Name: "B"})
		w.register.set("good", person{Name: "G"})
		stop := w.start()
		w.notify("bad", "good")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.Equal(t, map[string]string{"good": "G"}, w.inTarget())
		require.Len(t, tries, 6)
		expected := time.Minute
		for i := 1; i < len(tries); i++ {
			require.InEpsilon(t, expected, tries[i]-tries[i-1], 0.25, "delay %d", i)
			expected *= 2
		}
		row := w.row("bad")
		require.Equal(t, work.Parked, row.State)
		require.Equal(t, 6, row.Attempts)
		require.Equal(t, "map: no such department", row.Summary)
		require.Zero(t, w.broker.Len(queue), "a parked entity holds no delivery")

		w.notify("bad") // a newer mark gives it a fresh start
		settle()
		require.Len(t, tries, 7)
		require.Equal(t, 1, w.row("bad").Attempts)
		require.Equal(t, work.Waiting, w.row("bad").State)
		mended.Store(true)
		time.Sleep(2 * time.Minute)
		require.Equal(t, map[string]string{"good": "G", "bad": "B"}, w.inTarget())
		require.Zero(t, w.row("bad").Attempts)
		require.NoError(t, stop())
	})
}

func TestRejectedIsParkedAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"permanent", backoff.Permanent(errors.New("never")), "map: never"},
		{"rejected", failure.As(failure.Rejected, errors.New("never")), "map: never"},
		{"no answer", nil, "map: returned neither Present nor Absent"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.flow.Map = func(context.Context, entity.Key, person) (connector.Desired[entry], error) {
					return connector.Desired[entry]{}, tc.err
				}
				w.register.set("1", person{Name: "Kari"})
				w.target.Set(key("1"), entry{"Kari"})
				stop := w.start()
				w.notify("1")
				settle()
				require.Equal(t, work.Parked, w.row("1").State)
				require.Equal(t, tc.want, w.row("1").Summary)
				require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget(), "nothing is removed by mistake")
				require.NoError(t, stop())
			})
		})
	}
}

func TestOnlyTheSourceProvesThatAnEntityIsGone(t *testing.T) {
	gone := failure.As(failure.Gone, errors.New("404"))
	t.Run("map", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.flow.Map = func(context.Context, entity.Key, person) (connector.Desired[entry], error) {
				return connector.Desired[entry]{}, gone
			}
			w.register.set("1", person{Name: "Kari"})
			w.target.Set(key("1"), entry{"Kari"})
			stop := w.start()
			w.notify("1")
			settle()
			require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget())
			require.Equal(t, 1, w.row("1").Attempts)
			require.NoError(t, stop())
		})
	})
	t.Run("sink", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.target.Fail(func(testkit.Call) error { return gone })
			w.register.set("1", person{Name: "Kari"})
			stop := w.start()
			w.notify("1")
			settle()
			require.Equal(t, 1, w.row("1").Attempts)
			require.NoError(t, stop())
		})
	})
}

// TestAPanicIsTheEntitysFailure has user code end in every way there is.
func TestAPanicIsTheEntitysFailure(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func()
		want string
	}{
		{"panic", func() { panic("01017012345") }, "map: panic with a string"},
		{"out of range", func() { _ = []int{}[len(t.Name())] }, "map: panic: runtime error: index out of range"},
		{"Goexit", runtime.Goexit, "runtime.Goexit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.flow.Map = func(ctx context.Context, k entity.Key, p person) (connector.Desired[entry], error) {
					if k.ID == "bad" {
						tc.end()
					}
					return toEntry(ctx, k, p)
				}
				w.register.set("bad", person{Name: "B"})
				w.register.set("good", person{Name: "G"})
				w.flow.Workers = 1
				stop := w.start()
				w.notify("bad", "good")
				settle()
				require.Equal(t, map[string]string{"good": "G"}, w.inTarget())
				require.Equal(t, 1, w.row("bad").Attempts)
				require.Contains(t, w.row("bad").Summary, tc.want)
				require.NoError(t, stop())
			})
		})
	}
}

// TestAnOutageIsNobodysError takes each system away for two days.
func TestAnOutageIsNobodysError(t *testing.T) {
	down := failure.As(failure.Unavailable, errors.New("connection refused"))
	for _, tc := range []struct {
		name string
		set  func(w *world, err error)
	}{
		{"source", func(w *world, err error) { w.register.setDown(err) }},
		{"target", func(w *world, err error) { w.target.Fail(func(testkit.Call) error { return err }) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				tc.set(w, down)
				for _, id := range ids(0, 100) {
					w.register.set(id, person{Name: id})
				}
				stop := w.start()
				w.notify(ids(0, 100)...)
				time.Sleep(48 * time.Hour)
				require.Empty(t, w.inTarget())
				for _, id := range ids(0, 100) {
					require.Zero(t, w.row(id).Attempts)
					require.NotEqual(t, work.Parked, w.row(id).State)
				}
				probes := w.register.total()
				require.Less(t, probes, 48*3600/8, "one probe at a time, with pauses")
				tc.set(w, nil)
				time.Sleep(30 * time.Second)
				require.Len(t, w.inTarget(), 100, "it recovers within seconds")
				require.NoError(t, stop())
			})
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.setDown(failure.UnavailableFor(time.Hour, errors.New("429")))
		w.register.set("1", person{Name: "Kari"})
		w.register.set("2", person{Name: "Ola"})
		w.flow.Workers = 1
		stop := w.start()
		w.notify("1", "2")
		time.Sleep(59 * time.Minute)
		require.Equal(t, 1, w.register.total(), "the first answer stops the flow")
		w.register.setDown(nil)
		time.Sleep(2 * time.Minute)
		require.Len(t, w.inTarget(), 2)
		require.NoError(t, stop())
	})
}

// TestOneEntityCannotKeepAFlowStopped has an entity that finds the source
// unavailable whenever it is asked for, while others are fine.
func TestOneEntityCannotKeepAFlowStopped(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, id := range ids(0, 20) {
			w.register.set(id, person{Name: id})
		}
		poison := &poisoned{register: w.register, id: "p-0000"}
		w.flow.Source = poison
		w.flow.Retry = connector.Retry{Attempts: 3}
		stop := w.start()
		for range 200 {
			w.notify(ids(1, 20)...)
			time.Sleep(time.Minute)
			if poison.asked.Load() == 0 {
				w.notify("p-0000")
			}
		}
		require.Len(t, w.inTarget(), 19)
		require.Equal(t, work.Parked, w.row("p-0000").State, "in the end it is the entity's own failure")
		require.NoError(t, stop())
	})
}

func TestWorkThatTakesTooLongIsUnavailability(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Timeout = 10 * time.Second
		w.register.latency = time.Hour
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.notify("1")
		time.Sleep(11 * time.Second)
		require.Zero(t, w.row("1").Attempts)
		require.Equal(t, work.Deferred, w.row("1").LastResult)
		require.Contains(t, w.row("1").Summary, "fetch: no answer within 10s")
		require.NoError(t, stop())
	})
}

func TestStopLetsRunningWorkEnd(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.latency = 10 * time.Second
		w.register.set("1", person{Name: "Kari"})
		w.register.set("2", person{Name: "Ola"})
		w.flow.Workers = 1
		stop := w.start()
		w.notify("1", "2")
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Len(t, w.inTarget(), 1)
		require.ElementsMatch(t, []work.State{work.Idle, work.Due}, []work.State{w.row("1").State, w.row("2").State},
			"what runs ends, and nothing new is begun")
		require.Equal(t, 1, w.broker.Len(queue))
	})
}

func TestStopCancelsWhatTakesTooLong(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.latency = time.Hour
		w.flow.Timeout = 2 * time.Hour
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.notify("1")
		time.Sleep(time.Second)
		begin := time.Now()
		require.NoError(t, stop())
		require.Equal(t, 20*time.Second, time.Since(begin))
		row := w.row("1")
		require.Equal(t, work.Due, row.State, "it is left for the next start")
		require.Zero(t, row.Attempts)
		require.Equal(t, 1, w.broker.Len(queue))
	})
}

// TestALeaseThatMayExpireCancelsItsRun has a work store that stops answering
// renewals while a run goes on.
func TestALeaseThatMayExpireCancelsItsRun(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		store := &noRenewal{Store: w.cfg.Store}
		w.cfg.Store = store
		w.register.latency = time.Hour
		w.flow.Timeout = 2 * time.Hour
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.notify("1")
		time.Sleep(50 * time.Minute)
		require.Equal(t, 1, w.register.count("1"), "as long as the lease is renewed, the run goes on")
		store.broken.Store(true)
		time.Sleep(61 * time.Second)
		require.Equal(t, 2, w.register.count("1"), "then another run begins")
		require.Contains(t, w.log.String(), "lease lost")
		require.NoError(t, stop())
	})
}

func TestTheWorkStoreIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		store := &flaky{Store: w.cfg.Store}
		w.cfg.Store = store
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		store.broken.Store(true)
		w.notify("1")
		require.NoError(t, w.broker.Publish("k", msgOf("not a notification")))
		time.Sleep(time.Hour)
		require.Equal(t, 2, w.broker.Len(queue), "nothing is acked")
		require.Empty(t, w.inTarget())
		store.broken.Store(false)
		time.Sleep(10 * time.Second)
		require.Zero(t, w.broker.Len(queue))
		require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget())
		require.Equal(t, 2, w.broker.Delivered())
		require.NoError(t, stop())
	})
}

// TestStopWithoutTheWorkStoreIsAnError has the work store go away for good.
func TestStopWithoutTheWorkStoreIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		store := &flaky{Store: w.cfg.Store}
		w.cfg.Store = store
		w.target.Fail(func(testkit.Call) error {
			store.broken.Store(true)
			return nil
		})
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.notify("1")
		settle()
		require.EqualError(t, stop(), `connector "test": 1 outcomes or marks could not be stored, see the log`)
	})
}
