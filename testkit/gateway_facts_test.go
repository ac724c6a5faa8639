package testkit

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// These tests show each fact about the gateway: what the fake answers, and
// what a source behind the client makes of it.

const (
	v3 = "3.x"
	v4 = "4.x"
)

// facts is a gateway with one person, a plain client and a source.
type facts struct {
	*require.Assertions
	*Gateway
	t      *testing.T
	source source.REST[map[string]string]
}

func newFacts(t *testing.T, cfg GatewayConfig) *facts {
	t.Helper()
	g := newGateway(t, cfg)
	client, err := gateway.New("https://gateway.test/api", gateway.Config{Key: "secret", Transport: g, Retries: -1})
	require.NoError(t, err)
	return &facts{
		Assertions: require.New(t), t: t, Gateway: g,
		source: source.REST[map[string]string]{Gateway: client, Path: "persons/{id}"},
	}
}

// ask sends a GET for the person, past the client.
func (f *facts) ask(header ...string) response { return f.get("/api/persons/1", header...) }

func (f *facts) get(path string, header ...string) response {
	f.t.Helper()
	res, err := ask(f.t, f.Gateway, "https://gateway.test"+path, header...)
	f.NoError(err)
	return res
}

func (f *facts) send(method, path string, header ...string) response {
	f.t.Helper()
	res, err := request(f.t, f.Gateway, method, "https://gateway.test"+path, header...)
	f.NoError(err)
	return res
}

// verdict is what the source makes of the person: "present", or the class.
func (f *facts) verdict(fresh bool) string {
	f.t.Helper()
	_, err := f.source.Fetch(f.t.Context(), source.Request{Key: entity.Key{ID: "1"}, Fresh: fresh})
	if err == nil {
		return "present"
	}
	f.NotContains(err.Error(), "Kari")
	return failure.Of(err).String()
}

func (f *facts) last() Request { l := f.Log(); return l[len(l)-1] }

func eachVersion(t *testing.T, test func(t *testing.T, version string)) {
	for _, v := range []string{v3, v4} {
		t.Run(v, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, v) }) })
	}
}

func TestGatewayFactErrors(t *testing.T) {
	const text = `{"message":"%s","http_status_code":%d}`
	for _, tc := range []struct {
		name    string
		cfg     GatewayConfig
		prepare func(f *facts)
		status  int
		body    string
		kind    string // content type
		takes   time.Duration
		noIDs   bool
	}{
		{name: "no API at this context path", cfg: GatewayConfig{ContextPath: "/other"}, status: 404, kind: "text/plain", body: "No context-path matches the request URI.", noIDs: true},
		{name: "API stopped or not yet deployed", prepare: func(f *facts) { f.Stop() }, status: 404, kind: "text/plain", body: "No context-path matches the request URI.", noIDs: true},
		{name: "path refused by the plan", cfg: GatewayConfig{Denied: []string{"persons/*"}}, status: 403, kind: "application/json", body: fmt.Sprintf(text, "You're not allowed to access this resource", 403)},
		{name: "method refused by the plan", cfg: GatewayConfig{Methods: []string{"POST"}}, status: 405, kind: "application/json", body: fmt.Sprintf(text, "Method not allowed while accessing this resource", 405)},
		{name: "key unknown, revoked or expired", prepare: func(f *facts) { f.SetKey("another") }, status: 401, kind: "application/json", body: fmt.Sprintf(text, "Unauthorized", 401)},
		{name: "backend refuses, resets, DNS, TLS", prepare: func(f *facts) { f.SetBackendDown(true) }, status: 502},
		{name: "backend connect timeout", prepare: func(f *facts) { f.SetBackend(504) }, status: 504, takes: 5 * time.Second},
		{name: "backend read timeout", cfg: GatewayConfig{Latency: time.Minute}, status: 504, takes: 10 * time.Second},
		{name: "whole request over 30 s", cfg: GatewayConfig{Latency: time.Minute, BackendTimeout: -1}, status: 504, kind: "application/json", body: fmt.Sprintf(text, "Request timeout", 504), takes: 30 * time.Second},
		{name: "no healthy endpoint", prepare: func(f *facts) { f.SetBackend(503) }, status: 503},
		{name: "rate limit", cfg: GatewayConfig{RateLimit: Limit{2, time.Second}}, prepare: exhaust, status: 429, kind: "application/json", body: fmt.Sprintf(text, "Rate limit exceeded! You reached the limit of 2 requests per 1 seconds", 429)},
		{name: "quota", cfg: GatewayConfig{Quota: Limit{2, 24 * time.Hour}}, prepare: exhaust, status: 429, kind: "application/json", body: fmt.Sprintf(text, "Quota exceeded! You reached the limit of 2 requests per 1 days", 429)},
		{name: "spike arrest", cfg: GatewayConfig{SpikeArrest: Limit{20, 2 * time.Second}}, prepare: exhaust, status: 429, kind: "application/json", body: fmt.Sprintf(text, "Spike limit exceeded! You reached the limit of 1 requests per 100 ms.", 429)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version string) {
				tc.cfg.Version = version
				f := newFacts(t, tc.cfg)
				if tc.prepare != nil {
					tc.prepare(f)
				}
				start := time.Now()
				res := f.ask(headerTransaction, "t-1")
				f.Equal(tc.takes, time.Since(start))
				f.Equal(tc.status, res.StatusCode)
				f.Equal(tc.body, res.body)
				f.Equal(tc.kind, res.Header.Get("Content-Type"))
				f.Equal(version == v3 || tc.status >= 500, res.Close, "Connection: close")
				f.Equal(tc.noIDs, res.Header.Get(headerTransaction) == "")
				f.Equal(tc.noIDs, res.Header.Get(headerRequest) == "")
				f.Empty(res.Header.Get("Allow"))
				f.Empty(res.Header.Get("WWW-Authenticate"))
				f.Empty(res.Header.Get("Retry-After"))
				f.Equal("unavailable", f.verdict(true))
			})
		})
	}
}

// exhaust asks until a limit of two is reached.
func exhaust(f *facts) {
	for f.ask().StatusCode == http.StatusOK { //nolint:revive // that is all
	}
}

func TestGatewayFactOwnErrors(t *testing.T) {
	t.Run("JSON only if Accept holds application/json or any", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{Key: "other"})
		for accept, kind := range map[string]string{
			"application/json": "application/json", "text/html, application/json": "application/json", "*/*": "application/json",
			"": "text/plain", "text/html": "text/plain", "application/*": "text/plain",
		} {
			res := f.ask("Accept", accept)
			f.Equal(kind, res.Header.Get("Content-Type"), accept)
			if kind == "text/plain" {
				f.Equal("Unauthorized", res.body)
			}
		}
		f.Equal("unavailable", f.verdict(true))
		f.Equal("application/json", f.last().Header.Get("Accept"), "the client always says it")
	})
	t.Run("API owners can override status and body", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{Key: "other", Errors: map[int]Failure{
			401: {Status: 404, Body: "<h1>no</h1>", Header: http.Header{"Content-Type": {"text/html"}}},
		}})
		res := f.ask()
		f.Equal(404, res.StatusCode)
		f.Equal("<h1>no</h1>", res.body)
		f.NotEqual("gone", f.verdict(true))
	})
	t.Run("the gateway's 404 or the backend's", func(t *testing.T) {
		for _, tc := range []struct {
			version string
			ids     bool
		}{
			{"3.15.0", true}, {"3.18.19", true}, {"3.18.20", false}, {"3.19.8", true}, {"3.19.9", false},
			{"3.20.2", true}, {"3.20.3", false}, {"3.x", false}, {"4.0.0", false}, {"4.12", false},
		} {
			f := newFacts(t, GatewayConfig{Version: tc.version})
			res := f.get("/api/persons/2")
			f.Equal(404, res.StatusCode)
			f.NotEmpty(res.Header.Get(headerTransaction), "through an API")
			f.NotEmpty(res.Header.Get(headerRequest))
			f.Stop()
			res = f.ask()
			f.Equal(tc.ids, res.Header.Get(headerTransaction) != "", tc.version)
			f.Equal(tc.ids, res.Header.Get(headerRequest) != "", tc.version)
			f.Equal("unavailable", f.verdict(true), tc.version)
			f.Start()
			f.NoError(f.Delete("persons/1"))
			f.Equal("gone", f.verdict(true), tc.version)
		}
	})
	t.Run("header names can be configured away", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{NoIDs: true})
		f.Empty(f.ask().Header.Get(headerTransaction))
		f.Equal("present", f.verdict(true))
		f.NoError(f.Delete("persons/1"))
		f.Equal("unavailable", f.verdict(true), "there is no proof")
	})
	t.Run("the gateway's 401 or the backend's", func(t *testing.T) {
		for version, backend := range map[string]string{v3: "", v4: "application"} {
			f := newFacts(t, GatewayConfig{Version: version})
			f.Empty(f.ask(headerKey, "wrong").Header.Get(headerClient))
			f.Gateway.Fail(func(Request) *Failure { return &Failure{Status: 401} })
			res := f.ask()
			f.Equal(401, res.StatusCode)
			f.Equal(backend, res.Header.Get(headerClient))
			f.Equal("unavailable", f.verdict(true))
		}
	})
}

func TestGatewayFactKeys(t *testing.T) {
	t.Run("header, else query parameter", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{})
		f.Equal(200, f.get("/api/persons/1?api-key=secret", headerKey, "").StatusCode)
		f.Empty(f.last().Query)
		f.Equal(401, f.get("/api/persons/1?api-key=secret", headerKey, "wrong").StatusCode)
		f.Equal("present", f.verdict(false))
		f.Empty(f.last().Header.Get(headerKey), "not in the log")
	})
	t.Run("a wrong key does not fall back to a keyless plan", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{Keyless: true})
		f.Equal(200, f.ask(headerKey, "").StatusCode)
		f.Equal(401, f.ask(headerKey, "wrong").StatusCode)
	})
	t.Run("right after a rotation both 401 and 200 occur", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFacts(t, GatewayConfig{Sync: 5 * time.Second})
			f.SetKey("new")
			statuses := func(key string) string {
				return fmt.Sprint(f.ask(headerKey, key).StatusCode, f.ask(headerKey, key).StatusCode)
			}
			f.Equal("200 200", statuses("secret"))
			f.Equal("401 401", statuses("new"))
			time.Sleep(2500 * time.Millisecond)
			f.Equal("401 200", statuses("secret"))
			f.Equal("200 401", statuses("new"))
			f.NotEqual("gone", f.verdict(true))
			time.Sleep(2500 * time.Millisecond)
			f.Equal("401 401", statuses("secret"))
			f.Equal("200 200", statuses("new"))
		})
	})
	t.Run("rolling deployment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFacts(t, GatewayConfig{Sync: 5 * time.Second})
			f.Stop()
			time.Sleep(3 * time.Second)
			f.Equal(404, f.ask().StatusCode)
			f.Equal(200, f.ask().StatusCode)
			f.Equal("unavailable", f.verdict(true))
			f.Equal("present", f.verdict(true))
		})
	})
}

func TestGatewayFactLimits(t *testing.T) {
	at := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).UnixMilli()) }
	t.Run("headers, on successes too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFacts(t, GatewayConfig{
				LimitHeaders: true, RateLimit: Limit{10, time.Second}, Quota: Limit{1000, time.Hour}, SpikeArrest: Limit{10, time.Second},
			})
			end := at(time.Second)
			h := f.ask().Header
			f.Equal([]string{"10", "9", end}, []string{h.Get("X-Rate-Limit-Limit"), h.Get("X-Rate-Limit-Remaining"), h.Get("X-Rate-Limit-Reset")})
			f.Equal([]string{"1000", "999", at(time.Hour)}, []string{h.Get("X-Quota-Limit"), h.Get("X-Quota-Remaining"), h.Get("X-Quota-Reset")})
			f.Equal([]string{"1", "100ms", at(100 * time.Millisecond)}, []string{h.Get("X-Spike-Arrest-Limit"), h.Get("X-Spike-Arrest-Slice-Period"), h.Get("X-Spike-Arrest-Reset")})
			f.NotContains(h, "X-Spike-Arrest-Remaining")
			time.Sleep(300 * time.Millisecond)
			h = f.ask().Header
			f.Equal([]string{"8", end}, []string{h.Get("X-Rate-Limit-Remaining"), h.Get("X-Rate-Limit-Reset")}, "a fixed window, from the first request")
		})
	})
	t.Run("only the quota's are sent by default", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{RateLimit: Limit{10, time.Second}, Quota: Limit{10, time.Hour}, SpikeArrest: Limit{10, time.Second}})
		h := f.ask().Header
		f.NotEmpty(h.Get("X-Quota-Reset"))
		f.NotContains(h, "X-Rate-Limit-Reset")
		f.NotContains(h, "X-Spike-Arrest-Reset")
	})
	t.Run("the window ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFacts(t, GatewayConfig{RateLimit: Limit{2, time.Minute}})
			time.Sleep(10 * time.Second)
			exhaust(f)
			time.Sleep(time.Minute - time.Millisecond)
			f.Equal(429, f.ask().StatusCode)
			time.Sleep(time.Millisecond)
			f.Equal(200, f.ask().StatusCode)
		})
	})
	t.Run("token bucket", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFacts(t, GatewayConfig{Version: "4.12", TokenBucket: Limit{2, 8 * time.Second}, LimitHeaders: true})
			f.Equal("1", f.ask().Header.Get("X-Rate-Limit-Remaining"))
			f.Equal(200, f.ask().StatusCode)
			res := f.ask()
			f.Equal(429, res.StatusCode)
			f.Equal("4", res.Header.Get("Retry-After"))
			f.Equal(at(4*time.Second), res.Header.Get("X-Rate-Limit-Reset"))
			time.Sleep(4 * time.Second)
			f.Equal(200, f.ask().StatusCode)
			f.Equal(429, f.ask().StatusCode)
		})
	})
	t.Run("a Reset of -1 means that the counter store is down", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{RateLimit: Limit{1, time.Hour}, LimitHeaders: true})
		f.SetCounterDown(true)
		for range 3 {
			res := f.ask()
			f.Equal(200, res.StatusCode)
			f.Equal("-1", res.Header.Get("X-Rate-Limit-Reset"))
		}
		f.SetCounterDown(false)
		f.Equal(200, f.ask().StatusCode)
		f.Equal(429, f.ask().StatusCode)
	})
	t.Run("one counter for all instances of a connector", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{RateLimit: Limit{1, time.Hour}})
		f.Equal(200, f.ask().StatusCode)
		f.Equal("unavailable", f.verdict(true), "of another client")
	})
	t.Run("the backend's headers of the same names come second", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{Quota: Limit{10, time.Hour}})
		f.Gateway.Fail(func(Request) *Failure { return &Failure{Header: http.Header{"X-Quota-Remaining": {"77"}}} })
		f.Equal([]string{"9", "77"}, f.ask().Header.Values("X-Quota-Remaining"))
	})
	t.Run("clocks disagree", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFacts(t, GatewayConfig{Quota: Limit{10, time.Hour}, ClockSkew: -time.Minute})
			f.Equal(at(59*time.Minute), f.ask().Header.Get("X-Quota-Reset"))
		})
	})
}

func TestGatewayFactCache(t *testing.T) {
	cached := GatewayConfig{CacheTTL: 10 * time.Minute}
	t.Run("REFRESH can be disabled by the API's owner", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{CacheTTL: 10 * time.Minute, NoRefresh: true})
		f.ask()
		f.NoError(f.Put("persons/1", "new"))
		f.JSONEq(`{"name":"Kari"}`, f.ask(headerCache, refresh).body)
		f.True(f.last().Fresh)
		f.True(f.last().Cached)
		f.Equal(`"new"`, f.ask(headerCache, bypass).body)
	})
	t.Run("a query parameter cache does the same and is always stripped", func(t *testing.T) {
		f := newFacts(t, cached)
		f.ask()
		f.NoError(f.Put("persons/1", "new"))
		f.JSONEq(`{"name":"Kari"}`, f.get("/api/persons/1?cache=no").body)
		f.Equal(`"new"`, f.get("/api/persons/1?cache=REFRESH").body)
		f.Empty(f.last().Query)
		f.True(f.last().Fresh)
	})
	t.Run("Accept, Authorization, Range, validators are not in the key", func(t *testing.T) {
		f := newFacts(t, cached)
		tag := f.ask().Header.Get("ETag")
		f.Equal(`"1"`, tag)
		res := f.ask("Accept", "text/html", "Authorization", "Bearer x", "Range", "bytes=0-1", "If-None-Match", tag, "Cache-Control", "no-cache")
		f.Equal(200, res.StatusCode, "always 200")
		f.JSONEq(`{"name":"Kari"}`, res.body, "with the full stored body")
		f.True(f.last().Cached)
		f.Equal(304, f.ask("If-None-Match", tag, headerCache, bypass).StatusCode, "the backend looks at it")
	})
	t.Run("every 2xx is kept, no-store too, other answers are not", func(t *testing.T) {
		for _, status := range []int{200, 201, 203, 206, 301, 404, 500} {
			f := newFacts(t, cached)
			f.Gateway.Fail(func(Request) *Failure {
				return &Failure{Status: status, Body: "{}", Header: http.Header{"Cache-Control": {"no-store, private"}}}
			})
			_, err := f.RoundTrip(f.plain("/api/persons/1")) //nolint:bodyclose // in memory
			f.NoError(err)
			f.Gateway.Fail(nil)
			f.Equal(status < 300, f.ask().body == "{}", status)
			f.Equal(status < 300, f.last().Cached, status)
		}
	})
	t.Run("TTL", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFacts(t, GatewayConfig{CacheTTL: 600 * time.Second})
			f.ask()
			time.Sleep(599 * time.Second)
			f.ask()
			f.True(f.last().Cached)
			time.Sleep(time.Second)
			f.ask()
			f.False(f.last().Cached)
		})
	})
	t.Run("nothing marks a hit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFacts(t, cached)
			first := f.ask(headerTransaction, "t").Header
			time.Sleep(time.Minute)
			hit := f.ask(headerTransaction, "t").Header
			f.True(f.last().Cached)
			for _, h := range []http.Header{first, hit} {
				h.Del(headerRequest)
			}
			f.Equal(first, hit)
			f.Subset(hit, map[string][]string{"Etag": {`"1"`}, "Date": first["Date"], "Last-Modified": first["Last-Modified"]})
		})
	})
	t.Run("on 4.x stored limit headers are replayed as second values", func(t *testing.T) {
		for version, want := range map[string][]string{v3: {"8"}, v4: {"8", "9"}} {
			f := newFacts(t, GatewayConfig{Version: version, CacheTTL: time.Hour, Quota: Limit{10, time.Hour}})
			f.ask()
			f.Equal(want, f.ask().Header.Values("X-Quota-Remaining"))
		}
	})
	t.Run("a fetch that follows a notification says REFRESH", func(t *testing.T) {
		f := newFacts(t, cached)
		f.Equal("present", f.verdict(false))
		f.NoError(f.Delete("persons/1"))
		f.Equal("present", f.verdict(false), "the old state")
		f.Equal("gone", f.verdict(true))
		f.Equal(refresh, f.last().Header.Get(headerCache))
	})
}

func (f *facts) plain(path string) *http.Request {
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, "https://gateway.test"+path, http.NoBody)
	f.NoError(err)
	r.Header.Set(headerKey, "secret")
	return r
}

func TestGatewayFactIDs(t *testing.T) {
	f := newFacts(t, GatewayConfig{Backend: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get(headerTransaction)+" "+r.Header.Get("traceparent")+" "+r.Header.Get(headerKey)+r.URL.String())
	})})
	res := f.get("/api/x%2Fy?b=2&a=1&api-key=k", headerTransaction, "t-1", headerRequest, "mine", "traceparent", "00-1")
	f.Equal("t-1 00-1 /x%2Fy?a=1&b=2", res.body, "forwarded, without the key")
	f.Equal([]string{"t-1"}, res.Header.Values(headerTransaction), "echoed")
	f.NotEqual("mine", res.Header.Get(headerRequest), "always the gateway's own")
	f.Equal("t-1", f.last().TransactionID)
}

func TestGatewayFactSurprises(t *testing.T) {
	t.Run("the backend dies in the middle of a body", func(t *testing.T) {
		for _, version := range []string{v3, v4} {
			f := newFacts(t, GatewayConfig{Version: version, CacheTTL: time.Hour})
			var deaths int
			f.Gateway.Fail(func(Request) *Failure {
				if deaths++; deaths > 1 {
					return nil
				}
				return &Failure{Break: true}
			})
			res := f.ask()
			f.Equal(`{"name"`, res.body)
			if version == v3 {
				f.ErrorIs(res.bodyErr, io.ErrUnexpectedEOF)
				f.Equal("present", f.verdict(false))
				continue
			}
			f.NoError(res.bodyErr, "a clean end")
			f.Equal(`{"name"`, f.ask().body, "and cached")
			f.True(f.last().Cached)
			f.Equal("present", f.verdict(false), "fetched again with REFRESH")
			f.Equal(refresh, f.last().Header.Get(headerCache))
		}
	})
	t.Run("a 206 may be cached and served to plain GETs", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{CacheTTL: time.Hour})
		f.Gateway.Fail(func(r Request) *Failure {
			if r.Header.Get("Range") == "" {
				return nil
			}
			return &Failure{Status: 206, Body: `{"n`}
		})
		f.Equal(206, f.ask("Range", "bytes=0-2").StatusCode)
		f.Equal(200, f.ask().StatusCode)
		f.Equal(`{"n`, f.ask().body)
		f.Equal("present", f.verdict(false))
	})
	t.Run("on 3.x a cached HEAD makes GET answer 200 with an empty body", func(t *testing.T) {
		for version, body := range map[string]string{v3: "", v4: `{"name":"Kari"}`} {
			f := newFacts(t, GatewayConfig{Version: version, CacheTTL: time.Hour, Methods: []string{"GET", "HEAD"}})
			f.Equal(200, f.send(http.MethodHead, "/api/persons/1").StatusCode)
			f.Equal(body, f.ask().body)
			f.Equal("present", f.verdict(false), "an empty 200 is never no data")
		}
	})
	t.Run("often chunked", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{Chunked: true})
		res := f.ask("Accept-Encoding", "gzip")
		f.EqualValues(-1, res.ContentLength)
		f.JSONEq(`{"name":"Kari"}`, res.body, "identity")
	})
	t.Run("query strings are re-serialised", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{})
		f.get("/api/persons/1?b=1;a=2&b=3")
		f.Equal("a=2&b=1&b=3", f.last().Query)
	})
	t.Run("paths are not normalised", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{})
		f.get("/api")
		f.Empty(f.last().Path)
		f.get("/api/")
		f.Equal("/", f.last().Path)
		f.get("/api/persons/1/")
		f.Equal("persons/1/", f.last().Path)
		f.get("/api/x/../persons/1")
		f.Equal("x/../persons/1", f.last().Path)
		f.Equal(404, f.get("//api/persons/1").StatusCode, "a doubled leading slash")
		f.Equal("//api/persons/1", f.last().Path)
	})
	t.Run("URIs over 4096 bytes are refused before any API is reached", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{})
		fits := "/api/" + strings.Repeat("x", 4091)
		f.JSONEq(`{"error":"not found"}`, f.get(fits).body)
		res := f.get(fits + "x")
		f.Equal(414, res.StatusCode)
		f.Empty(res.Header.Get(headerTransaction))
		f.Zero(f.last().Calls)
	})
	t.Run("failover repeats any method", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFacts(t, GatewayConfig{Failover: 2, Methods: []string{"GET", "POST"}, Latency: 11 * time.Second})
			f.Equal(504, f.send(http.MethodPost, "/api/persons/1").StatusCode)
			f.Equal(3, f.last().Calls)
			f.SetBackendDown(true)
			f.Equal(502, f.ask().StatusCode)
			f.Equal(3, f.last().Calls)
		})
	})
	t.Run("a stray 502 now and then", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFacts(t, GatewayConfig{})
			f.Gateway.Fail(func(Request) *Failure { f.Gateway.Fail(nil); return &Failure{Status: 502} })
			client, err := gateway.New("https://gateway.test/api", gateway.Config{Key: "secret", Transport: f.Gateway})
			f.NoError(err)
			f.source.Gateway = client
			f.Equal("present", f.verdict(true))
			f.Equal(2, f.Requests(), "repeated")
		})
	})
	t.Run("redirects are passed to the client", func(t *testing.T) {
		f := newFacts(t, GatewayConfig{})
		f.Gateway.Fail(func(Request) *Failure {
			return &Failure{Status: 302, Header: http.Header{"Location": {"https://other.test/"}}}
		})
		f.Equal("unavailable", f.verdict(true))
		f.Equal(1, f.Requests(), "not followed")
	})
}
