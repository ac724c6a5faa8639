package connector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
)

// Flow keeps one kind of entity in a target equal to the source. S is the
// entity as the source gives it, T as the target wants it.
type Flow[S, T any] struct {
	// Name identifies the flow in the work store and in logs. It must be unique
	// in the connector and must not change while the store lives. Required.
	Name string
	// Match says which notifications concern this flow. Nil: all.
	Match notification.Filter
	// Keys says which entities a notification is about. Nil: the one in its
	// subject, see [notification.KeyOf]. An error sets the message aside as
	// rejected, but for failure.Unavailable, which is waited out. It is logged and
	// stored: it must hold no identifier. A message may mark 100,000 entities in
	// all flows together; one of more is rejected.
	Keys func(context.Context, notification.Notification) ([]entity.Key, error)
	// Source gives the entity's current state. Required.
	Source source.Source[S]
	// Map says what the target must hold for that state: Present or Absent. It
	// may be called any number of times, so it must not change anything.
	// Required.
	Map func(context.Context, entity.Key, S) (Desired[T], error)
	// Sink writes to the target. Required.
	Sink sink.Sink[T]

	// Workers is how many entities are reconciled at the same time. Default 8.
	Workers int
	// Rate is how many entities are reconciled per second at most, by each
	// instance. A second's worth may come at once. Default: no limit.
	Rate float64
	// Gather is how long entities may wait for further notifications while these
	// come in faster than runs can follow, hundreds at once: one run then does for
	// several. A notification that comes alone never waits. Default 1 second;
	// negative: never. With a store that is not durable, nothing waits.
	Gather time.Duration
	// Timeout bounds each of fetching, mapping and writing. Default 1 minute.
	Timeout time.Duration
	// Retry says how the failures of a single entity are repeated.
	Retry Retry
}

// Retry is the plan for an entity that fails while others do not. A system
// that is unavailable is waited for without it.
type Retry struct {
	// Min is the delay after the first failure; it doubles with each further
	// one, with 20 % of jitter. Default 1 minute.
	Min time.Duration
	// Max is the longest delay. Default 12 hours.
	Max time.Duration
	// Attempts is how many failures there may be before the entity is parked.
	// Default 20.
	Attempts int
	// For is how long after its first failure an entity that fails again is
	// parked, however many attempts are left. Default 7 days.
	For time.Duration
}

func (r Retry) withDefaults() Retry {
	r.Min = orDefault(r.Min, time.Minute)
	r.Max = orDefault(r.Max, max(12*time.Hour, r.Min))
	r.Attempts = orDefault(r.Attempts, 20)
	r.For = orDefault(r.For, 7*24*time.Hour)
	return r
}

func (r Retry) validate() error {
	switch {
	case r.Min < 0:
		return errors.New("Retry.Min: must not be negative")
	case r.Max < r.Min:
		return errors.New("Retry.Max: must not be less than Retry.Min")
	case r.Attempts < 0:
		return errors.New("Retry.Attempts: must not be negative")
	case r.For < 0:
		return errors.New("Retry.For: must not be negative")
	}
	return nil
}

func orDefault[N comparable](n, otherwise N) N {
	var zero N
	if n == zero {
		return otherwise
	}
	return n
}

// Definition is a [Flow] of any types, as New takes it.
type Definition interface {
	define() (*flow, error)
}

// flow is a Flow without its type parameters.
type flow struct {
	name      string
	match     notification.Filter
	keys      func(context.Context, notification.Notification) ([]entity.Key, error)
	workers   int
	rate      float64
	gather    time.Duration
	timeout   time.Duration
	retry     Retry
	reconcile func(context.Context, *run, source.Request) (report, error)
	forget    func(context.Context, entity.Key) error // what the sink keeps
}

func (f Flow[S, T]) define() (*flow, error) {
	if err := f.validate(); err != nil {
		if f.Name == "" {
			return nil, fmt.Errorf("flow: %w", err)
		}
		return nil, fmt.Errorf("flow %q: %w", f.Name, err)
	}
	f.Timeout = orDefault(f.Timeout, time.Minute) // for f.reconcile too
	d := &flow{
		name:      f.Name,
		match:     f.Match,
		keys:      f.Keys,
		workers:   orDefault(f.Workers, 8),
		rate:      f.Rate,
		gather:    max(0, orDefault(f.Gather, time.Second)),
		timeout:   f.Timeout,
		retry:     f.Retry.withDefaults(),
		reconcile: f.reconcile,
		forget:    func(ctx context.Context, key entity.Key) error { return sink.Forget(ctx, f.Sink, key) },
	}
	if d.match == nil {
		d.match = notification.FilterFunc(func(notification.Notification) bool { return true })
	}
	if d.keys == nil {
		d.keys = func(_ context.Context, n notification.Notification) ([]entity.Key, error) {
			return []entity.Key{n.Key}, nil
		}
	}
	return d, nil
}

func (f Flow[S, T]) validate() error {
	switch {
	case f.Name == "":
		return errors.New("Name: must not be empty")
	case f.Source == nil:
		return errors.New("Source: must not be nil")
	case f.Map == nil:
		return errors.New("Map: must not be nil")
	case f.Sink == nil:
		return errors.New("Sink: must not be nil")
	case f.Workers < 0:
		return errors.New("Workers: must not be negative")
	case f.Rate < 0 || math.IsNaN(f.Rate) || math.IsInf(f.Rate, 0):
		return errors.New("Rate: must be a number of entities per second, 0 for no limit")
	case f.Timeout < 0:
		return errors.New("Timeout: must not be negative")
	}
	for _, part := range []struct {
		name  string
		value any
	}{{"Source", f.Source}, {"Sink", f.Sink}} {
		if v, ok := part.value.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
	}
	return f.Retry.withDefaults().validate()
}
