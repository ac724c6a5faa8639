package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

// origin is a source system. What it answers is in the last segment of the path.
type origin struct {
	mu    sync.Mutex
	name  string
	times map[string]int
}

func (o *origin) set(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.name = name
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, what, _ := strings.Cut(r.URL.Path, "/persons/")
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.times == nil {
		o.times = map[string]int{}
	}
	o.times[what]++
	w.Header().Set("Content-Type", "application/json")
	if what == "half-once" {
		what = map[bool]string{true: "half", false: "kari"}[o.times[what] == 1]
	}
	switch what {
	case "kari":
		fmt.Fprintf(w, `{"name":%q}`, o.name)
	case "half":
		_, _ = io.WriteString(w, `{"name":"Ka`)
	case "empty":
	case "html":
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>please log in</html>")
	case "html-404":
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<html>Not Found</html>")
	case "moved":
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
	case "204", "206", "401", "403", "422", "500", "503":
		var status int
		_, _ = fmt.Sscan(what, &status)
		w.WriteHeader(status)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":"no such person"}`)
	}
}

// verdictCase is what must come of an answer, whatever the gateway is.
type verdictCase struct {
	name string
	// route is where a proxy is set up for the case, "api" if it is empty.
	route string
	id    string
	key   string // default: the right one
	fresh bool
	// fake sets testkit.Gateway up as the route does with a proxy, and then
	// makes happen what the proxy's backend does by itself.
	fake    testkit.GatewayConfig
	happens func(*testkit.Gateway)
	// before is asked first, as somebody else.
	before int
	// changed gives the person a new name after that.
	changed bool

	want   string // a name, or a class
	status int    // of the error
}

var cacheOn = testkit.GatewayConfig{CacheTTL: time.Hour}

func verdictCases() []verdictCase {
	answers := func(f testkit.Failure) func(*testkit.Gateway) {
		return func(g *testkit.Gateway) { g.Fail(func(testkit.Request) *testkit.Failure { return &f }) }
	}
	return []verdictCase{
		{name: "there", id: "kari", want: "Kari"},
		{name: "gone", id: "nobody", want: "gone", status: 404},
		{name: "no API at the path", route: "other", id: "kari", fake: testkit.GatewayConfig{ContextPath: "/api"}, want: "unavailable", status: 404},
		{name: "key missing", id: "kari", key: "none", want: "unavailable", status: 401},
		{name: "key wrong", id: "kari", key: "wrong", want: "unavailable", status: 401},
		{name: "key wrong, for nobody", id: "nobody", key: "wrong", want: "unavailable", status: 401},
		{name: "path refused", route: "denied", id: "kari", fake: testkit.GatewayConfig{Denied: []string{"persons/*"}}, want: "unavailable", status: 403},
		{name: "over the limit", route: "limited", id: "nobody", fake: testkit.GatewayConfig{RateLimit: testkit.Limit{Requests: 1, Period: time.Hour}}, before: 1, want: "unavailable", status: 429},
		{name: "backend refuses", route: "down", id: "nobody", happens: func(g *testkit.Gateway) { g.SetBackendDown(true) }, want: "unavailable", status: 502},
		{name: "backend slow", route: "slow", id: "kari", fake: testkit.GatewayConfig{Latency: time.Hour}, want: "unavailable", status: 504},
		{name: "backend dies before the answer", route: "mute", id: "kari", happens: answers(testkit.Failure{Status: 502}), want: "unavailable", status: 502},
		{name: "backend dies in the body, seen", route: "dying", id: "kari", happens: answers(testkit.Failure{Break: true}), want: "unavailable"},
		{name: "backend dies in the body, clean end", route: "closing", id: "kari", fake: testkit.GatewayConfig{Version: "4.x"}, happens: answers(testkit.Failure{Break: true}), want: "failed", status: 200},
		{name: "half a body", id: "half", want: "failed", status: 200},
		{name: "half a body in the cache", route: "cached", id: "half-once", fake: cacheOn, before: 1, want: "Kari"},
		{name: "cached", route: "cached", id: "kari", fake: cacheOn, before: 1, changed: true, want: "Kari"},
		{name: "cached, but fresh", route: "cached", id: "kari", fake: cacheOn, before: 1, changed: true, fresh: true, want: "Kari Nordmann"},
		{name: "cached, key wrong", route: "cached", id: "kari", key: "wrong", fake: cacheOn, before: 1, want: "unavailable", status: 401},
		{name: "empty 200", id: "empty", want: "failed", status: 200},
		{name: "HTML instead", id: "html", want: "failed", status: 200},
		{name: "HTML 404", id: "html-404", want: "unavailable", status: 404},
		{name: "redirect", id: "moved", want: "unavailable", status: 302},
		{name: "204", id: "204", want: "failed", status: 204},
		{name: "206", id: "206", want: "failed", status: 206},
		{name: "401 of the backend", id: "401", want: "unavailable", status: 401},
		{name: "403 of the backend", id: "403", want: "unavailable", status: 403},
		{name: "422", id: "422", want: "failed", status: 422},
		{name: "500", id: "500", want: "unavailable", status: 500},
		{name: "503", id: "503", want: "unavailable", status: 503},
	}
}

// check asks a gateway whose API is at base, and compares the verdict.
func (tc verdictCase) check(t *testing.T, base string, transport http.RoundTripper, backend *origin) {
	t.Helper()
	key := gateway.Secret("secret")
	backend.set("Kari")
	for range tc.before {
		fill(t, base+"/persons/"+tc.id, transport)
	}
	if tc.changed {
		backend.set("Kari Nordmann")
	}
	switch tc.key {
	case "none":
		key = ""
	case "wrong":
		key = "wrong"
	}
	client, err := gateway.New(base, gateway.Config{Key: key, Transport: transport, Retries: -1})
	require.NoError(t, err)
	type person struct{ Name string }
	p, err := source.REST[person]{Gateway: client, Path: "persons/{id}"}.
		Fetch(t.Context(), source.Request{Key: entity.Key{ID: tc.id}, Fresh: tc.fresh})
	if err == nil {
		require.Equal(t, tc.want, p.Name)
		return
	}
	require.Equal(t, tc.want, failure.Of(err).String(), err.Error())
	var e *gateway.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, tc.status, e.Status, err.Error())
	require.NotContains(t, err.Error(), "persons/"+tc.id)
}

// fill asks as another client does, whatever comes.
func fill(t *testing.T, url string, transport http.RoundTripper) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	r.Header.Set("X-Gravitee-Api-Key", "secret")
	res, err := transport.RoundTrip(r)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
}

// TestVerdicts runs the cases against the fake gateway. The integration test of
// the same cases does so against a real proxy.
func TestVerdicts(t *testing.T) {
	for _, tc := range verdictCases() {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				backend := &origin{}
				cfg := tc.fake
				cfg.Backend = backend
				if cfg.ContextPath == "" {
					cfg.ContextPath = "/gw"
				}
				g, err := testkit.NewGateway(cfg)
				require.NoError(t, err)
				if tc.happens != nil {
					tc.happens(g)
				}
				tc.check(t, "https://gw.example.no/gw", g, backend)
			})
		})
	}
}
