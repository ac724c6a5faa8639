// Package batch shares one commit among concurrent callers.
package batch

import (
	"context"
	"errors"
)

// ErrStopped says that Run has ended, or has not taken the value before it did.
var ErrStopped = errors.New("nothing is stored any more")

// Group collects what concurrent callers want to store and commits it in
// batches: while one batch is being committed the next one gathers, so that a
// busy group shares commits and an idle one adds no delay.
type Group[T, R any] struct {
	commit  func(context.Context, []T) ([]R, error)
	limit   int
	weigh   func(T) int
	items   chan item[T, R]
	stopped chan struct{}
}

type item[T, R any] struct {
	value T
	reply chan<- reply[R]
}

type reply[R any] struct {
	result R
	err    error
}

// New returns a group that commits values together until their weights reach
// limit: one batch weighs less than limit and one value. With a nil weigh each
// value weighs 1. commit returns a result for each value, or an error that all
// its callers get.
func New[T, R any](limit int, weigh func(T) int, commit func(context.Context, []T) ([]R, error)) *Group[T, R] {
	if weigh == nil {
		weigh = func(T) int { return 1 }
	}
	return &Group[T, R]{commit: commit, limit: limit, weigh: weigh, items: make(chan item[T, R]), stopped: make(chan struct{})}
}

// Do hands a value to Run and returns when it is committed, or when Run has
// ended without taking it.
func (g *Group[T, R]) Do(value T) (R, error) {
	done := make(chan reply[R], 1)
	select {
	case g.items <- item[T, R]{value, done}:
		r := <-done
		return r.result, r.err
	case <-g.stopped:
		var zero R
		return zero, ErrStopped
	}
}

// Run commits until ctx ends. What it took is answered in any case. It can run
// once.
func (g *Group[T, R]) Run(ctx context.Context) {
	defer close(g.stopped)
	for {
		select {
		case first := <-g.items:
			g.commitAll(ctx, g.gather(first))
		case <-ctx.Done():
			return
		}
	}
}

// gather takes what else is waiting at this moment.
func (g *Group[T, R]) gather(first item[T, R]) []item[T, R] {
	items := []item[T, R]{first}
	for weight := g.weigh(first.value); weight < g.limit; {
		select {
		case it := <-g.items:
			items = append(items, it)
			weight += g.weigh(it.value)
		default:
			return items
		}
	}
	return items
}

func (g *Group[T, R]) commitAll(ctx context.Context, items []item[T, R]) {
	values := make([]T, len(items))
	for i, it := range items {
		values[i] = it.value
	}
	results, err := g.commit(ctx, values)
	for i, it := range items {
		r := reply[R]{err: err}
		if err == nil {
			r.result = results[i]
		}
		it.reply <- r
	}
}
