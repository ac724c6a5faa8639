package gateway_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

func TestTimesOfStates(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	field := gateway.TimeField("meta.lastModified")
	tests := []struct {
		name   string
		of     func(*gateway.Response) time.Time
		header string
		body   string
		want   time.Time
	}{
		{"header", gateway.LastModified, "Mon, 23 Nov 2026 10:00:00 GMT", "", at.Add(time.Second - 1)},
		{"no header", gateway.LastModified, "", "", time.Time{}},
		{"bad header", gateway.LastModified, "yesterday", "", time.Time{}},
		{"field", field, "", `{"meta":{"lastModified":"2026-11-23T11:00:00+01:00"}}`, at},
		{"no field", field, "", `{"meta":{}}`, time.Time{}},
		{"another type", field, "", `{"meta":{"lastModified":1}}`, time.Time{}},
		{"no object", field, "", `{"meta":[]}`, time.Time{}},
		{"no JSON", field, "", `{"meta"`, time.Time{}},
		{"no zone", field, "", `{"meta":{"lastModified":"2026-11-23T11:00:00"}}`, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.of(&gateway.Response{Header: http.Header{"Last-Modified": {tt.header}}, Body: []byte(tt.body)})
			require.True(t, tt.want.Equal(got), got)
		})
	}
}

// TestFreshness asks for a state that changed at second 100 and becomes visible
// at the given second.
func TestFreshness(t *testing.T) {
	by := func(f gateway.Freshness) gateway.Freshness {
		if f.Time == nil {
			f.Time = gateway.TimeField("at")
		}
		return f
	}
	tests := []struct {
		name      string
		freshness gateway.Freshness
		fresh     bool // the request
		visible   time.Duration
		changed   time.Duration // of the request, from second 100
		requests  int
		after     time.Duration
		want      string // the state, or the error's text
	}{
		{"fresh at once", by(gateway.Freshness{}), true, 0, 0, 1, 0, "new"},
		{"after two looks", by(gateway.Freshness{}), true, 2 * time.Second, 0, 3, 3 * time.Second, "new"},
		{"the looks are fresh", by(gateway.Freshness{}), false, time.Second / 2, 0, 2, time.Second, "new"},
		{"never", by(gateway.Freshness{}), true, time.Hour, 0, 5, 15 * time.Second, "200: the state is older than the change that was notified, 5 attempts"},
		{"never, but accepted", by(gateway.Freshness{Accept: true}), true, time.Hour, 0, 5, 15 * time.Second, "old"},
		{"own delays", by(gateway.Freshness{Delays: []time.Duration{time.Minute}}), true, time.Hour, 0, 2, time.Minute, "older"},
		{"no delays", by(gateway.Freshness{Delays: []time.Duration{}}), true, time.Hour, 0, 1, 0, "older"},
		{"slack", by(gateway.Freshness{Slack: 100 * time.Second}), true, time.Hour, 0, 1, 0, "old"},
		{"too little slack", by(gateway.Freshness{Slack: 99 * time.Second}), true, time.Hour, 0, 5, 15 * time.Second, "older"},
		{"conditional", by(gateway.Freshness{Validate: true}), true, 2 * time.Second, 0, 3, 3 * time.Second, "new"},
		{"conditional, never", by(gateway.Freshness{Validate: true}), true, time.Hour, 0, 5, 15 * time.Second, "older"},
		{"the response does not tell", by(gateway.Freshness{Time: gateway.LastModified}), true, time.Hour, 0, 1, 0, "old"},
		{"not looked at", gateway.Freshness{}, true, time.Hour, 0, 1, 0, "old"},
		{"far in the future", by(gateway.Freshness{}), true, time.Hour, 2 * time.Hour, 1, 0, "old"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				zero := time.Now()
				time.Sleep(100 * time.Second)
				begin := time.Now()
				var requests, conditional, fresh int
				c := newClient(t, base, gateway.Config{Freshness: tt.freshness, Transport: transport(func(r *http.Request) (*http.Response, error) {
					requests++
					if r.Header.Get("X-Gravitee-Cache") == "REFRESH" {
						fresh++
					}
					state, at := "old", zero
					if time.Since(begin) >= tt.visible {
						state, at = "new", begin
					}
					if tag := r.Header.Get("If-None-Match"); tag != "" {
						conditional++
						if tag == state {
							return reply{Status: 304}.to(r), nil
						}
					}
					return reply{Status: 200, Header: "ETag: " + state, Body: `{"state":"` + state + `","at":"` + at.Format(time.RFC3339) + `"}`}.to(r), nil
				})})
				req := person
				req.Fresh, req.ChangedAt = tt.fresh, begin.Add(tt.changed)
				resp, err := c.Get(t.Context(), req)
				require.Equal(t, tt.after, time.Since(begin))
				require.Equal(t, tt.requests, requests)
				require.Equal(t, tt.requests, fresh+map[bool]int{false: 1}[tt.fresh])
				if tt.freshness.Validate {
					require.Equal(t, requests-1, conditional)
				} else {
					require.Zero(t, conditional)
				}
				if err != nil {
					require.ErrorContains(t, err, tt.want)
					require.Equal(t, failure.Failed, failure.Of(err))
					return
				}
				require.Contains(t, string(resp.Body), tt.want)
			})
		})
	}
}

// TestFreshnessWhereRefreshIsForbidden: the state is believed when the cache has
// forgotten the old one.
func TestFreshnessWhereRefreshIsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, c := fake(t, testkit.GatewayConfig{CacheTTL: 10 * time.Second, NoRefresh: true},
			gateway.Config{Freshness: gateway.Freshness{Time: gateway.LastModified}})
		require.NoError(t, g.Put("persons/1", "old"))
		_, err := c.Get(t.Context(), gateway.Request{Path: "persons/1"})
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		require.NoError(t, g.Put("persons/1", "new"))
		resp, err := c.Get(t.Context(), gateway.Request{Path: "persons/1", Fresh: true, ChangedAt: time.Now()})
		require.NoError(t, err)
		require.Equal(t, `"new"`, string(resp.Body))
	})
}

func TestSecondLook(t *testing.T) {
	gone := reply{Status: 404, IDs: true}
	tests := []struct {
		name     string
		replies  []reply
		requests int
		want     failure.Class
		text     string // of the error, empty: success
	}{
		{"gone twice", []reply{gone}, 2, failure.Gone, "404: the source has no such entity, 2 attempts"},
		{"there again", []reply{gone, ok}, 2, 0, ""},
		{"the API is away", []reply{gone, {Status: 404, Body: noAPI}}, 2, failure.Unavailable, "knows no such API"},
		{"the backend is down", []reply{gone, {Status: 500}}, 2, failure.Unavailable, "500"},
		{"no proof", []reply{{Status: 404}}, 1, failure.Unavailable, "no proof"},
		{"there", []reply{ok}, 1, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests int
				replies := script(&requests, tt.replies...)
				c := newClient(t, base, gateway.Config{SecondLook: 5 * time.Second, Transport: transport(func(r *http.Request) (*http.Response, error) {
					if requests > 0 && r.Header.Get("X-Gravitee-Cache") != "REFRESH" {
						t.Error("the second look must be fresh")
					}
					return replies(r)
				})})
				begin := time.Now()
				_, err := c.Get(t.Context(), person)
				require.Equal(t, tt.requests, requests)
				require.Equal(t, time.Duration(requests-1)*5*time.Second, time.Since(begin))
				if tt.text == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, tt.text)
				require.Equal(t, tt.want, failure.Of(err))
			})
		})
	}
}

func TestAnInterruptedSecondLookProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := reply{Status: 404, IDs: true}.transport()
		c := newClient(t, base, gateway.Config{SecondLook: 5 * time.Second, Transport: gone})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Get(ctx, person)
		require.Equal(t, failure.Unavailable, failure.Of(err))
		c = newClient(t, base, gateway.Config{SecondLook: 5 * time.Second, Timeout: 6 * time.Second, Transport: transport(func(r *http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return gone(r)
		})})
		_, err = c.Get(t.Context(), person)
		require.ErrorContains(t, err, "no verdict within 6s (Config.Timeout) (transaction")
		require.Equal(t, failure.Unavailable, failure.Of(err))
	})
}
