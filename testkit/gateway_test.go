package testkit

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func newGateway(t *testing.T, cfg GatewayConfig) *Gateway {
	t.Helper()
	g, err := NewGateway(cfg)
	require.NoError(t, err)
	require.NoError(t, g.Put("persons/1", map[string]string{"name": "Kari"}))
	return g
}

// response is an answer, read to its end.
type response struct {
	*http.Response
	body    string
	bodyErr error
}

// ask sends a GET with the right key, unless the header says otherwise.
func ask(t *testing.T, rt http.RoundTripper, url string, header ...string) (response, error) {
	t.Helper()
	return request(t, rt, http.MethodGet, url, header...)
}

func request(t *testing.T, rt http.RoundTripper, method, url string, header ...string) (response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Accept", "application/json")
	r.Header.Set(headerKey, "secret")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Client{Transport: rt}).Do(r)
	if err != nil {
		return response{}, err
	}
	body, bodyErr := io.ReadAll(res.Body)
	require.NoError(t, res.Body.Close())
	return response{Response: res, body: string(body), bodyErr: bodyErr}, nil
}

// overBoth runs a test in memory and through a socket.
func overBoth(t *testing.T, cfg GatewayConfig, test func(t *testing.T, g *Gateway, rt http.RoundTripper, base string)) {
	t.Helper()
	t.Run("in memory", func(t *testing.T) {
		g := newGateway(t, cfg)
		test(t, g, g, "https://gateway.test")
	})
	t.Run("socket", func(t *testing.T) {
		g := newGateway(t, cfg)
		s := httptest.NewServer(g)
		defer s.Close()
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		test(t, g, tr, s.URL)
	})
}

func TestGatewayConfig(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		cfg        GatewayConfig
	}{
		{name: "no leading slash", cfg: GatewayConfig{ContextPath: "iga"}, want: "ContextPath: must begin"},
		{name: "trailing slash", cfg: GatewayConfig{ContextPath: "/iga/"}, want: "ContextPath: must begin"},
		{name: "cache", cfg: GatewayConfig{CacheTTL: -1}, want: "CacheTTL: -1ns"},
		{name: "latency", cfg: GatewayConfig{Latency: -1}, want: "Latency: -1ns"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewGateway(tc.cfg)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestGatewayAnswers(t *testing.T) {
	const unauthorized = `{"message":"Unauthorized","http_status_code":401}`
	const noAPI = "No context-path matches the request URI."
	const name = `{"name":"Kari"}`
	for _, tc := range []struct {
		name    string
		method  string
		path    string
		prepare func(g *Gateway)
		header  []string
		status  int
		ctype   string
		body    string
		noIDs   bool
		closes  bool
		logged  string
	}{
		{name: "entity", path: "/api/persons/1", status: 200, ctype: "application/json", body: name, logged: "persons/1"},
		{name: "missing entity", path: "/api/persons/2", status: 404, ctype: "application/json", body: `{"error":"not found"}`, logged: "persons/2"},
		{name: "key in the query", path: "/api/persons/1?api-key=secret", header: []string{headerKey, ""}, status: 200, ctype: "application/json", body: name, logged: "persons/1"},
		{name: "no key", path: "/api/persons/1", header: []string{headerKey, ""}, status: 401, ctype: "application/json", body: unauthorized, closes: true, logged: "persons/1"},
		{name: "wrong key", path: "/api/persons/1", header: []string{headerKey, "old"}, status: 401, ctype: "application/json", body: unauthorized, closes: true, logged: "persons/1"},
		{name: "wrong key, any type", path: "/api/persons/1", header: []string{headerKey, "old", "Accept", "*/*"}, status: 401, ctype: "application/json", body: unauthorized, closes: true, logged: "persons/1"},
		{name: "wrong key, no JSON", path: "/api/persons/1", header: []string{headerKey, "old", "Accept", "text/html"}, status: 401, ctype: "text/plain", body: "Unauthorized", closes: true, logged: "persons/1"},
		{name: "key replaced", path: "/api/persons/1", prepare: func(g *Gateway) { g.SetKey("new") }, status: 401, ctype: "application/json", body: unauthorized, closes: true, logged: "persons/1"},
		{name: "method", method: http.MethodPost, path: "/api/persons/1", status: 405, ctype: "application/json", body: `{"message":"Method not allowed while accessing this resource","http_status_code":405}`, closes: true, logged: "persons/1"},
		{name: "method HEAD", method: http.MethodHead, path: "/api/persons/1", status: 405, ctype: "application/json", closes: true, logged: "persons/1"},
		{name: "wrong context path", path: "/apis/persons/1", status: 404, ctype: "text/plain", body: noAPI, noIDs: true, closes: true, logged: "/apis/persons/1"},
		{name: "doubled slash", path: "//api/persons/1", status: 404, ctype: "text/plain", body: noAPI, noIDs: true, closes: true, logged: "//api/persons/1"},
		{name: "API stopped", path: "/api/persons/1", prepare: func(g *Gateway) { g.Stop() }, status: 404, ctype: "text/plain", body: noAPI, noIDs: true, closes: true, logged: "/api/persons/1"},
		{name: "API started again", path: "/api/persons/1", prepare: func(g *Gateway) { g.Stop(); g.Start() }, status: 200, ctype: "application/json", body: name, logged: "persons/1"},
		{name: "backend down", path: "/api/persons/1", prepare: func(g *Gateway) { g.SetBackendDown(true) }, status: 502, closes: true, logged: "persons/1"},
		{name: "backend up again", path: "/api/persons/1", prepare: func(g *Gateway) { g.SetBackendDown(true); g.SetBackendDown(false) }, status: 200, ctype: "application/json", body: name, logged: "persons/1"},
		{name: "failure", path: "/api/persons/1", prepare: func(g *Gateway) {
			g.Fail(func(Request) *Failure {
				return &Failure{Status: 503, Body: "<h1>busy</h1>", Header: http.Header{"content-type": {"text/html"}, "Retry-After": {"7"}}}
			})
		}, status: 503, ctype: "text/html", body: "<h1>busy</h1>", logged: "persons/1"},
		{name: "failure ended", path: "/api/persons/1", prepare: func(g *Gateway) {
			g.Fail(func(Request) *Failure { return &Failure{Status: 500} })
			g.Fail(nil)
		}, status: 200, ctype: "application/json", body: name, logged: "persons/1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			overBoth(t, GatewayConfig{}, func(t *testing.T, g *Gateway, rt http.RoundTripper, base string) {
				if tc.prepare != nil {
					tc.prepare(g)
				}
				method := tc.method
				if method == "" {
					method = http.MethodGet
				}
				res, err := request(t, rt, method, base+tc.path, append([]string{headerTransaction, "t-1"}, tc.header...)...)
				require.NoError(t, err)
				require.NoError(t, res.bodyErr)
				require.Equal(t, tc.status, res.StatusCode)
				require.Equal(t, tc.body, res.body)
				require.Equal(t, tc.ctype, res.Header.Get("Content-Type"))
				require.Equal(t, tc.closes, res.Close)
				require.Empty(t, res.Header.Get("Allow"))
				if tc.noIDs {
					require.Empty(t, res.Header.Get(headerTransaction))
					require.Empty(t, res.Header.Get(headerRequest))
				} else {
					require.Equal(t, "t-1", res.Header.Get(headerTransaction))
					require.NotEmpty(t, res.Header.Get(headerRequest))
				}
				log := g.Log()
				require.Len(t, log, 1)
				require.Equal(t, tc.status, log[0].Status)
				require.Equal(t, tc.logged, log[0].Path)
				require.Equal(t, "t-1", log[0].TransactionID)
				require.Equal(t, method, log[0].Method)
				require.Empty(t, log[0].Query)
			})
		})
	}
}

func TestGatewayMakesIDs(t *testing.T) {
	g := newGateway(t, GatewayConfig{})
	one, err := ask(t, g, "http://x/api/persons/1")
	require.NoError(t, err)
	two, err := ask(t, g, "http://x/api/persons/1")
	require.NoError(t, err)
	for _, h := range []string{headerTransaction, headerRequest} {
		require.NotEmpty(t, one.Header.Get(h))
		require.NotEqual(t, one.Header.Get(h), two.Header.Get(h))
	}
	require.Equal(t, one.Header.Get(headerTransaction), g.Log()[0].TransactionID)
}

func TestGatewayEntities(t *testing.T) {
	g := newGateway(t, GatewayConfig{ContextPath: "/iga/v1", Key: "other"})
	require.ErrorContains(t, g.Put("a%zz", 1), `path: holds a "%"`)
	require.ErrorContains(t, g.Delete("a%"), `path: holds a "%"`)
	require.ErrorContains(t, g.Put("a", func() {}), "v: cannot be encoded")
	_, _, found := g.Get("%")
	require.False(t, found)

	require.NoError(t, g.Put("/persons/1", "second"))
	body, version, found := g.Get("persons/1")
	require.True(t, found)
	require.JSONEq(t, `"second"`, string(body))
	require.EqualValues(t, 2, version)
	body[0] = 'X'

	require.NoError(t, g.Delete("persons/1"))
	_, _, found = g.Get("persons/1")
	require.False(t, found)
	require.NoError(t, g.Put("persons/1", "third"))

	require.NoError(t, g.Put("persons/blå%2Fbær", "escaped"))
	for _, tc := range []struct {
		url, body string
		status    int
		version   int64
	}{
		{url: "/iga/v1/persons/1", status: 200, body: `"third"`, version: 3},
		{url: "/iga/v1/persons/bl%C3%A5%2Fb%C3%A6r", status: 200, body: `"escaped"`, version: 1},
		{url: "/iga/v1/persons/blå/bær", status: 404, body: `{"error":"not found"}`},
		{url: "/iga/v1", status: 404, body: `{"error":"not found"}`},
	} {
		res, err := ask(t, g, "http://x"+tc.url, headerKey, "other")
		require.NoError(t, err)
		require.Equal(t, tc.status, res.StatusCode, tc.url)
		require.Equal(t, tc.body, res.body, tc.url)
		log := g.Log()
		require.Equal(t, tc.version, log[len(log)-1].Version, tc.url)
	}
	require.Equal(t, 4, g.Requests())
}

func TestGatewayCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, GatewayConfig{CacheTTL: 10 * time.Minute})
		url := "http://x/api/persons/1?b=2&a=1"
		get := func(header ...string) response {
			res, err := ask(t, g, url, header...)
			require.NoError(t, err)
			return res
		}
		last := func() Request { l := g.Log(); return l[len(l)-1] }
		first := get()
		require.JSONEq(t, `{"name":"Kari"}`, first.body)
		require.NoError(t, g.Put("persons/1", "new"))
		time.Sleep(9 * time.Minute)
		url = "http://x/api/persons/1?a=1&b=2" // the same, sorted

		hit := get("Cache-Control", "no-cache", "If-None-Match", `"x"`, headerTransaction, "t-2", headerCache, "nonsense")
		require.JSONEq(t, `{"name":"Kari"}`, hit.body, "old")
		require.True(t, last().Cached)
		require.False(t, last().Fresh)
		require.EqualValues(t, 1, last().Version)
		// Nothing tells: the headers are the old ones, but for the ids.
		require.Equal(t, "t-2", hit.Header.Get(headerTransaction))
		require.NotEqual(t, first.Header.Get(headerRequest), hit.Header.Get(headerRequest))
		for _, h := range []string{headerTransaction, headerRequest} {
			first.Header.Del(h)
			hit.Header.Del(h)
		}
		require.Equal(t, first.Header, hit.Header)
		require.NotEmpty(t, hit.Header.Get("Date"))

		require.JSONEq(t, `"new"`, get(headerCache, "BY_PASS").body)
		require.True(t, last().Fresh)
		require.JSONEq(t, `{"name":"Kari"}`, get().body, "BY_PASS leaves the old entry")
		require.JSONEq(t, `"new"`, get(headerCache, "REFRESH").body)
		require.True(t, last().Fresh)
		require.JSONEq(t, `"new"`, get().body, "REFRESH replaces it")
		require.True(t, last().Cached)

		g.SetBackendDown(true)
		require.Equal(t, 200, get().StatusCode, "a hit needs no backend")
		require.Equal(t, 401, get(headerKey, "wrong").StatusCode, "but a key")
		time.Sleep(10 * time.Minute)
		require.Equal(t, 502, get().StatusCode, "errors are not kept")
		g.SetBackendDown(false)
		require.NoError(t, g.Delete("persons/1"))
		require.Equal(t, 404, get().StatusCode)
		require.False(t, last().Cached)

		// A body that was cut short is kept.
		require.NoError(t, g.Put("persons/1", "0123456789"))
		g.Fail(func(Request) *Failure { return &Failure{Truncate: true} })
		require.Equal(t, `"01234`, get().body)
		g.Fail(nil)
		require.Equal(t, `"01234`, get().body)
		require.True(t, last().Cached)
		require.Equal(t, `"0123456789"`, get(headerCache, "REFRESH").body)
	})
}

func TestGatewayWithoutCache(t *testing.T) {
	g := newGateway(t, GatewayConfig{})
	for _, want := range []string{`1`, `2`} {
		require.NoError(t, g.Put("n", want))
		res, err := ask(t, g, "http://x/api/n")
		require.NoError(t, err)
		require.Equal(t, `"`+want+`"`, res.body)
	}
}

func TestGatewayLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, GatewayConfig{Latency: 4 * time.Second, BackendTimeout: -1, RequestTimeout: -1})
		g.Fail(func(r Request) *Failure {
			if r.Path == "slow" {
				return &Failure{Delay: time.Minute}
			}
			return nil
		})
		start := time.Now()
		go func() {
			time.Sleep(time.Second)
			_ = g.Put("persons/1", "new")
		}()
		res, err := ask(t, g, "http://x/api/persons/1")
		require.NoError(t, err)
		require.Equal(t, 4*time.Second, time.Since(start))
		require.JSONEq(t, `{"name":"Kari"}`, res.body, "as of its arrival")
		require.EqualValues(t, 1, g.Log()[0].Version)

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/api/slow", http.NoBody)
		require.NoError(t, err)
		r.Header.Set(headerKey, "secret")
		start = time.Now()
		_, err = g.RoundTrip(r) //nolint:bodyclose // there is no response
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 2*time.Second, time.Since(start))
		_, err = g.RoundTrip(r) //nolint:bodyclose // there is no response
		require.ErrorIs(t, err, context.DeadlineExceeded, "ended before")

		client := http.Client{Transport: g, Timeout: 64 * time.Second}
		start = time.Now()
		res2, err := client.Do(r.WithContext(t.Context()))
		require.NoError(t, err)
		require.NoError(t, res2.Body.Close())
		require.Equal(t, 64*time.Second, time.Since(start))

		log := g.Log()
		require.Len(t, log, 4)
		require.Equal(t, []int{200, 0, 0, 404}, []int{log[0].Status, log[1].Status, log[2].Status, log[3].Status})
		require.Equal(t, time.Duration(0), log[1].Time.Sub(log[0].Time)-4*time.Second)
	})
}

func TestGatewaySpoiltAnswers(t *testing.T) {
	for _, tc := range []struct {
		name    string
		failure Failure
		body    string
		err     string // of the request
		bodyErr error
		status  int // logged
	}{
		{name: "truncated", failure: Failure{Truncate: true}, body: `{"name"`, status: 200},
		{name: "truncated other answer", failure: Failure{Status: 200, Body: "abcdef", Truncate: true}, body: "abc", status: 200},
		{name: "dropped", failure: Failure{Drop: true}, err: "connection reset by peer|EOF"},
		{name: "dropped in the body", failure: Failure{Drop: true, Truncate: true}, body: `{"name"`, bodyErr: io.ErrUnexpectedEOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			overBoth(t, GatewayConfig{}, func(t *testing.T, g *Gateway, rt http.RoundTripper, base string) {
				var asked Request
				g.Fail(func(r Request) *Failure { asked = r; return &tc.failure })
				res, err := ask(t, rt, base+"/api/persons/1")
				log := g.Log()
				require.NotEmpty(t, log)
				require.Equal(t, tc.status, log[0].Status)
				require.Equal(t, "persons/1", asked.Path)
				if tc.err != "" {
					require.Error(t, err)
					require.Regexp(t, tc.err, err.Error())
					return
				}
				require.NoError(t, err)
				require.Equal(t, tc.body, res.body)
				require.ErrorIs(t, res.bodyErr, tc.bodyErr)
			})
		})
	}
}

// TestGatewayHoldsARequestUp shows a fetch that is under way while things
// change.
func TestGatewayHoldsARequestUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, GatewayConfig{})
		release := make(chan struct{})
		g.Fail(func(Request) *Failure { <-release; return nil })
		done := make(chan string)
		go func() {
			r := httptest.NewRequest(http.MethodGet, "/api/persons/1", http.NoBody)
			r.Header.Set(headerKey, "secret")
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			done <- w.Body.String()
		}()
		synctest.Wait()
		require.Equal(t, 1, g.Requests())
		require.Zero(t, g.Log()[0].Status, "not answered yet")
		require.NoError(t, g.Put("persons/1", "new"))
		close(release)
		require.JSONEq(t, `{"name":"Kari"}`, <-done)
		require.Equal(t, 200, g.Log()[0].Status)
	})
}

// TestGatewayHoldsAnAnswerBack does so for as long as the client wants it.
func TestGatewayHoldsAnAnswerBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, GatewayConfig{})
		hold := make(chan struct{})
		g.Fail(func(Request) *Failure { return &Failure{Hold: hold} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := httptest.NewRequest(http.MethodGet, "/api/persons/1", http.NoBody)
		r.Header.Set(headerKey, "secret")
		_, err := g.RoundTrip(r.WithContext(ctx)) //nolint:bodyclose // there is no response
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.AfterFunc(time.Hour, func() { close(hold) })
		res, err := g.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 200, res.StatusCode, "no timeout of the gateway's")
	})
}
