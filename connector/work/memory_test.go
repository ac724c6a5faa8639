package work_test

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/storetest"
	"github.com/konnektor-go/konnektor/entity"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(string) (work.Store, func() error, error) { return work.NewMemory(), nil, nil })
}

// several is a store in memory that several in this process use.
type several struct{ *work.Memory }

func (several) Shared() bool { return true }

// The suite for stores that are shared can be passed.
func TestMemoryShared(t *testing.T) {
	var mu sync.Mutex
	stores := make(map[string]*work.Memory) // by folder
	storetest.RunShared(t, func(dir string) (work.Store, func() error, error) {
		mu.Lock()
		defer mu.Unlock()
		if stores[dir] == nil {
			stores[dir] = work.NewMemory()
		}
		return several{stores[dir]}, nil, nil
	})
}

// BenchmarkMemoryIdle tells what a million entities that are done take, each
// with all that a row can have.
func BenchmarkMemoryIdle(b *testing.B) {
	const rows, batch = 1_000_000, 500
	for b.Loop() {
		before := heap()
		m := work.NewMemory()
		for i := range rows / batch {
			marks := make([]work.Mark, batch)
			for j := range marks {
				n := i*batch + j
				marks[j] = work.Mark{
					Flow: "people", Key: entity.Key{Type: "persons", ID: strconv.Itoa(100_000_000_00 + n)},
					Cause: work.Cause{
						Kind: "notification", EventID: fmt.Sprintf("%032x", n), Time: time.Now(), RoutingKey: "no.uio.iga.person.modified",
						Trace: fmt.Sprintf("00-%032x-%016x-01", n, n),
					},
				}
			}
			_, err := m.Mark(b.Context(), marks)
			require.NoError(b, err)
			leases, err := m.Lease(b.Context(), work.LeaseRequest{Flow: "people", Owner: "me", N: batch, TTL: time.Minute})
			require.NoError(b, err)
			outcomes := make([]work.Outcome, len(leases))
			for j, l := range leases {
				outcomes[j] = work.Outcome{Lease: l, Result: work.Done, Present: true, Summary: "created", Fingerprint: make([]byte, 32)}
			}
			_, err = m.Finish(b.Context(), outcomes)
			require.NoError(b, err)
		}
		b.ReportMetric(float64(heap()-before)/rows, "B/row")
		runtime.KeepAlive(m)
	}
}

func heap() uint64 {
	runtime.GC() //nolint:revive // what is garbage does not count
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
