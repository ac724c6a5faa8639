package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

const (
	// pruneEvery is how often the work store is cleared of what was kept for long
	// enough.
	pruneEvery = time.Hour
	// pruneBatch is how many rows are deleted in one transaction, which is short,
	// so that the store is free for others in between.
	pruneBatch = 500
)

// prune deletes what was kept for long enough, at once and from time to time,
// until ctx ends.
func (s *session) prune(ctx context.Context) {
	prune := func() {
		s.pruneAll(ctx, "rejected messages", s.cfg.KeepRejected, s.cfg.Store.PruneRejected)
		s.pruneAll(ctx, "rows of entities that are gone", s.cfg.KeepGone, s.cfg.Store.PruneIdle)
		s.pruneAll(ctx, "parked entities", s.cfg.KeepParked, s.cfg.Store.PruneParked)
	}
	prune()
	every(ctx, pruneEvery, prune)
}

func (s *session) pruneAll(ctx context.Context, what string, keep time.Duration, prune func(context.Context, time.Time, int) (int, error)) {
	before := time.Now().Add(-keep)
	total, n, err := 0, pruneBatch, error(nil)
	for n == pruneBatch && err == nil {
		n, err = prune(ctx, before, pruneBatch)
		total += n
	}
	if total > 0 {
		s.log.Info("old rows deleted", "what", what, "rows", total)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("old rows not deleted, will be tried again", "what", what, "error", err)
	}
}

// Forget deletes all that the work store knows of an entity, in all flows, and
// returns how many rows that was; and what sinks keep of it beside the target, see
// [sink.Forgetter]. It waits while the entity is reconciled. It does not touch
// source and target: a notification that comes later, or one that has been
// rejected and is replayed, makes the entity known again.
func (c *Connector) Forget(ctx context.Context, key entity.Key) (int, error) {
	delays := newBackOff(10*time.Millisecond, time.Second)
	for {
		n, err := c.cfg.Store.Forget(ctx, key)
		if err == nil {
			return n, c.forgetInSinks(ctx, key, n)
		}
		if !errors.Is(err, work.ErrRunning) {
			return 0, fmt.Errorf("connector %q: forget: %w", c.name, err)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("connector %q: forget: %w: %w", c.name, err, context.Cause(ctx))
		case <-time.After(delays.NextBackOff()):
		}
	}
}

func (c *Connector) forgetInSinks(ctx context.Context, key entity.Key, rows int) error {
	var errs []error
	for _, f := range c.flows {
		if err := f.forget(ctx, key); err != nil {
			errs = append(errs, fmt.Errorf("connector %q: flow %q: forget: sink: %w; repeat it", c.name, f.name, err))
		}
	}
	if len(errs) == 0 {
		c.cfg.Logger.Info("an entity was forgotten", "connector", c.name, "rows", rows)
	}
	return errors.Join(errs...)
}
