//go:build integration

package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
)

const (
	crowdStores = 8
	crowdKeys   = 1000
	crowdMarks  = 20_000
)

// crowd is what several stores on one database do at once.
type crowd struct {
	left, marked, leased atomic.Int64

	mu       sync.Mutex
	held     map[entity.Key]string // tokens of leases that nobody has begun to finish
	overlaps []string
}

func (c *crowd) begin(l work.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, found := c.held[l.Key]; found {
		c.overlaps = append(c.overlaps, fmt.Sprintf("%s has %s, and %s gets it", other, l.Key.ID, l.Token))
	}
	c.held[l.Key] = l.Token
}

// ending must be called before Finish: the next lease may be given within it.
func (c *crowd) ending(l work.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, l.Key)
}

func crowdMarksOf(r *rand.Rand, most int) []work.Mark {
	marks := make([]work.Mark, r.IntN(most+1))
	for i := range marks {
		marks[i] = markOf(strconv.Itoa(r.IntN(crowdKeys)))
		marks[i].Priority = []work.Priority{work.Live, work.Bulk}[r.IntN(2)]
		switch r.IntN(6) {
		case 0:
			marks[i].Due = time.Now().Add(time.Duration(r.IntN(200)) * time.Millisecond)
		case 1:
			marks[i].Due = time.Now().Add(-time.Hour)
		}
	}
	return marks
}

// mark marks until enough is marked.
func (c *crowd) mark(ctx context.Context, p *Postgres, r *rand.Rand) error {
	for c.left.Load() > 0 {
		marks := crowdMarksOf(r, 30)
		c.left.Add(-int64(len(marks)))
		if _, err := p.Mark(ctx, marks); err != nil {
			return err
		}
		c.marked.Add(int64(len(marks)))
	}
	return nil
}

// run leases and finishes until nothing is left.
func (c *crowd) run(ctx context.Context, p *Postgres, r *rand.Rand) error {
	results := []work.Result{work.Done, work.Done, work.Failed, work.Deferred, work.Released}
	for {
		quiet := c.left.Load() <= 0
		leases, err := p.Lease(ctx, work.LeaseRequest{Flow: "f", N: 1 + r.IntN(30), TTL: time.Hour, Order: work.Order(r.IntN(2))})
		if err != nil {
			return err
		}
		c.leased.Add(int64(len(leases)))
		for _, l := range leases {
			c.begin(l)
		}
		if r.IntN(4) == 0 {
			if errs, err := p.Renew(ctx, leases, time.Hour); err != nil || errors.Join(errs...) != nil {
				return errors.Join(append(errs, err)...)
			}
		}
		outcomes := make([]work.Outcome, len(leases))
		for i, l := range leases {
			outcomes[i] = work.Outcome{Lease: l, Result: results[r.IntN(len(results))]}
			if !quiet && r.IntN(8) == 0 {
				outcomes[i].Marks = crowdMarksOf(r, 4)
				c.marked.Add(int64(len(outcomes[i].Marks)))
			}
			c.ending(l)
		}
		if errs, err := p.Finish(ctx, outcomes); err != nil || errors.Join(errs...) != nil {
			return errors.Join(append(errs, err)...)
		}
		if next, err := p.NextDue(ctx, "f"); err != nil || quiet && next.IsZero() {
			return err
		}
	}
}

// Stores that mark, lease, renew and finish the same rows at once give no row
// twice and lose no mark, whatever the order in which each names its rows.
func TestPostgresCrowd(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	c := &crowd{held: make(map[entity.Key]string)}
	c.left.Store(crowdMarks)
	stores := make([]*Postgres, crowdStores)
	for i := range stores {
		stores[i] = newTestPostgres(t, address)
	}
	all, ctx := errgroup.WithContext(t.Context())
	for i, p := range stores {
		all.Go(func() error { return c.mark(ctx, p, rand.New(rand.NewPCG(1, uint64(i)))) })
		all.Go(func() error { return c.run(ctx, p, rand.New(rand.NewPCG(2, uint64(i)))) })
	}
	require.NoError(t, all.Wait())
	require.Empty(t, c.overlaps)
	rows, err := stores[0].List(t.Context(), work.Query{Flow: "f", State: work.Idle, Limit: 2 * crowdKeys})
	require.NoError(t, err)
	require.Len(t, rows, crowdKeys)
	var marked int64
	for _, row := range rows {
		require.Equal(t, row.Dirty, row.Done)
		marked += row.Dirty
	}
	require.Equal(t, c.marked.Load(), marked)
	t.Logf("%d marks, %d leases, as many outcomes; deadlocks: %s", marked, c.leased.Load(), lines(t, stores[0].db, "SELECT deadlocks::text FROM pg_stat_database WHERE datname = current_database()"))
}
