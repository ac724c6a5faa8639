package work

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
)

// A row takes no more than it must once nothing is to be done, and what such rows
// share stays as it is.
func TestMemoryRowAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		key := entity.Key{Type: "t", ID: "1"}
		row := func() *memoryRow { return m.flows["f"].rows[key] }
		mark := func(due time.Time) {
			_, err := m.Mark(t.Context(), []Mark{{Flow: "f", Key: key, Due: due, Cause: Cause{EventID: "e", Trace: "t"}}})
			require.NoError(t, err)
			require.NotSame(t, atRest, row().memoryBusy)
		}
		for _, result := range []Result{Failed, Deferred, Released, GaveUp, Done} {
			mark(time.Time{})
			for range 2 {
				mark(time.Now().Add(time.Hour))
				leases, err := m.Lease(t.Context(), LeaseRequest{Flow: "f", N: 1, TTL: time.Minute})
				require.NoError(t, err)
				require.Len(t, leases, 1)
				_, err = m.Renew(t.Context(), leases, time.Minute)
				require.NoError(t, err)
				errs, err := m.Finish(t.Context(), []Outcome{{Lease: leases[0], Result: result, Fingerprint: []byte("f")}})
				require.NoError(t, err)
				require.NoError(t, errs[0])
				require.NotSame(t, atRest, row().memoryBusy, "a date is to come")
				time.Sleep(2 * time.Hour)
			}
			leases, err := m.Lease(t.Context(), LeaseRequest{Flow: "f", N: 1, TTL: time.Minute})
			require.NoError(t, err)
			require.Len(t, leases, 1)
			_, err = m.Finish(t.Context(), []Outcome{{Lease: leases[0], Result: Done}})
			require.NoError(t, err)
			require.Same(t, atRest, row().memoryBusy)
			require.Equal(t, memoryBusy{}, *atRest)
		}
	})
}
