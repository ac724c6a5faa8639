package connector

import (
	"context"
	"sync"
	"time"
)

// stageContext is the context of one stage of a run. It ends with the run's, with
// the stage, and after a time. Its timer is made when somebody waits for its end,
// which what only computes never does.
type stageContext struct {
	context.Context // of the stage, without a limit

	run   context.Context //nolint:containedctx // a context made of two
	until time.Time

	mu     sync.Mutex
	timed  context.Context //nolint:containedctx // see mu: what ends, nil until it is asked for
	cancel context.CancelFunc
	ended  bool
}

func newStageContext(ctx, run context.Context, timeout time.Duration) *stageContext {
	return &stageContext{Context: ctx, run: run, until: time.Now().Add(timeout)}
}

// end ends the context. It must be called.
func (c *stageContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}

// ending returns the context that ends.
func (c *stageContext) ending() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.Context, c.until)
		if c.ended {
			c.cancel()
		}
	}
	return c.timed
}

// asked returns the context that ends if anybody has asked for it.
func (c *stageContext) asked() (ctx context.Context, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timed, c.ended
}

// Deadline implements context.Context.
func (c *stageContext) Deadline() (time.Time, bool) { return c.ending().Deadline() }

// Done implements context.Context.
func (c *stageContext) Done() <-chan struct{} { return c.ending().Done() }

// Err implements context.Context.
func (c *stageContext) Err() error {
	if ctx, ended := c.asked(); ctx != nil || ended || !time.Now().Before(c.until) {
		if err := c.ending().Err(); err != nil {
			return err
		}
	}
	if err := c.run.Err(); err != nil { // ends the stage's too, if the lease has ended
		return err
	}
	return c.Context.Err()
}

// Value implements context.Context. Package context finds by it what the contexts
// that are made of this one have to end with.
func (c *stageContext) Value(key any) any {
	if ctx, _ := c.asked(); ctx != nil {
		return ctx.Value(key)
	}
	return c.Context.Value(key)
}
