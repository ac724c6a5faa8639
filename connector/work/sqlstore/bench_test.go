package sqlstore_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// Run short: go test -run '^$' -bench . -benchtime 0.5s
func BenchmarkStore(b *testing.B) {
	for _, kind := range []string{"memory", "sqlite"} {
		for _, batch := range []int{1, 100, 500} {
			b.Run(fmt.Sprintf("%s/mark/%d", kind, batch), func(b *testing.B) { benchMark(b, benchStore(b, kind), batch) })
		}
		for _, batch := range []int{1, 100, 500} {
			b.Run(fmt.Sprintf("%s/lease+finish/%d", kind, batch), func(b *testing.B) { benchRun(b, benchStore(b, kind), batch) })
		}
		b.Run(kind+"/nothing due of 50000", func(b *testing.B) { benchIdle(b, benchStore(b, kind)) })
	}
}

func benchStore(b *testing.B, kind string) work.Store {
	if kind == "memory" {
		return work.NewMemory()
	}
	s, closeStore, err := open(b.TempDir())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, closeStore()) })
	return s
}

// fill marks rows in batches. The keys are spread like hashes or personal
// numbers, not in order.
func fill(b *testing.B, s work.Store, from, n int, due time.Time) {
	marks := make([]work.Mark, 0, 500)
	for i := from; i < from+n; i++ {
		id := strconv.FormatUint(uint64(i)*0x9E3779B97F4A7C15, 36)
		marks = append(marks, work.Mark{Flow: "people", Key: entity.Key{Type: "persons", ID: id}, Due: due})
		if len(marks) == cap(marks) || i == from+n-1 {
			_, err := s.Mark(b.Context(), marks)
			require.NoError(b, err)
			marks = marks[:0]
		}
	}
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
	outcomes := make([]work.Outcome, batch)
	for b.Loop() {
		leases, err := s.Lease(b.Context(), "people", "me", batch, time.Minute)
		require.NoError(b, err)
		require.Len(b, leases, batch)
		for i, l := range leases {
			outcomes[i] = work.Outcome{Lease: l, Result: work.Done, Present: true, Next: time.Now()} // due again
		}
		_, err = s.Finish(b.Context(), outcomes)
		require.NoError(b, err)
	}
	perRow(b, batch)
}

// benchIdle leases from rows that all wait for another day.
func benchIdle(b *testing.B, s work.Store) {
	fill(b, s, 0, 50_000, time.Now().Add(time.Hour))
	for b.Loop() {
		leases, err := s.Lease(b.Context(), "people", "me", 10, time.Minute)
		require.NoError(b, err)
		require.Empty(b, leases)
		_, err = s.NextDue(b.Context(), "people")
		require.NoError(b, err)
	}
}
