package gateway_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

var ok = reply{Status: 200, Body: `{}`, IDs: true}

func TestRequest(t *testing.T) {
	var got *http.Request
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		ok.write(w, r)
	})
	c := newClient(t, s.URL+"/iga/v1/", gateway.Config{
		UserAgent: "people/1.2",
		Header:    http.Header{"Authorization": {"Bearer t"}, "X-Env": {"a", "b"}},
	})
	req := gateway.Request{Path: "persons/a%2Fb", Query: url.Values{"fields": {"name", "a;b"}}, Fresh: true, TransactionID: "tx-9"}
	_, err := c.Get(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, "GET", got.Method)
	require.Equal(t, "/iga/v1/persons/a%2Fb?fields=name&fields=a%3Bb", got.RequestURI)
	require.Equal(t, http.Header{
		"Accept":                    {"application/json"},
		"Authorization":             {"Bearer t"},
		"User-Agent":                {"people/1.2"},
		"X-Env":                     {"a", "b"},
		"X-Gravitee-Api-Key":        {key},
		"X-Gravitee-Cache":          {"REFRESH"},
		"X-Gravitee-Transaction-Id": {"tx-9"},
	}, got.Header)

	resp, err := c.Get(t.Context(), gateway.Request{Path: "persons/"})
	require.NoError(t, err)
	require.Equal(t, "/iga/v1/persons/", got.RequestURI)
	require.NotContains(t, got.Header, "X-Gravitee-Cache")
	first := got.Header.Get("X-Gravitee-Transaction-Id")
	require.Len(t, first, 26)
	require.Equal(t, first, resp.TransactionID)
	_, err = c.Get(t.Context(), gateway.Request{Path: "persons/"})
	require.NoError(t, err)
	require.NotEqual(t, first, got.Header.Get("X-Gravitee-Transaction-Id"))
}

func TestNoKey(t *testing.T) {
	var got http.Header
	c, err := gateway.New(base, gateway.Config{Transport: transport(func(r *http.Request) (*http.Response, error) {
		got = r.Header
		return ok.to(r), nil
	})})
	require.NoError(t, err)
	_, err = c.Get(t.Context(), person)
	require.NoError(t, err)
	require.NotContains(t, got, "X-Gravitee-Api-Key")
	require.Equal(t, "konnektor", got.Get("User-Agent"))
}

func TestRetries(t *testing.T) {
	bad, slow := reply{Status: 502}, reply{Status: 504}
	tests := []struct {
		name     string
		retries  int
		replies  []reply
		requests int
		want     error // by class, nil: success
		text     string
	}{
		{"no failure", 0, []reply{ok}, 1, nil, ""},
		{"one stray 502", 0, []reply{bad, ok}, 2, nil, ""},
		{"two", 0, []reply{{Status: 503}, slow, ok}, 3, nil, ""},
		{"more than by default", 0, []reply{bad}, 3, errors.New("unavailable"), "502: the gateway cannot reach the source, 3 attempts"},
		{"more than configured", 1, []reply{bad, bad, ok}, 2, errors.New("unavailable"), "2 attempts"},
		{"none", -1, []reply{bad, ok}, 1, errors.New("unavailable"), "502: the gateway cannot reach the source (transaction"},
		{"503 that says when", 0, []reply{{Status: 503, Header: "Retry-After: 5"}, ok}, 1, errors.New("unavailable"), "503"},
		{"500 is not stray", 0, []reply{{Status: 500}, ok}, 1, errors.New("unavailable"), "500"},
		{"429 is not stray", 0, []reply{{Status: 429}, ok}, 1, errors.New("unavailable"), "429"},
		{"404 is not stray", 0, []reply{{Status: 404, IDs: true}, ok}, 1, errors.New("gone"), "404"},
		{"a better error comes", 0, []reply{bad, {Status: 404, IDs: true}}, 2, errors.New("gone"), "404: the source has no such entity, 2 attempts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests int
				c := newClient(t, base, gateway.Config{Transport: script(&requests, tt.replies...), Retries: tt.retries})
				begin := time.Now()
				_, err := c.Get(t.Context(), person)
				require.Equal(t, tt.requests, requests)
				require.Less(t, time.Since(begin), time.Second)
				if requests > 1 {
					require.GreaterOrEqual(t, time.Since(begin), 50*time.Millisecond)
				}
				if tt.want == nil {
					require.NoError(t, err)
					return
				}
				require.EqualError(t, tt.want, failure.Of(err).String())
				require.ErrorContains(t, err, tt.text)
			})
		})
	}
}

func TestTime(t *testing.T) {
	hang := transport(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	lateBody := transport(func(r *http.Request) (*http.Response, error) {
		resp := ok.to(r)
		resp.Body = io.NopCloser(readFunc(func([]byte) (int, error) {
			<-r.Context().Done()
			return 0, r.Context().Err()
		}))
		return resp, nil
	})
	badThenHang := func() transport {
		next := reply{Status: 504}.transport()
		return func(r *http.Request) (*http.Response, error) {
			now := next
			next = hang
			return now(r)
		}
	}
	tests := []struct {
		name      string
		transport transport
		try       time.Duration
		timeout   time.Duration
		cancel    time.Duration // of the caller
		deadline  time.Duration // of the caller
		after     time.Duration
		is        error
		want      failure.Class
		text      string
	}{
		{name: "default", transport: hang, after: 35 * time.Second, is: context.DeadlineExceeded, want: failure.Unavailable, text: "no complete answer within 35s (Config.TryTimeout)"},
		{name: "configured", transport: hang, try: time.Minute, after: time.Minute, is: context.DeadlineExceeded, want: failure.Unavailable, text: "within 1m0s (Config.TryTimeout)"},
		{name: "all of it", transport: hang, timeout: 20 * time.Second, after: 20 * time.Second, is: context.DeadlineExceeded, want: failure.Unavailable, text: "within 20s (Config.Timeout)"},
		{name: "body counts", transport: lateBody, after: 35 * time.Second, want: failure.Unavailable, text: "no complete answer"},
		{name: "retries count, and the first failure tells more", transport: badThenHang(), timeout: 35 * time.Second, after: 35 * time.Second, want: failure.Unavailable, text: "504: the source is too slow for the gateway, 2 attempts"},
		{name: "cancelled", transport: hang, cancel: 3 * time.Second, after: 3 * time.Second, is: context.Canceled, want: failure.Failed, text: "context canceled"},
		{name: "cancelled in the body", transport: lateBody, cancel: 3 * time.Second, after: 3 * time.Second, is: context.Canceled, want: failure.Failed, text: "context canceled"},
		{name: "cancelled before a retry", transport: reply{Status: 502}.transport(), cancel: time.Millisecond, after: time.Millisecond, is: context.Canceled, want: failure.Failed, text: "context canceled"},
		{name: "caller's deadline", transport: hang, deadline: 4 * time.Second, after: 4 * time.Second, is: context.DeadlineExceeded, want: failure.Unavailable, text: "context deadline exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, cancel)
				}
				if tt.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				c := newClient(t, base, gateway.Config{Transport: tt.transport, TryTimeout: tt.try, Timeout: tt.timeout})
				begin := time.Now()
				_, err := c.Get(ctx, person)
				require.Equal(t, tt.after, time.Since(begin))
				require.ErrorContains(t, err, tt.text)
				require.Equal(t, tt.want, failure.Of(err))
				if tt.is != nil {
					require.ErrorIs(t, err, tt.is)
				}
			})
		})
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestNoAnswer(t *testing.T) {
	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"name":`)
	})
	reset := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	plain := serve(t, ok.write)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(ok.write))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	dead := httptest.NewServer(http.HandlerFunc(ok.write))
	dead.Close()
	tests := []struct {
		name string
		base string
		text string
		is   error
	}{
		{"refused", dead.URL, "no answer: connection refused", syscall.ECONNREFUSED},
		{"closed", reset.URL, "no answer: the connection was closed", io.EOF},
		{"broken off in the body", cut.URL, "the answer broke off: the connection was closed", io.ErrUnexpectedEOF},
		{"unknown certificate", secure.URL, "no answer: tls: failed to verify certificate", nil},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), "no answer: the other end does not speak TLS", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, tt.base, gateway.Config{Retries: -1})
			_, err := c.Get(t.Context(), person)
			require.ErrorContains(t, err, tt.text)
			require.Equal(t, failure.Unavailable, failure.Of(err))
			require.NotContains(t, err.Error(), id)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
		})
	}
}

func TestBrokenConnectionsAreRetried(t *testing.T) {
	brokenBody := transport(func(r *http.Request) (*http.Response, error) {
		resp := reply{Status: 200, Body: `{"name":`}.to(r)
		resp.Body = io.NopCloser(io.MultiReader(resp.Body, readFunc(func([]byte) (int, error) { return 0, syscall.ECONNRESET })))
		return resp, nil
	})
	fails := func(err error) transport {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	quoting := &url.Error{Op: "Get", URL: base + "/persons/" + id, Err: errors.New("bad line: " + id)}
	tests := []struct {
		name     string
		failure  transport
		times    int
		requests int
		text     string // of the error, empty: success
	}{
		{"reset once", fails(syscall.ECONNRESET), 1, 2, ""},
		{"closed twice", fails(io.EOF), 2, 3, ""},
		{"broken off in the body", brokenBody, 1, 2, ""},
		{"reset for good", fails(syscall.ECONNRESET), 9, 3, "no answer: connection reset by peer, 3 attempts"},
		{"broken off for good", brokenBody, 9, 3, "the answer broke off: connection reset by peer, 3 attempts"},
		{"unknown host", fails(&net.DNSError{Err: "no such host", Name: "gw.example.no"}), 9, 3, "no answer: lookup gw.example.no: no such host, 3 attempts"},
		{"an error that quotes the path", fails(quoting), 9, 3, "no answer: *errors.errorString, 3 attempts"},
		{"a timeout of the transport took long enough", fails(os.ErrDeadlineExceeded), 1, 1, "no answer: it took too long (transaction"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests int
				c := newClient(t, base, gateway.Config{Transport: transport(func(r *http.Request) (*http.Response, error) {
					requests++
					if requests <= tt.times {
						return tt.failure(r)
					}
					return ok.to(r), nil
				})})
				_, err := c.Get(t.Context(), person)
				require.Equal(t, tt.requests, requests)
				if tt.text == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, tt.text)
				require.Equal(t, failure.Unavailable, failure.Of(err))
				require.NotContains(t, err.Error(), id)
			})
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, location := range []string{other.URL + "/persons/1", "/iga/v1/persons/2", "//evil.example.no/", "::bad"} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			var here int
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				here++
				reply{Status: status, Header: "Location: " + location}.write(w, r)
			})
			_, err := newClient(t, s.URL, gateway.Config{}).Get(t.Context(), person)
			require.ErrorContains(t, err, "redirects are not followed")
			require.NotContains(t, err.Error(), "evil")
			require.Equal(t, 1, here)
		}
	}
	require.Zero(t, elsewhere.Load())
}

func TestMaxBody(t *testing.T) {
	const limit = 1000
	for _, chunked := range []bool{false, true} {
		for _, size := range []int{limit - 1, limit, limit + 1, 50 * limit} {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if chunked {
					w.(http.Flusher).Flush()
				}
				_, _ = io.WriteString(w, strings.Repeat("x", size))
			})
			resp, err := newClient(t, s.URL, gateway.Config{MaxBody: limit}).Get(t.Context(), person)
			if size > limit {
				require.ErrorContains(t, err, "200: the body is over 1000 bytes: raise Config.MaxBody")
				require.Equal(t, failure.Failed, failure.Of(err))
				continue
			}
			require.NoError(t, err)
			require.Len(t, resp.Body, size)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	replies := []reply{
		ok, {Status: 204}, {Status: 200}, {Status: 304}, {Status: 302}, {Status: 401, Body: "{}"}, {Status: 404, Body: noAPI},
		{Status: 404, IDs: true}, {Status: 422, Body: strings.Repeat("x", 60<<10)}, {Status: 429}, {Status: 500, Body: "oops"}, ok,
	}
	var conns, n atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		replies[n.Add(1)-1].write(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := newClient(t, s.URL, gateway.Config{Retries: -1})
	for range replies {
		_, err := c.Get(t.Context(), person)
		_ = err // what it means is tested elsewhere
	}
	require.EqualValues(t, len(replies), n.Load())
	require.EqualValues(t, 1, conns.Load())
}

func TestWorkersKeepTheirConnections(t *testing.T) {
	const workers, rounds = 16, 4
	var conns atomic.Int64
	arrived, leave := make(chan struct{}), make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-leave
		ok.write(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := newClient(t, s.URL, gateway.Config{})
	for range rounds {
		var wg sync.WaitGroup
		errs := make(chan error, workers)
		for worker := range workers {
			wg.Go(func() {
				_, err := c.Get(t.Context(), gateway.Request{Path: "persons/" + strconv.Itoa(worker)})
				errs <- err
			})
		}
		for range workers { // all of them are under way at once
			<-arrived
		}
		for range workers {
			leave <- struct{}{}
		}
		wg.Wait()
		for range workers {
			require.NoError(t, <-errs)
		}
	}
	require.EqualValues(t, workers, conns.Load())
}

func TestConcurrentUse(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path+r.Header.Get("X-Gravitee-Transaction-Id")+r.URL.RawQuery)
	}))
	defer s.Close()
	c, err := gateway.New(s.URL, gateway.Config{Key: key, Header: http.Header{"X-Env": {"a"}}})
	require.NoError(t, err)
	defer c.CloseIdleConnections()
	query := url.Values{"q": {"1"}}
	var wg sync.WaitGroup
	errs := make(chan error, 16*20)
	for worker := range 16 {
		wg.Go(func() {
			name := string(rune('a' + worker))
			for range 20 {
				resp, err := c.Get(t.Context(), gateway.Request{Path: name, TransactionID: "tx-" + name, Query: query})
				if err == nil && string(resp.Body) != "/"+name+"tx-"+name+"q=1" {
					err = errors.New("the answer is another request's")
				}
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

func TestSlowFailuresAreNotStray(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests int
		c := newClient(t, base, gateway.Config{Retries: 9, Transport: transport(func(r *http.Request) (*http.Response, error) {
			requests++
			time.Sleep(20 * time.Second)
			return reply{Status: 504}.to(r), nil
		})})
		_, err := c.Get(t.Context(), person)
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.Equal(t, 2, requests, "not after 35 s")
	})
}
