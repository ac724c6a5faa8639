package batch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGroupSharesCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		g := New(50, nil, func(_ context.Context, values []int) ([]int, error) {
			sizes = append(sizes, len(values))
			time.Sleep(time.Second)
			doubled := make([]int, len(values))
			for i, v := range values {
				doubled[i] = 2 * v
			}
			return doubled, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running, callers sync.WaitGroup
		running.Go(func() { g.Run(ctx) })
		for i := range 121 {
			callers.Go(func() {
				got, err := g.Do(i)
				require.NoError(t, err)
				require.Equal(t, 2*i, got)
			})
		}
		callers.Wait()
		cancel()
		running.Wait()
		total := 0
		for _, n := range sizes {
			require.LessOrEqual(t, n, 50)
			total += n
		}
		require.Equal(t, 121, total)
		require.LessOrEqual(t, len(sizes), 5, "121 values share commits of up to 50")
	})
}

func TestGroupWeighs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most := 0
		g := New(10, func(n int) int { return n }, func(_ context.Context, values []int) ([]int, error) {
			weight := 0
			for _, n := range values {
				weight += n
			}
			most = max(most, weight)
			time.Sleep(time.Second)
			return values, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running, callers sync.WaitGroup
		running.Go(func() { g.Run(ctx) })
		for range 40 {
			callers.Go(func() {
				_, err := g.Do(4)
				require.NoError(t, err)
			})
		}
		callers.Wait()
		cancel()
		running.Wait()
		require.Equal(t, 12, most, "the last one may go beyond the limit")
	})
}

func TestGroupGivesTheErrorToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		g := New(10, nil, func(context.Context, []int) ([]int, error) { return nil, broken })
		ctx, cancel := context.WithCancel(t.Context())
		var running, callers sync.WaitGroup
		running.Go(func() { g.Run(ctx) })
		for i := range 5 {
			callers.Go(func() {
				_, err := g.Do(i)
				require.ErrorIs(t, err, broken)
			})
		}
		callers.Wait()
		cancel()
		running.Wait()
	})
}

func TestDoAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(10, nil, func(context.Context, []int) ([]int, error) { return []int{0}, nil })
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { g.Run(ctx) })
		_, err := g.Do(1)
		require.NoError(t, err)
		cancel()
		running.Wait()
		_, err = g.Do(1)
		require.ErrorIs(t, err, ErrStopped)
	})
}

// A shared commit is followed by a rest, in which the next one gathers; one that
// nobody shares is not.
func TestGroupRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		g := New(50, nil, func(_ context.Context, values []int) ([]int, error) {
			sizes = append(sizes, len(values))
			time.Sleep(3 * time.Millisecond)
			return values, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { g.Run(ctx) })
		start := time.Now()
		done := 0
		send := func() { g.Go(0, func(int, error) { done++ }) }
		send()
		synctest.Wait() // the first is committed alone
		send()
		send()
		time.Sleep(4 * time.Millisecond) // those two are being committed
		send()
		time.Sleep(4 * time.Millisecond) // it would be committed, but for the rest
		send()
		time.Sleep(4 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 5, done)
		require.Equal(t, []int{1, 2, 2}, sizes)
		require.Equal(t, 12*time.Millisecond, time.Since(start))
		send()
		time.Sleep(20 * time.Millisecond)
		send()
		time.Sleep(3 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, 7, done, "no rest for those who come alone")
		cancel()
		running.Wait()
	})
}
