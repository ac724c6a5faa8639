// Package batch shares one commit among concurrent callers.
package batch

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrStopped says that Run has ended, or has not taken the value before it did.
var ErrStopped = errors.New("nothing is stored any more")

// maxRest is how long a busy group rests between commits at most.
const maxRest = 5 * time.Millisecond

// Group collects what concurrent callers want to store and commits it in
// batches: while one batch is being committed the next one gathers, so that a
// busy group shares commits. A commit that was shared is followed by a rest as
// long as it took, so that the next one is shared by more. An idle group adds no
// delay.
type Group[T, R any] struct {
	commit func(context.Context, []T) ([]R, error)
	limit  int
	weigh  func(T) int
	wake   chan struct{} // holds one: there are items

	mu      sync.Mutex
	items   []item[T, R]
	stopped bool
}

type item[T, R any] struct {
	value T
	done  func(R, error)
}

// New returns a group that commits values together until their weights reach
// limit: one batch weighs less than limit and one value. With a nil weigh each
// value weighs 1. commit returns a result for each value, or an error that all
// its callers get.
func New[T, R any](limit int, weigh func(T) int, commit func(context.Context, []T) ([]R, error)) *Group[T, R] {
	if weigh == nil {
		weigh = func(T) int { return 1 }
	}
	return &Group[T, R]{commit: commit, limit: limit, weigh: weigh, wake: make(chan struct{}, 1)}
}

// Go hands a value to Run, and has done called when it is committed, or when Run
// has ended without taking it. It does not wait. done must not wait for Run.
func (g *Group[T, R]) Go(value T, done func(R, error)) {
	g.mu.Lock()
	stopped := g.stopped
	if !stopped {
		g.items = append(g.items, item[T, R]{value, done})
	}
	g.mu.Unlock()
	if stopped {
		var zero R
		done(zero, ErrStopped)
		return
	}
	select {
	case g.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Do is Go, and waits.
func (g *Group[T, R]) Do(value T) (result R, err error) {
	done := make(chan struct{})
	g.Go(value, func(r R, e error) {
		result, err = r, e
		close(done)
	})
	<-done
	return result, err
}

// Run commits until ctx ends. What it took is answered in any case. It can run
// once.
func (g *Group[T, R]) Run(ctx context.Context) {
	defer g.stop()
	for {
		select {
		case <-g.wake:
		case <-ctx.Done():
			return
		}
		for items := g.take(); len(items) > 0; items = g.take() {
			begun := time.Now()
			g.commitAll(ctx, items)
			if ctx.Err() != nil {
				return
			}
			if len(items) > 1 {
				rest(ctx, min(maxRest, time.Since(begun)))
			}
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// take returns what waits at this moment, until its weight reaches the limit.
func (g *Group[T, R]) take() []item[T, R] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for weight := 0; n < len(g.items) && weight < g.limit; n++ {
		weight += g.weigh(g.items[n].value)
	}
	items := g.items[:n:n]
	if g.items = g.items[n:]; len(g.items) == 0 {
		g.items = nil
	}
	return items
}

// stop answers those who come too late.
func (g *Group[T, R]) stop() {
	g.mu.Lock()
	left := g.items
	g.items, g.stopped = nil, true
	g.mu.Unlock()
	var zero R
	for _, it := range left {
		it.done(zero, ErrStopped)
	}
}

func (g *Group[T, R]) commitAll(ctx context.Context, items []item[T, R]) {
	values := make([]T, len(items))
	for i, it := range items {
		values[i] = it.value
	}
	results, err := g.commit(ctx, values)
	for i, it := range items {
		var result R
		if err == nil {
			result = results[i]
		}
		it.done(result, err)
	}
}
