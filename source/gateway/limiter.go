package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/httpfail"
)

// limiter says when requests may be sent: not more at once and not faster than
// the configuration allows, and not more than the gateway allows, as far as it
// tells. Flows that wait get their turn one after the other.
type limiter struct {
	max      int           // requests in flight
	interval time.Duration // between two requests, 0: none
	patience time.Duration // the longest wait for a limit of the gateway's

	mu       sync.Mutex
	inFlight int
	next     time.Time // by interval
	blocked  time.Time // by a 429
	clock    clock
	windows  [len(policies)]window
	lanes    []*lane // that have somebody waiting, in the order of their turns
	timer    *time.Timer
}

// lane is the queue of a flow.
type lane struct {
	flow    string
	waiting []chan error // of capacity 1; nil is sent for a turn
}

func newLimiter(cfg Config) *limiter {
	l := &limiter{max: cfg.MaxInFlight, patience: cfg.TryTimeout}
	if cfg.MaxRate > 0 {
		l.interval = time.Duration(float64(time.Second) / cfg.MaxRate)
	}
	for i, p := range policies {
		l.windows[i].even = p.even
	}
	return l
}

// errHeld is for requests that are not worth sending.
var errHeld = errors.New("the gateway's limit allows no request yet: not sent")

// acquire waits for a turn, after which release is to be called. A limit of the
// gateway's that holds for longer than the patience is an error at once.
func (l *limiter) acquire(ctx context.Context, flow string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	turn := l.enqueue(flow)
	if turn == nil {
		return nil
	}
	select {
	case err := <-turn:
		return err
	case <-ctx.Done():
	}
	if !l.leave(flow, turn) && <-turn == nil { // the turn came at the same time
		l.release()
	}
	return ctx.Err()
}

// enqueue returns the channel to wait at, or nil for a turn at once.
func (l *limiter) enqueue(flow string) chan error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lanes) == 0 && l.inFlight < l.max {
		if now := time.Now(); !l.earliestLocked(now).After(now) && !l.next.After(now) {
			l.takeLocked(now)
			return nil
		}
	}
	i := slices.IndexFunc(l.lanes, func(q *lane) bool { return q.flow == flow })
	if i < 0 {
		i = len(l.lanes)
		l.lanes = append(l.lanes, &lane{flow: flow})
	}
	turn := make(chan error, 1)
	l.lanes[i].waiting = append(l.lanes[i].waiting, turn)
	l.dispatchLocked()
	return turn
}

// leave gives up a place in the queue. It reports whether there was one.
func (l *limiter) leave(flow string, turn chan error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, q := range l.lanes {
		j := slices.Index(q.waiting, turn)
		if q.flow != flow || j < 0 {
			continue
		}
		if q.waiting = slices.Delete(q.waiting, j, j+1); len(q.waiting) == 0 {
			l.lanes = slices.Delete(l.lanes, i, i+1)
		}
		return true
	}
	return false
}

func (l *limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.dispatchLocked()
}

// dispatchLocked gives turns to those who wait, and sees to it that it is called
// again when that is not possible yet: by release, or by the timer.
func (l *limiter) dispatchLocked() {
	for len(l.lanes) > 0 && l.inFlight < l.max {
		now := time.Now()
		limit := l.earliestLocked(now)
		if limit.Sub(now) > l.patience {
			err := failure.UnavailableFor(min(limit.Sub(now), httpfail.MaxRetryAfter), errHeld)
			for len(l.lanes) > 0 {
				l.popLocked() <- err
			}
			return
		}
		if limit.Before(l.next) {
			limit = l.next
		}
		if limit.After(now) {
			l.wakeLocked(limit.Sub(now))
			return
		}
		l.takeLocked(now)
		l.popLocked() <- nil
	}
}

// popLocked takes the first of the flow whose turn it is out of the queue.
func (l *limiter) popLocked() chan error {
	q := l.lanes[0]
	first := q.waiting[0]
	q.waiting = q.waiting[1:]
	copy(l.lanes, l.lanes[1:])
	if l.lanes[len(l.lanes)-1] = q; len(q.waiting) == 0 {
		l.lanes[len(l.lanes)-1] = nil
		l.lanes = l.lanes[:len(l.lanes)-1]
	}
	return first
}

func (l *limiter) wakeLocked(d time.Duration) {
	if l.timer != nil {
		l.timer.Reset(d)
		return
	}
	l.timer = time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.dispatchLocked()
	})
}

// earliestLocked returns when the gateway's limits allow the next request.
func (l *limiter) earliestLocked(now time.Time) time.Time {
	t := l.blocked
	for i := range l.windows {
		if e := l.windows[i].earliest(now); e.After(t) {
			t = e
		}
	}
	return t
}

func (l *limiter) takeLocked(now time.Time) {
	l.inFlight++
	l.next = now.Add(l.interval)
	for i := range l.windows {
		l.windows[i].take(now)
	}
}

// observe learns from an answer. For a 429 it returns how long to wait, or 0 if
// that is not known.
func (l *limiter) observe(r *Response, sent, received time.Time) time.Duration {
	a := readLimits(r, sent, received)
	if a.empty() {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.windows {
		l.windows[i].observe(a.policies[i], a, &l.clock, int64(l.inFlight-1))
	}
	if r.Status != http.StatusTooManyRequests {
		return 0
	}
	wait := a.after
	if wait <= 0 {
		for i := range l.windows {
			if a.policies[i].exhausted {
				wait = max(wait, l.windows[i].wait(a.policies[i], a, &l.clock))
			}
		}
	}
	wait = min(wait, httpfail.MaxRetryAfter)
	if until := received.Add(min(wait, forgetAfter) + margin); wait > 0 && until.After(l.blocked) {
		l.blocked = until
	}
	return wait
}
