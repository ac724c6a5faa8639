package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/oauth2"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/httpfail"
)

const (
	// maxSlack is how long before its end a token is renewed, at most.
	maxSlack = time.Minute
	// maxMargin is how long before its end a token is not used any more, at
	// most: it has to be valid when it arrives.
	maxMargin = 5 * time.Second
	// minAge is the age from which a refused token is replaced. A backend that
	// refuses every token does not make the client ask for one all the time.
	minAge = time.Minute
)

// tokens keeps the current token, and replaces it.
type tokens struct {
	fetch TokenFunc
	turn  chan struct{} // holds one element while somebody fetches

	mu      sync.Mutex
	current token
	delays  *backoff.ExponentialBackOff // after failures
	failed  error                       // the last failure, nil after a success
	until   time.Time                   // no fetch before
}

// token is a token with its times. Without an end, renew and last are zero.
type token struct {
	value              string // empty: there is none
	since, renew, last time.Time
}

func newTokens(fetch TokenFunc) *tokens {
	return &tokens{fetch: fetch, turn: make(chan struct{}, 1), delays: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Second),
		backoff.WithMultiplier(2),
		backoff.WithMaxInterval(time.Minute),
		backoff.WithMaxElapsedTime(0),
	)}
}

// get returns a token that is good for some seconds at least.
func (t *tokens) get(ctx context.Context) (string, error) {
	held, due := t.look()
	switch {
	case !due:
		return held, nil
	case held == "":
		select {
		case t.turn <- struct{}{}:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	default: // still good: one renews it, the others go on
		select {
		case t.turn <- struct{}{}:
		default:
			return held, nil
		}
	}
	defer func() { <-t.turn }()

	held, due = t.look() // another may have had the turn
	if !due {
		return held, nil
	}
	err := t.holdOff()
	if err == nil {
		err = t.renew(ctx)
	}
	fresh, _ := t.look() // the new one, or the old one if it is still good
	if fresh != "" {
		return fresh, nil
	}
	return "", err
}

// look returns the token, or "", and whether it is time for another.
func (t *tokens) look() (value string, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	switch c := t.current; {
	case c.value == "":
		return "", true
	case c.last.IsZero() || now.Before(c.renew):
		return c.value, false
	case now.Before(c.last):
		return c.value, true
	default:
		return "", true
	}
}

// drop forgets a token that was refused, if it is old enough. It reports whether
// get would return another.
func (t *tokens) drop(refused string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.value == refused {
		if time.Since(t.current.since) < minAge {
			return false
		}
		t.current = token{}
	}
	return true
}

// holdOff returns the last failure while it is too early to try again.
func (t *tokens) holdOff() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait := time.Until(t.until); t.failed != nil && wait > 0 {
		return failure.UnavailableFor(wait, t.failed)
	}
	return nil
}

// renew fetches a token. It is called by whoever has the turn.
func (t *tokens) renew(ctx context.Context) error {
	start := time.Now()
	fetched, err := t.fetch(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // the caller's end says nothing of the endpoint
	}
	var next token
	if err == nil {
		next, err = newToken(fetched, start)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		err = classified(err)
		wait := max(failure.RetryAfter(err), t.delays.NextBackOff())
		t.failed, t.until = err, time.Now().Add(wait)
		return failure.UnavailableFor(wait, err)
	}
	t.current, t.failed = next, nil
	t.delays.Reset()
	return nil
}

// classified makes an error's text fit to be passed on.
func classified(err error) error {
	if failure.Of(err) != failure.Failed {
		return err
	}
	return fmt.Errorf("fetching a token failed: %s", httpfail.Describe(err))
}

// newToken checks a token that was asked for at start.
func newToken(t *oauth2.Token, start time.Time) (token, error) {
	switch {
	case t == nil || t.AccessToken == "":
		return token{}, unusable("there is none in the answer")
	case strings.ContainsFunc(t.AccessToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return token{}, unusable("it holds characters that no header can have")
	case !strings.EqualFold(t.Type(), "Bearer"):
		return token{}, unusable("its type is not Bearer")
	case t.Expiry.IsZero():
		return token{value: t.AccessToken, since: start}, nil
	}
	life := time.Until(t.Expiry) // from now, as who fetched it counted it
	if life <= 0 {
		return token{}, unusable("it has expired already")
	}
	end := start.Add(life)
	return token{
		value: t.AccessToken, since: start,
		renew: end.Add(-min(life/4, maxSlack)),
		last:  end.Add(-min(life/10, maxMargin)),
	}, nil
}

func unusable(why string) error {
	return failure.As(failure.Unavailable, errors.New("the token is not usable: "+why))
}
