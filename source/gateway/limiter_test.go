package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

// recorder answers after a while, and remembers who was sent when.
type recorder struct {
	took time.Duration

	mu       sync.Mutex
	times    []time.Time
	paths    []string
	inFlight int
	most     int
}

func (s *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.times = append(s.times, time.Now())
	s.paths = append(s.paths, r.URL.Path)
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	s.mu.Unlock()
	time.Sleep(s.took)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	return ok.to(r), r.Context().Err()
}

// TestCeilings is a property: however the calls come, there are never more of
// them in any second, and never more in flight, than configured; and all of
// them are made.
func TestCeilings(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rate := rapid.IntRange(1, 50).Draw(rt, "rate")
		most := rapid.IntRange(1, 8).Draw(rt, "in flight")
		took := time.Duration(rapid.IntRange(0, 900).Draw(rt, "took")) * time.Millisecond
		gaps := rapid.SliceOfN(rapid.IntRange(0, 200), 1, 60).Draw(rt, "gaps")
		synctest.Test(t, func(t *testing.T) {
			s := &recorder{took: took}
			c := newClient(t, base, gateway.Config{Transport: s, MaxRate: float64(rate), MaxInFlight: most})
			var wg sync.WaitGroup
			for i, gap := range gaps {
				time.Sleep(time.Duration(gap) * time.Millisecond)
				wg.Go(func() {
					_, err := c.Get(t.Context(), gateway.Request{Path: fmt.Sprint(i), Flow: fmt.Sprint(i % 3)})
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			require.Len(t, s.times, len(gaps))
			require.LessOrEqual(t, s.most, most)
			for i := rate; i < len(s.times); i++ {
				require.GreaterOrEqual(t, s.times[i].Sub(s.times[i-rate]), time.Second-time.Microsecond)
			}
		})
	})
}

// TestFlowsTakeTurns is a property: while a flow waits, each of the others gets
// one turn at most before it.
func TestFlowsTakeTurns(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		loads := rapid.SliceOfN(rapid.IntRange(1, 40), 2, 6).Draw(rt, "loads")
		byRoute := rapid.Bool().Draw(rt, "by route")
		synctest.Test(t, func(t *testing.T) {
			s := &recorder{took: 10 * time.Millisecond}
			c := newClient(t, base, gateway.Config{Transport: s, MaxInFlight: 1})
			go func() { _, _ = c.Get(t.Context(), gateway.Request{Path: "first"}) }()
			synctest.Wait()
			var wg sync.WaitGroup
			for flow, load := range loads {
				for i := range load {
					req := gateway.Request{Path: fmt.Sprintf("%d/%d", flow, i), Flow: fmt.Sprint(flow)}
					if byRoute {
						req.Route, req.Flow = req.Flow, ""
					}
					wg.Go(func() { _, _ = c.Get(t.Context(), req) })
					synctest.Wait()
				}
			}
			wg.Wait()
			left := slices.Clone(loads)
			since := make([]map[byte]bool, len(loads)) // who had a turn since one's own
			for _, p := range s.paths[1:] {
				flow := p[len("/iga/v1/")]
				for other := range left {
					if byte('0'+other) == flow || left[other] == 0 {
						continue
					}
					if since[other] == nil {
						since[other] = map[byte]bool{}
					}
					require.False(t, since[other][flow], "%c has two turns while %d waits", flow, other)
					since[other][flow] = true
				}
				left[flow-'0']--
				since[flow-'0'] = nil
			}
		})
	})
}

// fake returns a client of a testkit.Gateway with one entity for each path.
func fake(t testing.TB, cfg testkit.GatewayConfig, client gateway.Config) (*testkit.Gateway, *gateway.Client) {
	t.Helper()
	cfg.ContextPath, cfg.Key = "/iga/v1", key
	g, err := testkit.NewGateway(cfg)
	require.NoError(t, err)
	client.Transport = g
	return g, newClient(t, base, client)
}

func refusals(g *testkit.Gateway) (n int) {
	for _, r := range g.Log() {
		if r.Status == http.StatusTooManyRequests {
			n++
		}
	}
	return n
}

// TestStaysBelowALimit is a property: with the headers of a limit, and clocks
// that agree, the gateway refuses nothing after its first answer, and most of
// what the limit allows is used. With clocks that disagree, or without the
// headers, it refuses what is under way once, and tells so.
func TestStaysBelowALimit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := testkit.Limit{
			Requests: rapid.IntRange(2, 30).Draw(rt, "requests"),
			Period:   time.Duration(rapid.SampledFrom([]int{1, 2, 10}).Draw(rt, "seconds")) * time.Second,
		}
		skew := time.Duration(rapid.SampledFrom([]int{0, 0, -86_400_123, -4321, -777, 654, 5123, 86_400_123}).Draw(rt, "skew")) * time.Millisecond
		workers := rapid.IntRange(1, 6).Draw(rt, "workers")
		headers := rapid.Bool().Draw(rt, "headers")
		latency := time.Duration(rapid.IntRange(0, 80).Draw(rt, "latency")) * time.Millisecond
		jitter := time.Duration(rapid.SampledFrom([]int{0, 0, 7, 50}).Draw(rt, "jitter")) * time.Millisecond
		synctest.Test(t, func(t *testing.T) {
			g, c := fake(t, testkit.GatewayConfig{RateLimit: limit, LimitHeaders: headers, ClockSkew: skew, Latency: latency}, gateway.Config{})
			require.NoError(t, g.Put("x", 1))
			var n atomic.Int64
			g.Fail(func(testkit.Request) *testkit.Failure { // answers overtake each other
				return &testkit.Failure{Delay: jitter * time.Duration(n.Add(1)%3)}
			})
			_, err := c.Get(t.Context(), gateway.Request{Path: "x", Fresh: true})
			require.NoError(t, err)
			end, cancel := context.WithTimeout(t.Context(), 20*limit.Period)
			defer cancel()
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for end.Err() == nil {
						if _, err := c.Get(end, gateway.Request{Path: "x", Fresh: true}); err != nil && end.Err() == nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			refused := refusals(g)
			if headers && skew == 0 {
				require.Zero(t, refused, "%+v, %d workers, latency %v", limit, workers, latency)
			} else {
				require.LessOrEqual(t, refused, workers, "%+v, skew %v, latency %v, headers %t", limit, skew, latency, headers)
			}
			// Without headers, windows are taken to begin later than they do.
			slowest := float64(workers) * float64(20*limit.Period) / float64(latency+2*jitter+time.Millisecond)
			require.Greater(t, float64(g.Requests()-refused), 0.6*min(slowest, float64(20*limit.Requests)))
		})
	})
}

func TestLimits(t *testing.T) {
	const all = 12 // fetches, one after the other
	second := testkit.Limit{Requests: 5, Period: time.Second}
	tests := []struct {
		name    string
		cfg     testkit.GatewayConfig
		refused int
		longest time.Duration
	}{
		{"rate limit with headers", testkit.GatewayConfig{RateLimit: second, LimitHeaders: true}, 0, 4 * time.Second},
		{"rate limit without headers", testkit.GatewayConfig{RateLimit: second}, 1, 4 * time.Second},
		{"the gateway's clock is ahead", testkit.GatewayConfig{RateLimit: second, LimitHeaders: true, ClockSkew: 1234 * time.Millisecond}, 1, 5 * time.Second},
		{"far ahead", testkit.GatewayConfig{RateLimit: second, LimitHeaders: true, ClockSkew: 100*time.Hour + 321*time.Millisecond}, 1, 5 * time.Second},
		{"behind", testkit.GatewayConfig{RateLimit: second, LimitHeaders: true, ClockSkew: -4567 * time.Millisecond}, 1, 5 * time.Second},
		{"far behind", testkit.GatewayConfig{RateLimit: second, LimitHeaders: true, ClockSkew: -100*time.Hour + 321*time.Millisecond}, 1, 5 * time.Second},
		{"quota", testkit.GatewayConfig{Quota: testkit.Limit{Requests: 5, Period: 5 * time.Second}}, 0, 15 * time.Second},
		{"spike arrest with headers", testkit.GatewayConfig{SpikeArrest: testkit.Limit{Requests: 5, Period: time.Second}, LimitHeaders: true}, 0, 3 * time.Second},
		{"spike arrest without", testkit.GatewayConfig{SpikeArrest: testkit.Limit{Requests: 5, Period: time.Second}}, 1, 5 * time.Second},
		{"token bucket", testkit.GatewayConfig{Version: "4.x", TokenBucket: second, LimitHeaders: true}, 2, 8 * time.Second},
		{"two limits", testkit.GatewayConfig{RateLimit: second, Quota: testkit.Limit{Requests: 8, Period: 20 * time.Second}, LimitHeaders: true}, 1, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, c := fake(t, tt.cfg, gateway.Config{})
				require.NoError(t, g.Put("x", 1))
				begin := time.Now()
				for range all {
					_, err := c.Get(t.Context(), gateway.Request{Path: "x", Fresh: true})
					require.NoError(t, err)
				}
				require.LessOrEqual(t, refusals(g), tt.refused)
				require.Less(t, time.Since(begin), tt.longest)
			})
		})
	}
}

// TestALongLimitIsNotWaitedFor: nobody is held up, and nothing is sent that the
// gateway would refuse.
func TestALongLimitIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, c := fake(t, testkit.GatewayConfig{Quota: testkit.Limit{Requests: 1, Period: 24 * time.Hour}}, gateway.Config{MaxInFlight: 1})
		require.NoError(t, g.Put("x", 1))
		_, err := c.Get(t.Context(), gateway.Request{Path: "x"})
		require.NoError(t, err)
		_, err = c.Get(t.Context(), gateway.Request{Path: "x"})
		require.ErrorContains(t, err, "Quota exceeded!")
		require.Equal(t, 24*time.Hour, failure.RetryAfter(err))
		time.Sleep(time.Hour - time.Minute)
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				_, err := c.Get(t.Context(), gateway.Request{Path: fmt.Sprint("x", i)})
				if failure.Of(err) != failure.Unavailable || failure.RetryAfter(err).Round(time.Minute) != 23*time.Hour+time.Minute {
					t.Error(err, failure.RetryAfter(err))
				}
			})
		}
		begin := time.Now()
		wg.Wait()
		require.Zero(t, time.Since(begin))
		require.Equal(t, 2, g.Requests())
		time.Sleep(2 * time.Minute)
		_, err = c.Get(t.Context(), gateway.Request{Path: "x"})
		require.ErrorContains(t, err, "Quota exceeded!", "it is asked again after an hour: the limit may have been raised")
		require.Equal(t, 3, g.Requests())
	})
}

func TestWaitsForATurnEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &recorder{took: 10 * time.Second}
		c := newClient(t, base, gateway.Config{Transport: s, MaxInFlight: 1})
		go func() { _, _ = c.Get(t.Context(), person) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Get(ctx, gateway.Request{Path: "a"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = c.Get(t.Context(), gateway.Request{Path: "b"})
		require.NoError(t, err, "the place in the queue is free again")
		require.Len(t, s.paths, 2)
	})
}

func TestWaitsForATurnDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &recorder{took: 3 * time.Second}
		c := newClient(t, base, gateway.Config{Transport: s, MaxRate: 0.1, Timeout: 5 * time.Second, TryTimeout: 4 * time.Second})
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				if _, err := c.Get(t.Context(), gateway.Request{Path: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			})
		}
		begin := time.Now()
		wg.Wait()
		require.Equal(t, 53*time.Second, time.Since(begin))
	})
}

// TestOldHeadersAreIgnored: a cache may replay those of an earlier window.
func TestOldHeadersAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = "X-Rate-Limit-Limit: 4\nX-Rate-Limit-Remaining: "
		var requests int
		c := newClient(t, base, gateway.Config{Transport: script(&requests,
			reply{Status: 200, Body: "{}", Header: limit + "3\nX-Rate-Limit-Reset: " + in(10*time.Second)},
			reply{Status: 200, Body: "{}", Header: limit + "0\nX-Rate-Limit-Reset: " + in(-time.Hour)},
			ok)})
		begin := time.Now()
		_, err := c.Get(t.Context(), person)
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		for range 4 {
			_, err = c.Get(t.Context(), person)
			require.NoError(t, err)
		}
		require.Equal(t, 10*time.Second, time.Since(begin).Truncate(time.Second))
	})
}
