package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	// Removal says what becomes of entities that are removed. Default: they are
	// deleted.
	Removal Removal[T]
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
	if err := c.Removal.validate(); err != nil {
		return err
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
	dry    bool
}

// DryRun returns the same Sink without the writes.
func (e *ensure[T]) DryRun() Sink[T] {
	return &ensure[T]{target: e.target, cfg: e.cfg, dry: true}
}

// Apply makes the entity exist as want says.
func (e *ensure[T]) Apply(ctx context.Context, key entity.Key, want T) (Change, error) {
	return e.try(ctx, func() (Change, error) { return e.applyOnce(ctx, key, want) })
}

// Remove makes the entity absent, as Removal says.
func (e *ensure[T]) Remove(ctx context.Context, key entity.Key) (Change, error) {
	if e.cfg.Removal.Keep {
		return Change{Op: Unchanged}, alive(ctx)
	}
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
	case !found:
		return e.write(ctx, Change{Op: Created}, func() error {
			return e.target.Create(ctx, key, want)
		}, ErrExists, ErrConflict)
	}
	return e.update(ctx, key, have, want, Change{Op: Updated, Fields: fields})
}

func (e *ensure[T]) observe(ctx context.Context, key entity.Key, want T) (have Found[T], found bool, fields []Field, err error) {
	if e.cfg.Diff == nil {
		return e.target.(Observer[T]).Observe(ctx, key, want) //nolint:forcetypeassert // withDefaults sees to it
	}
	have, found, err = e.target.Get(ctx, key)
	if err != nil || !found {
		return have, false, nil, err
	}
	return have, true, e.cfg.Diff(have.Value, want), nil
}

func (e *ensure[T]) removeOnce(ctx context.Context, key entity.Key) (Change, error) {
	have, found, err := e.target.Get(ctx, key)
	if err != nil || !found {
		return Change{}, err
	}
	disabled, next := e.cfg.Removal.plan(have.Value, time.Now())
	if disabled == nil {
		change, err := e.write(ctx, Change{Op: Removed}, func() error {
			return e.target.Delete(ctx, key, have)
		}, ErrConflict)
		if errors.Is(err, ErrNotFound) {
			return Change{Op: Unchanged}, nil
		}
		return change, err
	}
	have, found, fields, err := e.compare(ctx, key, have, *disabled)
	switch {
	case err != nil:
		return Change{}, err
	case !found:
		return Change{Op: Unchanged}, nil
	case len(fields) == 0:
		return Change{Op: Unchanged, Next: next}, nil
	}
	return e.update(ctx, key, have, *disabled, Change{Op: Disabled, Fields: fields, Next: next})
}

// compare is observe for an entity that was read already. A target that
// compares by itself reads it again.
func (e *ensure[T]) compare(ctx context.Context, key entity.Key, have Found[T], want T) (Found[T], bool, []Field, error) {
	if e.cfg.Diff == nil {
		return e.observe(ctx, key, want)
	}
	return have, true, e.cfg.Diff(have.Value, want), nil
}

func (e *ensure[T]) update(ctx context.Context, key entity.Key, have Found[T], want T, change Change) (Change, error) {
	return e.write(ctx, change, func() error {
		return e.target.Update(ctx, key, have, want, change.Fields)
	}, ErrNotFound, ErrConflict)
}

// write makes the change, unless this is a dry run. An error that is one of
// again calls for a new read.
func (e *ensure[T]) write(ctx context.Context, change Change, write func() error, again ...error) (Change, error) {
	if err := alive(ctx); err != nil {
		return Change{}, err
	}
	if e.dry {
		return change, nil
	}
	err := write()
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
