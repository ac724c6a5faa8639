package gateway_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/source/gateway"
)

// BenchmarkGet compares fetches through the client with plain net/http, which
// sends the headers that the gateway needs, against the same server, in rounds
// that take turns. It reports the fetches per second
// and allocations of each, and as ratio the median over the rounds of the
// client's speed by net/http's.
func BenchmarkGet(b *testing.B) {
	body := `{"name":"` + strings.Repeat("x", 2000) + `"}`
	s := serve(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	plain := s.Client()
	c := newClient(b, s.URL+"/iga/v1", gateway.Config{})
	viaPlain := func(ctx context.Context, path string) int {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/iga/v1/"+path, http.NoBody)
		if err != nil {
			return 0
		}
		req.Header.Set("Accept", "application/json")
		req.Header.Set("User-Agent", "konnektor")
		req.Header.Set("X-Gravitee-Api-Key", key)
		req.Header.Set("X-Gravitee-Cache", "REFRESH")
		req.Header.Set("X-Gravitee-Transaction-Id", "5f0c5f0c5f0c5f0c5f0c5f0c5f")
		resp, err := plain.Do(req)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			return 0
		}
		return len(got)
	}
	viaClient := func(ctx context.Context, path string) int {
		resp, err := c.Get(ctx, gateway.Request{Path: path, Fresh: true})
		if err != nil {
			return 0
		}
		return len(resp.Body)
	}
	for _, workers := range []int{1, 16} {
		if tr, ok := plain.Transport.(*http.Transport); ok {
			tr.MaxIdleConnsPerHost = workers
		}
		b.Run("workers="+strconv.Itoa(workers), func(b *testing.B) {
			const size = 200 // fetches in a round
			var ratios []float64
			var total [2]round
			for b.Loop() {
				one := measure(b, workers, size, len(body), viaPlain)
				two := measure(b, workers, size, len(body), viaClient)
				ratios = append(ratios, one.took.Seconds()/two.took.Seconds())
				total[0].add(one)
				total[1].add(two)
			}
			slices.Sort(ratios)
			for i, name := range []string{"net/http", "gateway"} {
				b.ReportMetric(float64(size*len(ratios))/total[i].took.Seconds(), name+"-fetches/s")
				b.ReportMetric(float64(total[i].allocs)/float64(size*len(ratios)), name+"-allocs/fetch")
			}
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

type round struct {
	took   time.Duration
	allocs uint64 // the server's too
}

func (r *round) add(o round) { r.took, r.allocs = r.took+o.took, r.allocs+o.allocs }

func measure(b *testing.B, workers, size, want int, get func(context.Context, string) int) round {
	b.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	var wg sync.WaitGroup
	got := make([]int, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < size; i += workers {
				got[w] += get(b.Context(), "persons/"+strconv.Itoa(i))
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	var sum int
	for _, n := range got {
		sum += n
	}
	require.Equal(b, size*want, sum)
	return round{took, after.Mallocs - before.Mallocs}
}
