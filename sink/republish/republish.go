package republish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// Publication says that an entity of the target may differ now.
type Publication struct {
	Key entity.Key
	// Op is what was done last. It is no more than a hint: that entity may have
	// changed again since.
	Op sink.Op
	// Time is when the change was about to be made. Duplicates have the same, and
	// different publications of an entity never do, so that an id for the event
	// can be derived from it and the key.
	Time time.Time
}

// Publish publishes, and returns nil when that is sure. It is called
// concurrently. An error that is failure.Rejected is the entity's: what is owed
// of it can never be published as it is. Any other is an outage.
type Publish func(ctx context.Context, p Publication) error

// Config configures a [Sink]. The zero Config works.
type Config struct {
	// Limit is how many publications of one entity the brake lets through at once,
	// and again in each Window. Default 5. Negative: there is no brake.
	Limit int
	// Window is also the first hold. Each hold in a row is twice as long. Default
	// 1 min.
	Window time.Duration
	// MaxHold is the longest. Default 1 h.
	MaxHold time.Duration
	// Logger gets a line whenever the brake begins to hold an entity back.
	// Default: slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Limit = cmp.Or(c.Limit, 5)
	c.Window = cmp.Or(c.Window, time.Minute)
	c.MaxHold = cmp.Or(c.MaxHold, max(time.Hour, c.Window))
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Window < 0:
		return errors.New("Window: must not be negative; leave it 0 for the default")
	case c.MaxHold < c.Window:
		return errors.New("MaxHold: must not be shorter than Window")
	}
	return nil
}

// Sink is a sink that publishes what another changed. It implements
// [sink.Sink], [sink.DryRunner] and [sink.Forgetter].
type Sink[T any] struct {
	sink, dry sink.Sink[T]
	journal   Journal
	publish   Publish
	brake     brake
	log       *slog.Logger
}

// New returns a Sink around s, which must be a [sink.DryRunner], as those of
// [sink.Ensure] are: an intent is noted only where there will be a change.
func New[T any](s sink.Sink[T], journal Journal, publish Publish, cfg Config) (*Sink[T], error) {
	switch {
	case s == nil:
		return nil, errors.New("republish: s: must not be nil")
	case journal == nil:
		return nil, errors.New("republish: journal: must not be nil")
	case publish == nil:
		return nil, errors.New("republish: publish: must not be nil")
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("republish: %w", err)
	}
	dry, err := sink.DryRun(s)
	if err != nil {
		return nil, fmt.Errorf("republish: s: %w", err)
	}
	return &Sink[T]{
		sink: s, dry: dry, journal: journal, publish: publish, log: cfg.Logger,
		brake: brake{limit: max(cfg.Limit, 0), window: cfg.Window, most: cfg.MaxHold},
	}, nil
}

// DryRun returns the wrapped sink's: nothing is written, noted or published.
func (s *Sink[T]) DryRun() sink.Sink[T] { return s.dry }

// Forget implements [sink.Forgetter]: the journal's entry of an entity is deleted,
// and with it what is owed.
func (s *Sink[T]) Forget(ctx context.Context, key entity.Key) error {
	if err := s.journal.Forget(ctx, key); err != nil {
		return journalError(err)
	}
	return sink.Forget(ctx, s.sink, key)
}

// Apply makes the entity exist as want says, and publishes what changed.
func (s *Sink[T]) Apply(ctx context.Context, key entity.Key, want T) (sink.Change, error) {
	return s.do(ctx, key, func(to sink.Sink[T]) (sink.Change, error) { return to.Apply(ctx, key, want) })
}

// Remove makes the entity absent, as the wrapped sink does, and publishes what
// changed.
func (s *Sink[T]) Remove(ctx context.Context, key entity.Key) (sink.Change, error) {
	return s.do(ctx, key, func(to sink.Sink[T]) (sink.Change, error) { return to.Remove(ctx, key) })
}

func (s *Sink[T]) do(ctx context.Context, key entity.Key, call func(sink.Sink[T]) (sink.Change, error)) (sink.Change, error) {
	e, err := s.journal.Load(ctx, key)
	if err != nil {
		return sink.Change{}, journalError(err)
	}
	plan, err := call(s.dry)
	if err != nil {
		return sink.Change{}, err // what is owed stays: a write may be under way still
	}
	if plan.Op == sink.Unchanged {
		return s.settle(ctx, key, e, plan)
	}
	owed := e
	if e, err = s.intend(ctx, key, e, plan.Op); err != nil {
		return sink.Change{}, err
	}
	change, err := call(s.sink)
	if err == nil {
		// Unchanged now means that somebody was faster, or that our own write was
		// done though its answer said otherwise: it is as wanted since the plan.
		if change.Op != sink.Unchanged && change.Op != e.Op {
			e.Op = change.Op
		}
		return s.settle(ctx, key, e, change)
	}
	if failure.Of(err) == failure.Rejected {
		return sink.Change{}, s.rejected(ctx, key, owed, e, plan, call, err)
	}
	return sink.Change{}, err // it may have been written: what is noted stays
}

// intend notes that a change is about to be made.
func (s *Sink[T]) intend(ctx context.Context, key entity.Key, e Entry, op sink.Op) (Entry, error) {
	for range 4 {
		now := time.Now().UTC()
		if !now.After(e.Time) { // the clock was set back, or is coarse
			now = e.Time.Add(time.Nanosecond)
		}
		e.Pending, e.Op, e.Time = true, op, now
		stored, err := s.journal.Store(ctx, key, e)
		if err == nil {
			return stored, nil
		}
		if !errors.Is(err, ErrConflict) {
			return Entry{}, journalError(err)
		}
		if e, err = s.journal.Load(ctx, key); err != nil {
			return Entry{}, journalError(err)
		}
	}
	return Entry{}, failure.As(failure.Failed, fmt.Errorf("republish: others write of the same entity all the time: %w", ErrConflict))
}

// rejected is for a write that the target refused for good. If all is as it was
// planned from, nothing was written and nothing is owed for it. What is owed
// otherwise is published, without the brake: there may be no further call.
func (s *Sink[T]) rejected(ctx context.Context, key entity.Key, owed, e Entry, plan sink.Change,
	call func(sink.Sink[T]) (sink.Change, error), rejection error,
) error {
	again, err := call(s.dry)
	switch {
	case err != nil: // it stays owed
	case samePlan(plan, again) && !owed.Pending:
		owed.Revision, owed.Time = e.Revision, e.Time
		_, _ = s.journal.Store(ctx, key, owed) // if not, it is published for nothing
	default:
		_ = s.settleNow(ctx, key, e)
	}
	return rejection
}

func samePlan(a, b sink.Change) bool {
	if a.Op != b.Op || len(a.Fields) != len(b.Fields) {
		return false
	}
	for i, f := range a.Fields {
		if f.Name != b.Fields[i].Name {
			return false
		}
	}
	return true
}

// settle publishes what is owed, or asks for a call when it may be published.
func (s *Sink[T]) settle(ctx context.Context, key entity.Key, e Entry, change sink.Change) (sink.Change, error) {
	if !e.Pending {
		return change, nil
	}
	next := s.brake.next(e, time.Now())
	if next.IsZero() {
		if err := s.settleNow(ctx, key, e); err != nil {
			return sink.Change{}, err
		}
		return change, nil
	}
	if !e.Held {
		e.Held = true
		_, err := s.journal.Store(ctx, key, e)
		switch {
		case err == nil:
			s.log.LogAttrs(ctx, slog.LevelWarn, "republish: an entity changes too often, as if systems answered each other; its publications are held back",
				slog.String("type", key.Type), slog.Int("strikes", e.Strikes), slog.Duration("for", time.Until(next).Round(time.Second)))
		case !errors.Is(err, ErrConflict): // else another call holds it, or published
			return sink.Change{}, journalError(err)
		}
	}
	if change.Next.IsZero() || next.Before(change.Next) {
		change.Next = next
	}
	return change, nil
}

// settleNow publishes what is owed, and clears it.
func (s *Sink[T]) settleNow(ctx context.Context, key entity.Key, e Entry) error {
	if ctx.Err() != nil {
		return failure.As(failure.Unavailable, fmt.Errorf("republish: not published yet: %w", context.Cause(ctx)))
	}
	if err := s.publish(ctx, Publication{Key: key, Op: e.Op, Time: e.Time}); err != nil {
		err = fmt.Errorf("republish: not published yet: %w", err)
		if failure.Of(err) == failure.Rejected {
			return err
		}
		return failure.UnavailableFor(failure.RetryAfter(err), err)
	}
	_, err := s.journal.Store(ctx, key, s.brake.published(e, time.Now()))
	if err != nil && !errors.Is(err, ErrConflict) { // then somebody owes a later one
		return journalError(err)
	}
	return nil
}

func journalError(err error) error {
	return failure.UnavailableFor(failure.RetryAfter(err), fmt.Errorf("republish: journal: %w", err))
}
