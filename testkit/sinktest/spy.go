package sinktest

import (
	"context"
	"sync"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

// The operations that a spy sees.
const (
	read   = "read"
	create = "create"
	update = "update"
	remove = "delete"
)

// spy stands between Ensure and the target.
type spy[T any] struct {
	sink.Target[T]

	mu    sync.Mutex
	calls map[string]int
	// before and after are called with each operation, and with the nth of its
	// kind, from 1; after only if it succeeded. An error of theirs is what the
	// caller gets.
	before, after func(op string, nth int) error
}

// observing is a spy on a target that compares by itself.
type observing[T any] struct {
	*spy[T]

	observer sink.Observer[T]
}

func (s *spy[T]) asTarget() sink.Target[T] {
	if o, ok := s.Target.(sink.Observer[T]); ok {
		return observing[T]{s, o}
	}
	return s
}

// writes returns how many writes the target was asked for.
func (s *spy[T]) writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[create] + s.calls[update] + s.calls[remove]
}

func (s *spy[T]) reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[read]
}

// interpose sets what is called with each operation, and forgets those before.
func (s *spy[T]) interpose(before, after func(op string, nth int) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after, s.calls = before, after, nil
}

// first calls f with the first operation of a kind.
func first(op string, f func() error) func(string, int) error {
	return func(o string, nth int) error {
		if o == op && nth == 1 {
			return f()
		}
		return nil
	}
}

func (s *spy[T]) call(op string, call func() error) error {
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[op]++
	nth, before, after := s.calls[op], s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(op, nth); err != nil {
			return err
		}
	}
	if err := call(); err != nil {
		return err
	}
	if after != nil {
		return after(op, nth)
	}
	return nil
}

func (s *spy[T]) Get(ctx context.Context, key entity.Key) (have sink.Found[T], found bool, err error) {
	err = s.call(read, func() (err error) {
		have, found, err = s.Target.Get(ctx, key)
		return err
	})
	return have, found, err
}

func (s observing[T]) Observe(ctx context.Context, key entity.Key, want T) (have sink.Found[T], found bool, fields []sink.Field, err error) {
	err = s.call(read, func() (err error) {
		have, found, fields, err = s.observer.Observe(ctx, key, want)
		return err
	})
	return have, found, fields, err
}

func (s *spy[T]) Create(ctx context.Context, key entity.Key, want T) error {
	return s.call(create, func() error { return s.Target.Create(ctx, key, want) })
}

func (s *spy[T]) Update(ctx context.Context, key entity.Key, have sink.Found[T], want T, fields []sink.Field) error {
	return s.call(update, func() error { return s.Target.Update(ctx, key, have, want, fields) })
}

func (s *spy[T]) Delete(ctx context.Context, key entity.Key, have sink.Found[T]) error {
	return s.call(remove, func() error { return s.Target.Delete(ctx, key, have) })
}
