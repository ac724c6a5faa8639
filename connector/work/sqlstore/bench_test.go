package sqlstore_test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// Run short: go test -run '^$' -bench . -benchtime 0.5s
func BenchmarkStore(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		benchAll(b, func(*testing.B) work.Store { return work.NewMemory() })
	})
	b.Run("sqlite", func(b *testing.B) {
		benchAll(b, func(b *testing.B) work.Store {
			s, closeStore, err := open(b.TempDir())
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, closeStore()) })
			return s
		})
	})
}

// benchAll measures a store, a new one for each benchmark.
func benchAll(b *testing.B, open func(*testing.B) work.Store) {
	for _, batch := range []int{1, 100, 500} {
		b.Run(fmt.Sprintf("mark/batch=%d", batch), func(b *testing.B) { benchMark(b, open(b), batch) })
	}
	for _, batch := range []int{1, 100, 500} {
		b.Run(fmt.Sprintf("lease+finish/batch=%d", batch), func(b *testing.B) { benchRun(b, open(b), batch) })
	}
	b.Run("once/batch=100", func(b *testing.B) { benchOnce(b, open(b), 100) })
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("mark/callers=%d", callers), func(b *testing.B) { benchMarkers(b, open(b), callers) })
	}
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("lease+finish/callers=%d", callers), func(b *testing.B) { benchRunners(b, open(b), callers) })
	}
	b.Run("nothing due of 50000", func(b *testing.B) { benchIdle(b, open(b)) })
}

// fill marks rows in batches. The keys are spread like hashes or personal
// numbers, not in order.
func fill(b *testing.B, s work.Store, from, n int, due time.Time) {
	marks := make([]work.Mark, 0, min(n, 500))
	for i := from; i < from+n; i++ {
		marks = append(marks, work.Mark{Flow: "people", Key: spread(i), Due: due})
		if len(marks) == cap(marks) || i == from+n-1 {
			_, err := s.Mark(b.Context(), marks)
			require.NoError(b, err)
			marks = marks[:0]
		}
	}
}

func spread(i int) entity.Key {
	return entity.Key{Type: "persons", ID: strconv.FormatUint(uint64(i)*0x9E3779B97F4A7C15, 36)}
}

func perRow(b *testing.B, batch int) {
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "rows/s")
}

func benchMark(b *testing.B, s work.Store, batch int) {
	for i := 0; b.Loop(); i++ {
		fill(b, s, i*batch%100_000, batch, time.Time{})
	}
	perRow(b, batch)
}

func benchRun(b *testing.B, s work.Store, batch int) {
	fill(b, s, 0, 20_000, time.Time{})
	for b.Loop() {
		runBatch(b, s, batch, work.Outcome{Result: work.Done, Present: true, Next: time.Now()}) // due again
	}
	perRow(b, batch)
}

// benchOnce marks rows that are new and runs them, once.
func benchOnce(b *testing.B, s work.Store, batch int) {
	for i := 0; b.Loop(); i++ {
		fill(b, s, i*batch, batch, time.Time{})
		runBatch(b, s, batch, work.Outcome{Result: work.Done, Present: true, Fingerprint: []byte("0123456789abcdef"), Summary: "created"})
	}
	perRow(b, batch)
}

// runBatch leases as many rows as a batch has and ends their runs with an outcome.
func runBatch(b *testing.B, s work.Store, batch int, o work.Outcome) {
	b.Helper()
	leases, err := s.Lease(b.Context(), work.LeaseRequest{Flow: "people", Owner: "me", N: batch, TTL: time.Minute})
	require.NoError(b, err)
	require.Len(b, leases, batch)
	outcomes := make([]work.Outcome, batch)
	for i, l := range leases {
		outcomes[i] = o
		outcomes[i].Lease = l
	}
	_, err = s.Finish(b.Context(), outcomes)
	require.NoError(b, err)
}

// atOnce lets callers make b.N calls, each one after the other.
func atOnce(b *testing.B, callers int, call func(i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, callers)
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
				if err := call(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	perRow(b, 1)
	close(errs)
	for err := range errs {
		require.NoError(b, err)
	}
}

func benchMarkers(b *testing.B, s work.Store, callers int) {
	atOnce(b, callers, func(i int) error {
		_, err := s.Mark(b.Context(), []work.Mark{{Flow: "people", Key: spread(i % 100_000)}})
		return err
	})
}

func benchRunners(b *testing.B, s work.Store, callers int) {
	fill(b, s, 0, 20_000, time.Time{})
	atOnce(b, callers, func(int) error {
		var leases []work.Lease
		for len(leases) == 0 { // a row that another caller has just changed is left for the next call
			var err error
			leases, err = s.Lease(b.Context(), work.LeaseRequest{Flow: "people", Owner: "me", N: 1, TTL: time.Minute})
			if err != nil {
				return err
			}
		}
		_, err := s.Finish(b.Context(), []work.Outcome{{Lease: leases[0], Result: work.Done, Present: true, Next: time.Now()}})
		return err
	})
}

// benchIdle leases from rows that all wait for another day.
func benchIdle(b *testing.B, s work.Store) {
	fill(b, s, 0, 50_000, time.Now().Add(time.Hour))
	for b.Loop() {
		leases, err := s.Lease(b.Context(), work.LeaseRequest{Flow: "people", Owner: "me", N: 10, TTL: time.Minute})
		require.NoError(b, err)
		require.Empty(b, leases)
		_, err = s.NextDue(b.Context(), "people")
		require.NoError(b, err)
	}
}
