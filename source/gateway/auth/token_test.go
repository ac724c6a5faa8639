package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/source/gateway/auth"
)

func get(t *testing.T, c *gateway.Client) error {
	t.Helper()
	_, err := c.Get(t.Context(), person)
	return err
}

// together makes 100 different fetches at once. It returns their errors and how
// long they took.
func together(t *testing.T, c *gateway.Client) (errs []error, took []time.Duration) {
	t.Helper()
	errs, took = make([]error, 100), make([]time.Duration, 100)
	start := time.Now()
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			_, errs[i] = c.Get(t.Context(), gateway.Request{Path: fmt.Sprintf("persons/%d", i)})
			took[i] = time.Since(start)
		})
	}
	group.Wait()
	return errs, took
}

func TestTokenIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := &endpoint{life: "3600", delay: time.Second}, &backend{}
		c := newClient(t, b, clientCredentials(t, e))
		errs, _ := together(t, c)
		require.NoError(t, errors.Join(errs...))
		require.Equal(t, 1, e.fetches())
		require.Len(t, b.sent, 100)
		for _, sent := range b.sent {
			require.Equal(t, "Bearer token-x", sent)
		}
	})
}

func TestTokenIsRenewed(t *testing.T) {
	tests := []struct {
		name        string
		life        int
		renew, last time.Duration // ages
	}{
		{name: "an hour", life: 3600, renew: 59 * time.Minute, last: 3595 * time.Second},
		{name: "two minutes", life: 120, renew: 90 * time.Second, last: 115 * time.Second},
		{name: "ten seconds", life: 10, renew: 7500 * time.Millisecond, last: 9 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, b := &endpoint{life: strconv.Itoa(tt.life)}, &backend{}
				c := newClient(t, b, clientCredentials(t, e))
				require.NoError(t, get(t, c))
				start := time.Now()
				at := func(age time.Duration) { time.Sleep(time.Until(start.Add(age))) }

				at(tt.renew - time.Millisecond)
				require.NoError(t, get(t, c))
				require.Equal(t, 1, e.fetches(), "not yet")

				e.set(status(500))
				at(tt.renew)
				require.NoError(t, get(t, c))
				require.Equal(t, 2, e.fetches(), "tried to renew it")
				at(tt.last - time.Millisecond)
				require.NoError(t, get(t, c), "still good")
				at(tt.last)
				require.Equal(t, failure.Unavailable, failure.Of(get(t, c)), "not good any more")
				for _, sent := range b.sent {
					require.Equal(t, "Bearer token-x", sent)
				}

				e.set(nil)
				at(tt.last + 2*time.Minute)
				require.NoError(t, get(t, c))
				require.NotEqual(t, "Bearer token-x", b.sent[len(b.sent)-1])
			})
		})
	}
}

// A token's life begins when it is asked for: what the answer took on its way
// may be gone already.
func TestTokenLifeIsCountedFromTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := &endpoint{life: "40", delay: 8 * time.Second}, &backend{}
		c := newClient(t, b, clientCredentials(t, e))
		require.NoError(t, get(t, c))
		time.Sleep(21 * time.Second) // 29 s after the request
		require.NoError(t, get(t, c))
		require.Equal(t, 1, e.fetches())
		time.Sleep(time.Second) // a quarter of 40 s remains
		require.NoError(t, get(t, c))
		require.Equal(t, 2, e.fetches())
	})
}

func TestOneRenewsTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := &endpoint{life: "120"}, &backend{}
		c := newClient(t, b, clientCredentials(t, e))
		require.NoError(t, get(t, c))
		time.Sleep(100 * time.Second)
		e.delay = 5 * time.Second
		errs, took := together(t, c)
		require.NoError(t, errors.Join(errs...))
		require.Equal(t, 2, e.fetches())
		slices.Sort(took)
		require.Equal(t, []time.Duration{0, 5 * time.Second}, took[98:])
	})
}

func TestWhoeverWaitsForATokenCanStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := &endpoint{life: "3600", delay: 5 * time.Second}, &backend{}
		a := clientCredentials(t, e)
		try := func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base, http.NoBody)
			require.NoError(t, err)
			return a.Authenticate(req)
		}
		limited := func(d time.Duration) (took time.Duration, err error) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			start := time.Now()
			err = try(ctx)
			return time.Since(start), err
		}
		var first, second, third error
		var waited time.Duration
		var group sync.WaitGroup
		group.Go(func() { _, first = limited(time.Second) }) // fetches, and gives up
		time.Sleep(time.Millisecond)
		group.Go(func() { third = try(t.Context()) }) // takes over
		time.Sleep(time.Millisecond)
		group.Go(func() { waited, second = limited(2 * time.Second) })
		group.Wait()
		require.ErrorIs(t, first, context.DeadlineExceeded)
		require.ErrorIs(t, second, context.DeadlineExceeded)
		require.Equal(t, 2*time.Second, waited)
		require.NoError(t, third)
		require.NoError(t, get(t, newClient(t, b, a)))
		require.Equal(t, 2, e.fetches())
	})
}

func TestRefusedTokenIsReplaced(t *testing.T) {
	const asks = `Bearer realm="iga", error="invalid_token"`
	tests := []struct {
		name    string
		refuse  string
		age     time.Duration
		fetches int
	}{
		{name: "asked for another", refuse: asks, age: time.Minute, fetches: 2},
		{name: "asked among others", refuse: "Basic, Bearer", age: time.Minute, fetches: 2},
		{name: "too young to be wrong", refuse: asks, age: time.Minute - time.Millisecond, fetches: 1},
		{name: "scope", refuse: `Bearer error="insufficient_scope"`, age: time.Minute, fetches: 1},
		{name: "another scheme", refuse: "Basic realm=bearer", age: time.Minute, fetches: 1},
		{name: "the plan's, about the key", age: time.Minute, fetches: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				revoked := false
				e, b := &endpoint{life: "3600"}, &backend{refuse: tt.refuse}
				b.accept = func(s string) bool { return !revoked || s != "Bearer token-x" }
				c := newClient(t, b, clientCredentials(t, e))
				require.NoError(t, get(t, c))
				time.Sleep(tt.age)
				revoked = true
				err := get(t, c)
				require.Equal(t, tt.fetches, e.fetches())
				if tt.fetches == 1 {
					require.Equal(t, failure.Unavailable, failure.Of(err))
					return
				}
				require.NoError(t, err)
				require.Equal(t, []string{"Bearer token-x", "Bearer token-x", "Bearer token-xx"}, b.sent)
			})
		})
	}
}

func TestBackendsRefusalWithoutChallengeIsAboutTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{life: "3600"}
		c, err := gateway.New(base, gateway.Config{
			Auth: []gateway.Authenticator{clientCredentials(t, e)}, Retries: -1,
			Transport: transport(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Gravitee-Client-Identifier", "connector") // passed the plan
				w.WriteHeader(http.StatusUnauthorized)
			}),
		})
		require.NoError(t, err)
		require.Error(t, get(t, c))
		time.Sleep(time.Minute)
		require.Error(t, get(t, c))
		require.Equal(t, 2, e.fetches())
	})
}

// A backend that refuses every token costs one a minute.
func TestRefusalsDoNotFloodTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := &endpoint{life: "3600"}, &backend{refuse: "Bearer", accept: func(string) bool { return false }}
		c := newClient(t, b, clientCredentials(t, e))
		for range 600 { // ten minutes
			require.Equal(t, failure.Unavailable, failure.Of(get(t, c)))
			time.Sleep(time.Second)
		}
		require.Equal(t, 10, e.fetches())
	})
}

func TestFailingEndpointIsLeftAlone(t *testing.T) {
	tests := []struct {
		name    string
		answer  func(http.ResponseWriter, *http.Request) bool
		text    string
		wait    time.Duration
		fetches int // in ten minutes of one request a second
	}{
		{name: "Retry-After", answer: status(503, "Retry-After", "120"), text: "503: service unavailable", wait: 2 * time.Minute, fetches: 5},
		{name: "too many", answer: status(429, "Retry-After", "300"), text: "429: too many requests", wait: 5 * time.Minute, fetches: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, b := &endpoint{answer: tt.answer}, &backend{}
				c := newClient(t, b, clientCredentials(t, e))
				for i := range 600 {
					err := get(t, c)
					require.Equal(t, failure.Unavailable, failure.Of(err))
					require.ErrorContains(t, err, tt.text)
					require.Equal(t, tt.wait-time.Duration(i%int(tt.wait.Seconds()))*time.Second, failure.RetryAfter(err))
					time.Sleep(time.Second)
				}
				require.Equal(t, tt.fetches, e.fetches())
				require.Empty(t, b.sent, "nothing is sent without credentials")
			})
		})
	}
}

func TestDelaysAfterFailuresGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := &endpoint{life: "3600", answer: status(500)}, &backend{}
		c := newClient(t, b, clientCredentials(t, e))
		for range 36000 { // an hour
			require.Equal(t, failure.Unavailable, failure.Of(get(t, c)))
			time.Sleep(100 * time.Millisecond)
		}
		// One a minute, half as many or twice as many by chance, and 6 at first.
		require.InDelta(t, 66, e.fetches(), 40)
		e.set(nil)
		time.Sleep(2 * time.Minute)
		require.NoError(t, get(t, c))
		e.set(status(500))
		time.Sleep(2 * time.Hour)
		require.Less(t, failure.RetryAfter(get(t, c)), 2*time.Second, "as at first")
	})
}

// All that wait for the same token hear of its failure, and none asks again.
func TestFailureIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := &endpoint{delay: time.Second / 4, answer: status(500)}, &backend{}
		c := newClient(t, b, clientCredentials(t, e))
		errs, _ := together(t, c)
		require.Equal(t, 1, e.fetches())
		for _, err := range errs {
			require.Equal(t, failure.Unavailable, failure.Of(err))
		}
	})
}

func TestSlowEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := auth.ClientCredentials(auth.ClientCredentialsConfig{
			TokenURL: tokenURL, ClientID: "c", ClientSecret: auth.Value(secret),
			Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}),
		})
		require.NoError(t, err)
		start := time.Now()
		err = get(t, newClient(t, &backend{}, a))
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.ErrorContains(t, err, "the token endpoint gave no token: it took too long")
		require.Equal(t, 10*time.Second, time.Since(start))
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestUnusableTokens(t *testing.T) {
	tests := []struct{ name, body, text string }{
		{name: "none", body: `{"token_type":"Bearer"}`, text: "the token endpoint gave no token"},
		{name: "not JSON", body: "<html>" + secret, text: "the token endpoint gave no token"},
		{name: "another type", body: `{"access_token":"a","token_type":"mac"}`, text: "its type is not Bearer"},
		{name: "line break", body: `{"access_token":"a\r\nX-Evil: 1","token_type":"Bearer"}`, text: "it holds characters that no header can have"},
		{name: "expired", body: `{"access_token":"a","token_type":"Bearer","expires_in":-1}`, text: "it has expired already"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &endpoint{answer: func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, tt.body)
				return true
			}}
			err := get(t, newClient(t, &backend{}, clientCredentials(t, e)))
			require.Equal(t, failure.Unavailable, failure.Of(err))
			require.ErrorContains(t, err, tt.text)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestOwnTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail error
		var count int
		a, err := auth.Bearer(func(context.Context) (*oauth2.Token, error) {
			count++
			return &oauth2.Token{AccessToken: fmt.Sprint("own", count)}, fail
		})
		require.NoError(t, err)
		b := &backend{}
		c := newClient(t, b, a)
		require.NoError(t, get(t, c))
		time.Sleep(1000 * time.Hour)
		require.NoError(t, get(t, c))
		require.Equal(t, []string{"Bearer own1", "Bearer own1"}, b.sent, "without an end it is kept")

		fail = errors.New(secret)
		a, err = auth.Bearer(func(context.Context) (*oauth2.Token, error) { return nil, fail })
		require.NoError(t, err)
		err = get(t, newClient(t, b, a))
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.NotContains(t, err.Error(), secret, "an error of unknown origin")
		fail = failure.UnavailableFor(time.Hour, errors.New("the vault is sealed"))
		time.Sleep(time.Minute)
		err = get(t, newClient(t, b, a))
		require.ErrorContains(t, err, "the vault is sealed")
		require.Equal(t, time.Hour, failure.RetryAfter(err))
	})
}
