package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// slow answers after a second with a number, that of the request.
type slow struct {
	mu    sync.Mutex
	fresh []bool // of the requests
}

func (s *slow) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.fresh = append(s.fresh, r.Header.Get("X-Gravitee-Cache") == "REFRESH")
	n := len(s.fresh)
	s.mu.Unlock()
	select {
	case <-time.After(time.Second):
		return reply{Status: 200, Body: fmt.Sprint(n), IDs: true}.to(r), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// TestIdenticalFetches starts fetches half a second apart from each other. With
// one request in flight at most, those behind the first are not sent yet.
func TestIdenticalFetches(t *testing.T) {
	type get struct {
		path, route string
		fresh       bool
		changed     bool // with ChangedAt
	}
	cached, fresh := get{path: "persons/1"}, get{path: "persons/1", fresh: true}
	tests := []struct {
		name    string
		max     int
		gets    []get
		answers []string // the numbers of the requests that answered them
		fresh   []bool   // the requests
	}{
		{"they are one", 64, []get{cached, cached}, []string{"1", "1"}, []bool{false}},
		{"a cached one joins a fresh one", 64, []get{fresh, cached}, []string{"1", "1"}, []bool{true}},
		{"a fresh one never joins one that was sent", 64, []get{cached, fresh}, []string{"1", "2"}, []bool{false, true}},
		{"not even a fresh one", 64, []get{fresh, fresh}, []string{"1", "2"}, []bool{true, true}},
		{"nor does one after a notification", 64, []get{cached, {path: "persons/1", changed: true}}, []string{"1", "2"}, []bool{false, false}},
		{"a fresh one joins one that waits", 1, []get{fresh, fresh, fresh}, []string{"1", "2", "2"}, []bool{true, true}},
		{"and makes it fresh", 1, []get{{path: "x"}, cached, fresh}, []string{"1", "2", "2"}, []bool{false, true}},
		{"other paths", 64, []get{cached, {path: "persons/2"}}, []string{"1", "2"}, []bool{false, false}},
		{"other routes", 64, []get{cached, {path: "persons/1", route: "x"}}, []string{"1", "2"}, []bool{false, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slow{}
				c := newClient(t, base, gateway.Config{Transport: s, MaxInFlight: tt.max})
				answers := make([]string, len(tt.gets))
				var wg sync.WaitGroup
				for i, g := range tt.gets {
					req := gateway.Request{Path: g.path, Route: g.route, Fresh: g.fresh}
					if g.changed {
						req.ChangedAt = time.Now()
					}
					wg.Go(func() {
						resp, err := c.Get(t.Context(), req)
						if err == nil {
							answers[i] = string(resp.Body)
							resp.Body[0] = 'x' // it is the caller's
							resp.Header.Set("X-Gravitee-Request-Id", "x")
						}
					})
					time.Sleep(300 * time.Millisecond)
				}
				wg.Wait()
				require.Equal(t, tt.answers, answers)
				require.Equal(t, tt.fresh, s.fresh)
			})
		})
	}
}

func TestIdenticalFetchesFailAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, base, gateway.Config{Transport: transport(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply{Status: 404, IDs: true}.to(r), nil
		})})
		errs := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := c.Get(t.Context(), gateway.Request{Path: "persons/1"})
				errs <- err
			}()
			time.Sleep(time.Millisecond)
		}
		first, second := <-errs, <-errs
		require.Equal(t, failure.Gone, failure.Of(first))
		require.Same(t, first, second)
	})
}

// TestWhoJoinedOutlivesTheFirst ends the context, or the goroutine, of the one
// whose fetch others have joined.
func TestWhoJoinedOutlivesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		c := newClient(t, base, gateway.Config{Transport: s})
		first, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := c.Get(first, person)
			ended <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if resp, err := c.Get(t.Context(), person); err != nil || string(resp.Body) != "2" {
					t.Error(resp, err)
				}
			})
		}
		impatient, leave := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := c.Get(impatient, person); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		leave()
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		wg.Wait()
		require.Len(t, s.fresh, 2)
	})
}

func TestWhoJoinedSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests int
		c := newClient(t, base, gateway.Config{Transport: transport(func(r *http.Request) (*http.Response, error) {
			requests++
			time.Sleep(time.Second)
			return reply{Status: 200, Body: fmt.Sprint(requests / (requests - 1))}.to(r), nil // panics once
		})})
		go func() {
			defer func() { _ = recover() }()
			_, _ = c.Get(t.Context(), person)
		}()
		synctest.Wait()
		_, err := c.Get(t.Context(), person)
		require.NoError(t, err)
	})
}
