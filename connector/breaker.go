package connector

import (
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// breakAfter is how many runs in a row must find a system unavailable before a
// flow stops: one stray failure is the entity's to repeat.
const breakAfter = 3

// breaker stops a flow while its source or target is unavailable. Closed, it
// lets everything through. Open, it lets one run through now and then, the
// probe; a probe that gets an answer closes it.
type breaker struct {
	mu      sync.Mutex
	inARow  int
	open    bool
	probing bool
	until   time.Time
	delays  *backoff.ExponentialBackOff
}

func newBreaker() *breaker {
	return &breaker{delays: newBackOff(time.Second, 30*time.Second)}
}

// newBackOff returns delays that double without end, with 20 % of jitter.
func newBackOff(first, longest time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(first),
		backoff.WithMaxInterval(longest),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.2),
		backoff.WithMaxElapsedTime(0),
	)
	b.Reset()
	return b
}

// permit returns how many of n runs may start now. If it is none because the
// breaker is open, it returns when to ask again; the zero time means after a
// run has ended.
func (b *breaker) permit(n int) (allowed int, again time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open:
		return n, time.Time{}
	case b.probing:
		return 0, time.Time{}
	case time.Now().Before(b.until):
		return 0, b.until
	default:
		return min(n, 1), time.Time{}
	}
}

// started tells that a run has begun. It returns true if it is the probe.
func (b *breaker) started() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = b.open
	return b.probing
}

// answered tells that a run got an answer from source and target. It returns
// true if that closed the breaker.
func (b *breaker) answered() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasOpen := b.open
	b.inARow, b.open, b.probing = 0, false, false
	b.delays.Reset()
	return wasOpen
}

// unavailable tells that a run found a system unavailable, which asked to be
// left alone for the given time, 0 if it did not say. It returns whether the
// breaker is open now and whether this opened it.
func (b *breaker) unavailable(probe bool, retryAfter time.Duration) (open, opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inARow++
	if !b.open && (b.inARow >= breakAfter || retryAfter > 0) {
		b.open, opened = true, true
	}
	if !b.open {
		return false, false
	}
	if probe || opened {
		b.probing = false
		b.until = time.Now().Add(max(b.delays.NextBackOff(), retryAfter))
	} else if t := time.Now().Add(retryAfter); t.After(b.until) {
		b.until = t
	}
	return true, opened
}

// abandoned tells that a probe ended without telling anything about the
// systems.
func (b *breaker) abandoned(probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
}
