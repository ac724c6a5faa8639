package connector

import (
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

const (
	// breakAfter is how many runs in a row must find a system unavailable before
	// its breaker opens: one stray failure is the entity's to repeat.
	breakAfter = 3
	// breakWindow is of how many runs the share is looked at. Half of them
	// unavailable opens the breaker too: a system of which one of two servers is
	// down never fails three times in a row for long.
	breakWindow = 20
)

// breaker stops a flow while its source or its target is unavailable. Closed, it
// lets everything through. Open, it lets one run through now and then, the
// probe; a probe that gets an answer closes it.
type breaker struct {
	mu      sync.Mutex
	inARow  int
	recent  []bool // of the last runs, whether they found the system unavailable
	state   BreakerStatus
	probing bool
	delays  *backoff.ExponentialBackOff
}

// BreakerStatus tells whether a flow waits for its source or its target.
type BreakerStatus struct {
	// Open says that the system is unavailable and the flow waits.
	Open bool `json:"open"`
	// Since is when the breaker was opened or closed last, zero if it never was.
	Since time.Time `json:"since,omitzero"`
	// Reason is what the last run that found the system unavailable got, without
	// personal data. It is empty if the breaker is closed.
	Reason string `json:"reason,omitempty"`
	// Next is when the next run may try, if the breaker is open.
	Next time.Time `json:"next,omitzero"`
}

func newBreaker() *breaker {
	return &breaker{delays: newBackOff(time.Second, 10*time.Second)}
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
	case !b.state.Open:
		return n, time.Time{}
	case b.probing:
		return 0, time.Time{}
	case time.Now().Before(b.state.Next):
		return 0, b.state.Next
	default:
		return min(n, 1), time.Time{}
	}
}

// started tells that a run has begun. It returns true if it is the probe.
func (b *breaker) started() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	probe := b.state.Open && !b.probing
	b.probing = b.probing || probe
	return probe
}

// answered tells that a run got an answer from the system. It returns true if
// that closed the breaker, which only the probe's does: other runs may have asked
// before it opened.
func (b *breaker) answered(probe bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.state.Open {
		b.inARow = 0
		b.note(false)
		return false
	}
	if !probe {
		return false
	}
	b.inARow = 0
	b.state = BreakerStatus{Since: time.Now()}
	b.probing = false
	b.recent = b.recent[:0]
	b.delays.Reset()
	return true
}

// unavailable tells that a run found the system unavailable, why, and for how
// long the system asked to be left alone, 0 if it did not say. It returns
// whether the breaker is open now and whether this opened it.
func (b *breaker) unavailable(probe bool, reason string, retryAfter time.Duration) (open, opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inARow++
	down := b.note(true)
	if !b.state.Open && (b.inARow >= breakAfter || down >= breakWindow/2 || retryAfter > 0) {
		b.state, opened = BreakerStatus{Open: true, Since: time.Now()}, true
	}
	if !b.state.Open {
		return false, false
	}
	b.state.Reason = reason
	if probe || opened {
		b.probing = false
		b.state.Next = time.Now().Add(max(b.delays.NextBackOff(), retryAfter))
	} else if t := time.Now().Add(retryAfter); t.After(b.state.Next) {
		b.state.Next = t
	}
	return true, opened
}

// note adds a run to the recent ones and returns how many of them found the
// system unavailable.
func (b *breaker) note(unavailable bool) int {
	if len(b.recent) == breakWindow {
		b.recent = append(b.recent[:0], b.recent[1:]...)
	}
	b.recent = append(b.recent, unavailable)
	down := 0
	for _, u := range b.recent {
		if u {
			down++
		}
	}
	return down
}

// abandoned tells that a probe ended without telling anything about the
// system.
func (b *breaker) abandoned(probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
}

func (b *breaker) status() BreakerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}
