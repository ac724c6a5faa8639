package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

// step is one thing that happens to a gateway, or a fetch.
type step struct {
	Act string
	N   int // what exactly
}

// life is a gateway and what happens to it.
type life struct {
	Version  string
	Cache    bool
	Limited  bool
	Slowly   bool // settings reach the instances late
	Chunked  bool
	NoIDs    bool
	Own404s  bool // the API's owner makes a 404 in JSON of the gateway's errors
	Failover int
	Steps    []step
}

// acts are what can happen. A fetch is as likely as all else together.
var acts = []string{
	"fetch", "fetch", "fetch", "fetch", "fetch", "fetch fresh", "fetch fresh", "fetch fresh", "fetch fresh", "fetch fresh",
	"stop", "start", "rotate", "use key", "backend", "answer", "answer", "put", "other client", "balancer", "wait", "delete", "restore",
}

// even draws a number, all about equally likely: rapid itself prefers small ones.
func even(t *rapid.T) uint32 {
	return rapid.Uint32().Draw(t, "n") * 2654435769 >> 8
}

var anyLife = rapid.Custom(func(t *rapid.T) life {
	flip := func(name string) bool { return rapid.Bool().Draw(t, name) }
	return life{
		Version: rapid.SampledFrom([]string{"3.15.0", "3.18.19", "3.20.2", "3.20.3", "3.x", "4.0.0", "4.x"}).Draw(t, "version"),
		Cache:   flip("cache"), Limited: flip("limited"), Slowly: flip("slowly"), Chunked: flip("chunked"),
		NoIDs:    rapid.IntRange(0, 3).Draw(t, "no ids") == 0,
		Own404s:  rapid.IntRange(0, 3).Draw(t, "own 404s") == 0,
		Failover: rapid.IntRange(0, 1).Draw(t, "failover"),
		Steps: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			n := even(t)
			return step{Act: acts[n%uint32(len(acts))], N: int(even(t) % 1000)}
		}), 20, 80).Draw(t, "steps"),
	}
})

// wrongAnswers are what the backend, or something behind the gateway, can say
// while the entity exists. What is not among them is a 404 as the source's own,
// in JSON or empty: nobody can tell that from the truth.
var wrongAnswers = []testkit.Failure{
	{Truncate: true},
	{Break: true},
	{Drop: true},
	{Drop: true, Truncate: true},
	{Delay: time.Minute},
	{Status: 200},
	{Status: 200, Body: "null"},
	{Status: 200, Body: "{}}"},
	{Status: 200, Body: `[]`},
	{Status: 200, Body: "<html>Not Found</html>", Header: http.Header{"Content-Type": {"text/html"}}},
	{Status: 204},
	{Status: 206, Body: `{"na`},
	{Status: 302, Header: http.Header{"Location": {"/login"}}},
	{Status: 304},
	{Status: 400}, {Status: 401}, {Status: 403}, {Status: 405}, {Status: 409}, {Status: 422},
	{Status: 404, Body: "<!DOCTYPE html><h1>HTTP Status 404</h1>", Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}},
	{Status: 404, Body: "No context-path matches the request URI.", Header: http.Header{"Content-Type": {"text/plain"}}},
	{Status: 404, Body: `{"message":"No context-path matches the request URI.","http_status_code":404}`},
	{Status: 404, Body: "404 page not found\n", Header: http.Header{"Content-Type": {"text/plain"}}},
	{Status: 404, Body: "default backend - 404"},
	{Status: 410, Body: "<html></html>", Header: http.Header{"Content-Type": {"text/html"}}},
	{Status: 429, Header: http.Header{"Retry-After": {"1"}}},
	{Status: 500}, {Status: 502}, {Status: 503}, {Status: 504},
}

// playLife lets a life happen, and returns an error if somebody was called gone
// who exists. It counts the other verdicts.
func playLife(ctx context.Context, l life, proof gateway.GoneProof, verdicts map[string]int) error {
	cfg := testkit.GatewayConfig{
		Version: l.Version, NoIDs: l.NoIDs, Chunked: l.Chunked, Failover: l.Failover,
		Methods: []string{http.MethodGet, http.MethodHead},
	}
	if l.Cache {
		cfg.CacheTTL = 10 * time.Minute
	}
	if l.Limited {
		cfg.RateLimit = testkit.Limit{Requests: 3, Period: time.Minute}
	}
	if l.Slowly {
		cfg.Sync = 5 * time.Second
	}
	if l.Own404s {
		own := testkit.Failure{Status: http.StatusNotFound, Body: `{"message":"not found"}`}
		cfg.Errors = map[int]testkit.Failure{401: own, 403: own, 429: own, 502: own, 503: own, 504: own}
		if proof == nil {
			proof = sourcesOwn
		}
	}
	g, err := testkit.NewGateway(cfg)
	if err != nil {
		return err
	}
	front := &balancer{next: g}
	client := func(key string) (*gateway.Client, error) {
		return gateway.New("https://gw.example.no/api", gateway.Config{Key: gateway.Secret(key), Transport: front, Retries: -1, Gone: proof})
	}
	key := "secret"
	c, err := client(key)
	if err != nil {
		return err
	}
	exists := true
	if err := g.Put("persons/1", Person{Name: "Kari"}); err != nil {
		return err
	}
	for i, s := range l.Steps {
		switch s.Act {
		case "fetch", "fetch fresh":
			_, err = source.REST[Person]{Gateway: c, Path: "persons/{id}"}.
				Fetch(ctx, source.Request{Key: entity.Key{ID: "1"}, Fresh: s.Act == "fetch fresh"})
			verdict := "present"
			if err != nil {
				verdict = failure.Of(err).String()
			}
			if verdict == "gone" && exists {
				return fmt.Errorf("step %d: gone, though it exists: %w", i, err)
			}
			verdicts[verdict]++
			err = nil
		case "stop":
			g.Stop()
		case "start":
			g.Start()
		case "rotate":
			key = fmt.Sprint("key", i)
			g.SetKey(key)
		case "use key":
			c, err = client(key)
		case "backend":
			g.SetBackend([]int{0, 0, 502, 503, 504}[s.N%5])
		case "answer":
			f := wrongAnswers[s.N%len(wrongAnswers)]
			g.Fail(func(testkit.Request) *testkit.Failure {
				if s.N%2 == 0 {
					g.Fail(nil) // once
				}
				return &f
			})
		case "put":
			err = g.Put("persons/1", Person{Name: fmt.Sprint("Kari ", i)})
			exists = true
		case "other client":
			err = otherClient(ctx, g, key, s.N)
		case "balancer":
			front.says = []string{"", "", "not found", `{"error":"not found"}`}[s.N%4]
		case "wait":
			time.Sleep(time.Duration(s.N) * time.Second)
		case "delete":
			err = g.Delete("persons/1")
			exists = false
		case "restore":
			g.Start()
			g.SetBackend(0)
			g.Fail(nil)
			front.says = ""
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sourcesOwn is the proof where the gateway's errors look like the source's: the
// ids, and what the source alone says.
func sourcesOwn(r *gateway.Response) error {
	return errors.Join(gateway.GoneByIDs(r), gateway.GoneByField("error", "not found")(r))
}

// balancer stands in front of the gateway. What it says, it says itself, with
// 404.
type balancer struct {
	next http.RoundTripper
	says string
}

func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.says == "" {
		return b.next.RoundTrip(r)
	}
	w := httptest.NewRecorder()
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.WriteString(b.says)
	return w.Result(), nil
}

// otherClient fills the cache as others do.
func otherClient(ctx context.Context, g *testkit.Gateway, key string, n int) error {
	r, err := http.NewRequestWithContext(ctx, []string{http.MethodGet, http.MethodHead}[n%2], "https://x/api/persons/1", http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("X-Gravitee-Api-Key", key)
	if res, err := g.RoundTrip(r); err == nil {
		return res.Body.Close()
	}
	return nil // a lost connection is not ours
}

// TestGoneIsNeverSaidOfWhoExists lets gateways of all versions live through
// deployments, outages, rotated keys, limits, caches and broken answers.
func TestGoneIsNeverSaidOfWhoExists(t *testing.T) {
	verdicts := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		l := anyLife.Draw(t, "life")
		rapid.SyncTest(t, func(t *rapid.T) {
			if err := playLife(t.Context(), l, nil, verdicts); err != nil {
				t.Fatal(err)
			}
		})
	})
	for _, v := range []string{"present", "gone", "failed", "unavailable"} {
		require.NotZero(t, verdicts[v], "%v: all verdicts occur, or nothing was tried", verdicts)
	}
}

// TestGoneCatchesCredulity plants the bugs that the property is about.
func TestGoneCatchesCredulity(t *testing.T) {
	for name, proof := range map[string]gateway.GoneProof{
		"any 404":         gateway.GoneByStatus,
		"any 404 in JSON": func(r *gateway.Response) error { return onlyIf(json.Valid(r.Body)) },
		"any 404 in JSON with ids, where the gateway's errors are such": gateway.GoneByIDs,
		"any 404 with ids": func(r *gateway.Response) error { return onlyIf(r.Header.Get("X-Gravitee-Request-Id") != "") },
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			seed := 0
			for ; seed < 2000 && err == nil; seed++ {
				synctest.Test(t, func(t *testing.T) {
					err = playLife(t.Context(), anyLife.Example(seed), proof, map[string]int{})
				})
			}
			require.ErrorContains(t, err, "gone, though it exists")
			t.Logf("caught by life %d: %v", seed, err)
		})
	}
}

func onlyIf(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("no")
}
