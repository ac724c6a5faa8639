package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// scheme is an Authenticator that sets one header.
type scheme struct {
	name  string
	value func() (string, error)
	renew bool
	heard []int // the statuses that Renew was told of
}

func (s *scheme) Authenticate(req *http.Request) error {
	v, err := s.value()
	if err == nil {
		req.Header.Set(s.name, v)
	}
	return err
}

func (s *scheme) Renew(_ *http.Request, refused *gateway.Response) bool {
	s.heard = append(s.heard, refused.Status)
	return s.renew
}

func fixed(v string) func() (string, error) { return func() (string, error) { return v, nil } }

// numbered returns a new value each time: "1", "2".
func numbered() func() (string, error) {
	n := 0
	return func() (string, error) {
		n++
		return string(rune('0' + n)), nil
	}
}

func TestAuthGoesWithEveryRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys, tokens []string
		var count int
		answers := script(&count, reply{Status: 502}, ok)
		c := newClient(t, base, gateway.Config{
			Auth: []gateway.Authenticator{
				&scheme{name: "Authorization", value: numbered()},
				&scheme{name: "X-Other", value: fixed("other")},
			},
			Transport: transport(func(r *http.Request) (*http.Response, error) {
				keys = append(keys, r.Header.Get("X-Gravitee-Api-Key")+" "+r.Header.Get("X-Other"))
				tokens = append(tokens, r.Header.Get("Authorization"))
				return answers(r)
			}),
		})
		_, err := c.Get(t.Context(), person)
		require.NoError(t, err)
		require.Equal(t, []string{key + " other", key + " other"}, keys)
		require.Equal(t, []string{"1", "2"}, tokens)
	})
}

func TestRefusedCredentialsAreRenewedOnce(t *testing.T) {
	tests := []struct {
		name    string
		replies []reply
		renew   bool
		sent    int
		class   failure.Class
		ok      bool
	}{
		{name: "new ones are accepted", replies: []reply{{Status: 401}, ok}, renew: true, sent: 2, ok: true},
		{name: "new ones are refused too", replies: []reply{{Status: 401}}, renew: true, sent: 2, class: failure.Unavailable},
		{name: "there are no new ones", replies: []reply{{Status: 401}, ok}, sent: 1, class: failure.Unavailable},
		{name: "forbidden is not about credentials", replies: []reply{{Status: 403}, ok}, renew: true, sent: 1, class: failure.Unavailable},
		{name: "gone with new ones", replies: []reply{{Status: 401}, {Status: 404, IDs: true}}, renew: true, sent: 2, class: failure.Gone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var count int
			// Retries are for stray failures, and off here.
			first, second := &scheme{name: "Authorization", value: fixed("a"), renew: tt.renew}, &scheme{name: "X-Other", value: fixed("b")}
			c := newClient(t, base, gateway.Config{
				Auth: []gateway.Authenticator{first, second}, Transport: script(&count, tt.replies...), Retries: -1,
			})
			_, err := c.Get(t.Context(), person)
			require.Equal(t, tt.ok, err == nil)
			require.Equal(t, tt.class, failure.Of(err))
			require.Equal(t, tt.sent, count)
			require.Equal(t, first.heard, second.heard, "all of them hear of a refusal")
		})
	}
}

// An authenticator cannot say that an entity is gone, or at fault.
func TestNoCredentialsIsUnavailable(t *testing.T) {
	for name, cause := range map[string]error{
		"plain":    errors.New("no token"),
		"gone":     failure.As(failure.Gone, errors.New("no token")),
		"rejected": failure.As(failure.Rejected, errors.New("no token")),
	} {
		t.Run(name, func(t *testing.T) {
			var count int
			c := newClient(t, base, gateway.Config{
				Auth:      []gateway.Authenticator{&scheme{value: func() (string, error) { return "", cause }}},
				Transport: script(&count, ok),
			})
			_, err := c.Get(t.Context(), person)
			require.Equal(t, failure.Unavailable, failure.Of(err))
			require.ErrorIs(t, err, cause)
			require.ErrorContains(t, err, "no credentials: no token")
			require.NotContains(t, err.Error(), id)
			require.Zero(t, count)
		})
	}
}

func TestCredentialsSayWhenToTryAgain(t *testing.T) {
	cause := failure.UnavailableFor(42*time.Second, errors.New("no token"))
	c := newClient(t, base, gateway.Config{
		Auth:      []gateway.Authenticator{&scheme{value: func() (string, error) { return "", cause }}},
		Transport: ok.transport(),
	})
	_, err := c.Get(t.Context(), person)
	require.Equal(t, 42*time.Second, failure.RetryAfter(err))
}

// waiting waits for a token that never comes.
type waiting struct{}

func (waiting) Authenticate(req *http.Request) error {
	<-req.Context().Done()
	return req.Context().Err()
}
func (waiting) Renew(*http.Request, *gateway.Response) bool { return false }

func TestCredentialsAreNotWaitedForForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, base, gateway.Config{
			Auth: []gateway.Authenticator{waiting{}}, Transport: ok.transport(), Timeout: 3 * time.Second,
		})
		start := time.Now()
		_, err := c.Get(t.Context(), person)
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.Equal(t, 3*time.Second, time.Since(start))

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Get(ctx, person)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, failure.Failed, failure.Of(err), "nobody's failure")
	})
}

func TestCredentialsDoNotOverwriteEachOther(t *testing.T) {
	tests := []struct {
		name string
		cfg  gateway.Config
		text string
	}{
		{
			name: "key",
			cfg:  gateway.Config{Auth: []gateway.Authenticator{&scheme{name: "X-Gravitee-Api-Key", value: fixed("other")}}},
			text: "Auth[0]: changes X-Gravitee-Api-Key",
		},
		{
			name: "two tokens",
			cfg: gateway.Config{Auth: []gateway.Authenticator{
				&scheme{name: "Authorization", value: fixed("a")}, &scheme{name: "Authorization", value: fixed("b")},
			}},
			text: "Auth[1]: changes Authorization",
		},
		{
			name: "header",
			cfg: gateway.Config{
				Header: http.Header{"Authorization": {"a"}},
				Auth:   []gateway.Authenticator{&scheme{name: "Authorization", value: fixed("b")}},
			},
			text: "Auth[0]: changes Authorization",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var count int
			tt.cfg.Transport = script(&count, ok)
			_, err := newClient(t, base, tt.cfg).Get(t.Context(), person)
			require.Equal(t, failure.Unavailable, failure.Of(err))
			require.ErrorContains(t, err, tt.text)
			require.Zero(t, count)
		})
	}
}

func TestAuthIsChecked(t *testing.T) {
	_, err := gateway.New(base, gateway.Config{Auth: []gateway.Authenticator{nil}})
	require.ErrorContains(t, err, "Auth: holds a nil")
}
