package sink

import (
	"context"
	"errors"
	"fmt"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
)

// EnsureConfig configures [Ensure]. The zero EnsureConfig works.
type EnsureConfig[T any] struct {
	// Diff returns the fields in which have, the entity in the target, is not
	// as want says, and none if it is. Without it, the target compares if it
	// is an [Observer], and package function [Diff] if not.
	Diff func(have, want T) []Field
	// Tries is how often a conflict with another writer leads to a new read,
	// the first one included. Default 4.
	Tries int
}

func (c EnsureConfig[T]) withDefaults(target Target[T]) EnsureConfig[T] {
	if c.Tries == 0 {
		c.Tries = 4
	}
	if _, ok := target.(Observer[T]); c.Diff == nil && !ok {
		c.Diff = Diff[T]
	}
	return c
}

func (c EnsureConfig[T]) validate(target Target[T]) error {
	if target == nil {
		return errors.New("target: must not be nil")
	}
	if c.Tries < 0 {
		return errors.New("Tries: must not be negative; leave it 0 for the default")
	}
	if _, ok := target.(Observer[T]); c.Diff == nil && !ok {
		return diffable[T]()
	}
	return nil
}

// Ensure makes a Sink from a target. The package comment says what it
// promises. It returns an error if target is nil, if cfg is not valid, or if
// there is no way to compare two T: one that is neither a struct with exported
// fields nor a map with strings as keys needs a Diff.
func Ensure[T any](target Target[T], cfg EnsureConfig[T]) (Sink[T], error) {
	if err := cfg.validate(target); err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	return &ensure[T]{target: target, cfg: cfg.withDefaults(target)}, nil
}

type ensure[T any] struct {
	target Target[T]
	cfg    EnsureConfig[T]
}

// Apply makes the entity exist as want says.
func (e *ensure[T]) Apply(ctx context.Context, key entity.Key, want T) (Change, error) {
	return e.try(ctx, func() (Change, error) { return e.applyOnce(ctx, key, want) })
}

// Remove makes the entity absent.
func (e *ensure[T]) Remove(ctx context.Context, key entity.Key) (Change, error) {
	return e.try(ctx, func() (Change, error) { return e.removeOnce(ctx, key) })
}

// changedError marks that the target was not as it was read, so that a new read
// may help.
type changedError struct{ err error }

func (e changedError) Error() string { return e.err.Error() }
func (e changedError) Unwrap() error { return e.err }

// try runs once, and again as long as another writer was in between.
func (e *ensure[T]) try(ctx context.Context, once func() (Change, error)) (Change, error) {
	for n := 1; ; n++ {
		if err := alive(ctx); err != nil {
			return Change{}, err
		}
		change, err := once()
		if err == nil {
			return change, nil
		}
		if !errors.As(err, new(changedError)) {
			return Change{}, err
		}
		if n >= e.cfg.Tries {
			return Change{}, fmt.Errorf("sink: gave up after %d tries: %w", n, err)
		}
	}
}

func (e *ensure[T]) applyOnce(ctx context.Context, key entity.Key, want T) (Change, error) {
	have, found, fields, err := e.observe(ctx, key, want)
	switch {
	case err != nil:
		return Change{}, err
	case found && len(fields) == 0:
		return Change{Op: Unchanged}, nil
	}
	if err := alive(ctx); err != nil {
		return Change{}, err
	}
	if !found {
		return written(Change{Op: Created}, e.target.Create(ctx, key, want), ErrExists, ErrConflict)
	}
	return written(Change{Op: Updated, Fields: fields},
		e.target.Update(ctx, key, have, want, fields), ErrNotFound, ErrConflict)
}

func (e *ensure[T]) observe(ctx context.Context, key entity.Key, want T) (have T, found bool, fields []Field, err error) {
	if e.cfg.Diff == nil {
		return e.target.(Observer[T]).Observe(ctx, key, want) //nolint:forcetypeassert // withDefaults sees to it
	}
	have, found, err = e.target.Get(ctx, key)
	if err != nil || !found {
		return have, false, nil, err
	}
	return have, true, e.cfg.Diff(have, want), nil
}

func (e *ensure[T]) removeOnce(ctx context.Context, key entity.Key) (Change, error) {
	_, found, err := e.target.Get(ctx, key)
	if err != nil || !found {
		return Change{}, err
	}
	if err := alive(ctx); err != nil {
		return Change{}, err
	}
	err = e.target.Delete(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return Change{Op: Unchanged}, nil
	}
	return written(Change{Op: Removed}, err, ErrConflict)
}

// written returns the outcome of a write, whose error calls for a new read if
// it is one of again.
func written(change Change, err error, again ...error) (Change, error) {
	if err == nil {
		return change, nil
	}
	for _, a := range again {
		if errors.Is(err, a) {
			return Change{}, changedError{err}
		}
	}
	return Change{}, err
}

// alive returns an error if ctx has ended: nothing is known of the entity then,
// so that no attempt of its own must be spent.
func alive(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return failure.As(failure.Unavailable, fmt.Errorf("sink: not begun: %w", context.Cause(ctx)))
}
