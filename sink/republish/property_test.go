package republish_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/republish"
)

var quiet = slog.New(slog.DiscardHandler)

// TestProperty has two instances apply and remove in turns, with a fault at any
// step: the process ends before or after it, or only the answer is lost. Once
// things are quiet, a publication came after each change, and nothing is owed.
// None came without a change or a fault.
func TestProperty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noDeadline := struct{ rapid.TB }{t} // a bubble has none, and asking panics
		rapid.Check(noDeadline, func(t *rapid.T) {
			w := newWorld(&republish.Memory{})
			cfg := republish.Config{Limit: rapid.SampledFrom([]int{-1, 1, 3}).Draw(t, "limit"), Logger: quiet}
			instances := []*republish.Sink[row]{w.sink(t, cfg), w.sink(t, cfg)}
			noisy := true
			w.next = func(step string) fault {
				if !noisy || rapid.IntRange(0, 5).Draw(t, "is "+step+" well") > 0 {
					return none
				}
				return fault(rapid.IntRange(int(refused), int(after)).Draw(t, step))
			}
			var wanted *row
			call := func() (sink.Change, error) {
				w.dead = false // the process is started again
				s := instances[rapid.IntRange(0, 1).Draw(t, "instance")]
				if wanted == nil {
					return s.Remove(t.Context(), key)
				}
				return s.Apply(t.Context(), key, *wanted)
			}
			for range rapid.IntRange(1, 12).Draw(t, "calls") {
				wanted = nil
				if rapid.IntRange(0, 3).Draw(t, "present") > 0 {
					wanted = &row{Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")}
				}
				_, _ = call()
				time.Sleep(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			}
			noisy = false
			for calls := 0; ; calls++ {
				require.Less(t, calls, 3)
				change, err := call()
				require.NoError(t, err)
				if change.Next.IsZero() {
					break
				}
				require.LessOrEqual(t, time.Until(change.Next), time.Hour)
				time.Sleep(time.Until(change.Next)) // as a connector does
			}
			require.Equal(t, w.changes, w.seen, "a publication came after each change")
			require.Zero(t, w.unaccounted, "none came without a change or a fault: %v", w.steps)
			e, err := w.journal.Load(t.Context(), key)
			require.NoError(t, err)
			require.False(t, e.Pending, "nothing is owed")
			if wanted == nil {
				require.Empty(t, w.rows)
			} else {
				require.Equal(t, *wanted, w.rows[key])
			}
		})
	})
}

// TestLoop has two systems that answer each other: what the one publishes makes
// the other change what it has, and publish. The brakes slow that down to what
// their longest hold allows, and lose nothing. When it ends, it is forgotten.
func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type system struct {
			world *world
			sink  *republish.Sink[row]
			due   time.Time // of the next call
		}
		systems := make([]*system, 2)
		published := map[int]int{} // by hour
		began := time.Now()
		n := 0
		for i := range systems {
			systems[i] = &system{world: newWorld(&republish.Memory{})}
			told := 0
			systems[i].world.next = func(step string) fault {
				if step == "publish" {
					told++
					published[int(time.Since(began)/time.Hour)]++
					systems[1-i].due = time.Now().Add(2 * time.Second) // the way to the other one
				}
				return none
			}
			systems[i].sink = systems[i].world.sink(t, republish.Config{Logger: quiet})
		}
		systems[0].due = began
		answering := true
		run := func(until time.Time) {
			for time.Now().Before(until) {
				for _, s := range systems {
					if s.due.IsZero() || time.Now().Before(s.due) {
						continue
					}
					s.due = time.Time{}
					if answering {
						n++
					}
					change, err := s.sink.Apply(t.Context(), key, row{Name: fmt.Sprint(n)})
					require.NoError(t, err)
					if !change.Next.IsZero() && (s.due.IsZero() || change.Next.Before(s.due)) {
						s.due = change.Next
					}
				}
				time.Sleep(time.Second)
			}
		}
		run(began.Add(24 * time.Hour))
		t.Logf("publications in each hour: %v", published)
		require.LessOrEqual(t, published[0], 2*(5+7), "five each, and what the holds let through")
		for hour := 3; hour < 24; hour++ {
			require.LessOrEqual(t, published[hour], 4, "hour %d", hour)
		}
		require.NotZero(t, published[22]+published[23], "it is slow, not stopped")

		answering = false
		run(began.Add(30 * time.Hour))
		for _, s := range systems {
			require.Equal(t, s.world.changes, s.world.seen, "nothing was lost")
			require.Zero(t, s.due)
		}
		before := len(systems[0].world.told)
		answering = true
		n++
		change, err := systems[0].sink.Apply(t.Context(), key, row{Name: fmt.Sprint(n)})
		require.NoError(t, err)
		require.Zero(t, change.Next, "all is forgiven")
		require.Len(t, systems[0].world.told, before+1)
	})
}
