package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// Release says which parked entities get a fresh start.
type Release struct {
	// Flow is the flow that they are of. Required.
	Flow string
	// Key is a single one. The zero Key: all of the group.
	Key entity.Key
	// Group is those that failed for the same reason, see
	// [work.Store.ParkedGroups]. Empty: all of the flow.
	Group string
	// Canary releases one of them first and waits until it was reconciled. The
	// others follow only if it succeeded. That needs an instance that runs.
	Canary bool
}

// releaseBatch is how many parked entities are released in one transaction.
const releaseBatch = 500

// Release gives parked entities a fresh start, after what made them fail was
// mended, and returns how many. It may be called at any time.
func (c *Connector) Release(ctx context.Context, r Release) (int, error) {
	n, err := c.release(ctx, r)
	if n > 0 {
		c.cfg.Logger.Info("parked entities released", "connector", c.name, "flow", r.Flow, "group", r.Group, "entities", n)
	}
	if err != nil {
		return n, fmt.Errorf("connector %q: release: %w", c.name, err)
	}
	return n, nil
}

func (c *Connector) release(ctx context.Context, r Release) (int, error) {
	if c.flow(r.Flow) == nil {
		return 0, fmt.Errorf("Flow: there is no flow %q", r.Flow)
	}
	if r.Key != (entity.Key{}) {
		row, found, err := c.cfg.Store.Get(ctx, r.Flow, r.Key)
		switch {
		case err != nil:
			return 0, err
		case !found || row.State != work.Parked:
			return 0, errors.New("Key: the entity is not parked")
		}
		return 1, c.mark(ctx, row)
	}
	total := 0
	if r.Canary {
		n, err := c.releaseCanary(ctx, r)
		if n == 0 || err != nil {
			return n, err
		}
		total = n
	}
	// What is parked again meanwhile is not released twice: keys only grow.
	query := work.Query{Flow: r.Flow, State: work.Parked, Group: r.Group, Limit: releaseBatch}
	for {
		rows, err := c.cfg.Store.List(ctx, query)
		if err == nil && len(rows) > 0 {
			err = c.mark(ctx, rows...)
		}
		if err != nil {
			return total, err
		}
		if total += len(rows); len(rows) < releaseBatch {
			return total, nil
		}
		query.After = rows[len(rows)-1].Key
	}
}

// mark marks rows as an operator does.
func (c *Connector) mark(ctx context.Context, rows ...work.Row) error {
	marks := make([]work.Mark, len(rows))
	for i, row := range rows {
		marks[i] = work.Mark{Flow: row.Flow, Key: row.Key, Cause: work.Cause{Kind: "operator", Time: time.Now()}}
	}
	if _, err := c.cfg.Store.Mark(ctx, marks); err != nil {
		return err
	}
	c.signal()
	return nil
}

// canaryPoll is how often is looked whether the canary was reconciled.
const canaryPoll = 250 * time.Millisecond

// releaseCanary releases one entity and waits until it was reconciled. It
// returns 0 if there is none.
func (c *Connector) releaseCanary(ctx context.Context, r Release) (int, error) {
	rows, err := c.cfg.Store.List(ctx, work.Query{Flow: r.Flow, State: work.Parked, Group: r.Group, Limit: 1})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	canary := rows[0]
	marked := canary.Dirty + 1
	if err := c.mark(ctx, canary); err != nil {
		return 0, err
	}
	for {
		row, found, err := c.cfg.Store.Get(ctx, r.Flow, canary.Key)
		switch {
		case err != nil:
			return 1, err
		case !found:
			return 1, errors.New("the canary was forgotten meanwhile, the others were left")
		case row.Done >= marked:
			return 1, nil
		case row.Attempts > 0 || row.State == work.Parked:
			return 1, fmt.Errorf("the canary failed again, the others were left: %s", row.Summary)
		}
		select {
		case <-ctx.Done():
			return 1, fmt.Errorf("the canary was not reconciled, the others were left: %w", context.Cause(ctx))
		case <-time.After(canaryPoll):
		}
	}
}
