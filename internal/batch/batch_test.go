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
		g := New(50, func(_ context.Context, values []int) ([]int, error) {
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

func TestGroupGivesTheErrorToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		g := New(10, func(context.Context, []int) ([]int, error) { return nil, broken })
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
		g := New(10, func(context.Context, []int) ([]int, error) { return []int{0}, nil })
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
