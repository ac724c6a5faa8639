package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/source/gateway"
)

const (
	key  = "5e1f-the-key"
	base = "https://gw.example.no/iga/v1"
	id   = "31129956715"
)

// person is a request whose path identifies somebody.
var person = gateway.Request{Path: "persons/" + id, Route: "persons/{id}", TransactionID: "tx-1"}

// transport is an in-memory gateway: no sockets, so that it works in a synctest
// bubble.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return t(r)
}

// reply is what a gateway answers. Header is lines of "Name: value". With IDs
// the answer went through an API of the gateway.
type reply struct {
	Status int
	Header string
	Body   string
	IDs    bool
}

func (a reply) write(w http.ResponseWriter, r *http.Request) {
	for line := range strings.Lines(a.Header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		w.Header().Add(name, value)
	}
	if a.IDs {
		w.Header().Set("X-Gravitee-Request-Id", "r-1")
		w.Header().Add("X-Gravitee-Transaction-Id", r.Header.Get("X-Gravitee-Transaction-Id"))
	}
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, a.Body)
}

func (a reply) to(r *http.Request) *http.Response {
	rec := httptest.NewRecorder()
	a.write(rec, r)
	return rec.Result()
}

func (a reply) transport() transport {
	return func(r *http.Request) (*http.Response, error) { return a.to(r), nil }
}

// script answers with one reply after the other, and then with the last one
// again. It counts the requests.
func script(count *int, replies ...reply) transport {
	return func(r *http.Request) (*http.Response, error) {
		a := replies[min(*count, len(replies)-1)]
		*count++
		return a.to(r), nil
	}
}

func newClient(t testing.TB, baseURL string, cfg gateway.Config) *gateway.Client {
	t.Helper()
	if cfg.Key == "" {
		cfg.Key = key
	}
	c, err := gateway.New(baseURL, cfg)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// in returns a time from now as the gateway sends it.
func in(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).UnixMilli(), 10) }
