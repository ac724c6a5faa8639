//go:build integration

package processtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/konnektor-go/konnektor/connector/work"
)

var (
	chaosFlag         = flag.Duration("chaos", 20*time.Second, "for how long instances are killed, paused and stopped")
	notificationsFlag = flag.Int("notifications", 5000, "how many notifications come meanwhile")
	seedFlag          = flag.Uint64("seed", 0, "of what is random, 0 for a new one")
)

// TestInstances runs three instances on one work store, while people change all
// the time, some much more than others. At random moments instances are killed,
// paused for longer than their leases, stopped and started again.
func TestInstances(t *testing.T) {
	const people, lease = 2000, 3 * time.Second
	w := newWorld(t)
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	p := program{Lease: lease, Workers: 8, Conditional: true}
	ctx, cancel := context.WithTimeout(t.Context(), *chaosFlag)
	defer cancel()
	begun := time.Now()

	var group errgroup.Group
	group.Go(func() error {
		return w.changePeople(people, *notificationsFlag, *chaosFlag, rand.New(rand.NewPCG(seed, 0)))
	})
	c := &chaos{world: w, program: p, pause: lease}
	for slot := range 3 {
		random := rand.New(rand.NewPCG(seed, uint64(slot+1)))
		s := w.start(p)
		group.Go(func() error { return c.play(ctx, s, random) })
	}
	require.NoError(t, group.Wait())
	calm := time.Now()
	w.await("everybody is right and idle", 2*time.Minute, w.settled)
	recovered := time.Since(calm)
	w.quiet()
	for _, s := range c.survivors {
		require.NoError(t, s.stop())
	}
	found := w.target.review()
	require.Empty(t, found.wrong)
	require.True(t, w.settled(), "it stays so")
	require.Zero(t, w.queued())
	require.Len(t, w.rows(work.Idle), len(w.register.present), "a row for each person")

	t.Logf("%d notifications about %d people: %d reconciles, %d writes; %d kills, %d pauses, %d stops left %d leases behind; "+
		"%d late writes, of them %d refused, %d over a newer state; %v in all, right %v after the last",
		*notificationsFlag, len(w.register.present), w.register.Requests(), found.writes,
		c.kills.Load(), c.pauses.Load(), c.stops.Load(), c.left.Load(),
		found.late, found.refused, found.stale, time.Since(begun).Round(time.Second), recovered.Round(time.Millisecond))
	require.Positive(t, c.left.Load(), "nothing was interrupted")
	w.checkLogs()
}

// changePeople changes people and notifies about them, for a while.
func (w *world) changePeople(people, notifications int, during time.Duration, random *rand.Rand) error {
	skewed := rand.NewZipf(random, 1.1, 10, uint64(people-1))
	const steps = 200
	ticker := time.NewTicker(during / steps)
	defer ticker.Stop()
	sent := 0
	for step := 1; step <= steps; step++ {
		var ids []string
		for ; sent < notifications*step/steps; sent++ {
			id := w.person(int(skewed.Uint64()))
			if err := w.register.change(id, random); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		if err := w.notify(ids...); err != nil {
			return err
		}
		<-ticker.C
	}
	return nil
}

// chaos is what happens to instances.
type chaos struct {
	*world
	program program
	pause   time.Duration // the shortest

	kills, pauses, stops atomic.Int64
	left                 atomic.Int64 // leases that killed and paused instances held

	mu        sync.Mutex // also of world.start
	survivors []*process
}

// play does to an instance and its successors what happens, until ctx ends.
func (c *chaos) play(ctx context.Context, s *process, random *rand.Rand) error {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.survivors = append(c.survivors, s)
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second + time.Duration(random.IntN(4000))*time.Millisecond):
		}
		var err error
		switch random.IntN(3) {
		case 0:
			c.kills.Add(1)
			err = errors.Join(s.kill(), c.count(ctx, s))
		case 1:
			c.pauses.Add(1)
			err = c.standStill(ctx, s, c.pause+time.Duration(random.IntN(3000))*time.Millisecond)
		case 2:
			c.stops.Add(1)
			err = s.stop()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if s.ended {
			c.mu.Lock()
			s = c.start(c.program)
			c.mu.Unlock()
		}
	}
}

func (c *chaos) standStill(ctx context.Context, s *process, during time.Duration) error {
	if err := s.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(during / 10) // until the signal has reached all threads
	err := c.count(ctx, s)
	time.Sleep(during)
	return errors.Join(err, s.signal(syscall.SIGCONT))
}

// count counts the leases that an instance holds which does nothing any more.
func (c *chaos) count(ctx context.Context, s *process) error {
	rows, err := c.store.List(context.WithoutCancel(ctx), work.Query{Flow: flow, State: work.Running, Limit: 1000})
	for _, row := range rows {
		if strings.HasPrefix(row.LeaseOwner, s.name+"/") {
			c.left.Add(1)
		}
	}
	return err
}
