package connector

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A crew does all jobs at once, uses goroutines again, and lets them end when
// they have had nothing to do for a while, or when it ends.
func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		c := newCrew()
		var busy, most, done atomic.Int64
		jobs := func(n int) {
			for range n {
				c.do(func() {
					most.Store(max(most.Load(), busy.Add(1)))
					time.Sleep(time.Millisecond)
					busy.Add(-1)
					done.Add(1)
				})
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
		}
		jobs(20)
		require.EqualValues(t, 20, done.Load())
		require.EqualValues(t, 20, most.Load())
		require.Equal(t, before+20, runtime.NumGoroutine())
		jobs(20)
		require.Equal(t, before+20, runtime.NumGoroutine(), "the same ones")
		time.Sleep(2 * keepIdle)
		synctest.Wait()
		require.Equal(t, before, runtime.NumGoroutine())
		jobs(5)
		c.end()
		require.EqualValues(t, 45, done.Load())
		synctest.Wait()
		require.Equal(t, before, runtime.NumGoroutine())
	})
}
