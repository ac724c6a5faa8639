//go:build integration

package processtest

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
)

var outageFlag = flag.Duration("outage", 5*time.Second, "for how long each server is lost")

// TestServersLostAndBack takes away one server after the other from a connector
// while people change, and gives it back.
func TestServersLostAndBack(t *testing.T) {
	w := newWorld(t)
	s := w.start(program{Lease: 10 * time.Second, Workers: 8, Conditional: true})
	w.traffic(func() { time.Sleep(3 * time.Second) })
	w.await("everybody is right and idle", time.Minute, w.settled)
	before := s.usage()
	t.Logf("before: %v", before)

	for _, outage := range []struct {
		name       string
		lose, back func() error
	}{
		{"RabbitMQ", w.rabbit.Kill, w.rabbit.Start},
		{"PostgreSQL", w.postgres.Kill, w.postgres.Start},
		{"source", w.source.lose, w.source.back},
		{"source answers 503", w.source.refuse, w.source.accept},
		{"target", w.sink.lose, w.sink.back},
		{"target answers 503", w.sink.refuse, w.sink.accept},
	} {
		t.Run(outage.name, func(t *testing.T) {
			w.t, s.t = t, t
			var during usage
			var first time.Duration
			writes := 0
			w.traffic(func() {
				time.Sleep(time.Second)
				require.NoError(t, outage.lose())
				time.Sleep(*outageFlag)
				during, writes = s.usage(), w.target.writes()
				require.NoError(t, outage.back())
				back := time.Now()
				w.checkAttempts()
				w.await("work goes on", 45*time.Second+*outageFlag/2, func() bool { return w.target.writes() > writes })
				first = time.Since(back)
			})
			quiet := time.Now()
			w.await("everybody is right and idle", time.Minute, w.settled)
			right := time.Since(quiet)
			w.checkAttempts()

			after := s.usage()
			for end := time.Now().Add(20 * time.Second); after.more(before) && time.Now().Before(end); after = s.usage() {
				time.Sleep(200 * time.Millisecond)
			}
			require.False(t, after.more(before), "%v, before it was %v", after, before)
			require.Less(t, during.Heap, before.Heap+32<<20)
			require.Less(t, during.Goroutines, before.Goroutines+4*256, "each message in flight has a few")
			require.LessOrEqual(t, max(during.Workers, after.Workers), 8+500, "the runs that wait for a commit are limited")
			t.Logf("first write %v after the return, all right %v after the last notification; "+
				"%v during the outage, %v after it",
				first.Round(time.Millisecond), right.Round(time.Millisecond), during, after)
		})
	}
	w.t, s.t = t, t
	w.quiet()
	require.NoError(t, s.stop())
	require.True(t, w.settled())
	require.Zero(t, w.queued())
	found := w.target.review()
	t.Logf("%d people, %d reconciles, %d writes", len(w.register.present), w.register.Requests(), found.writes)
	require.Empty(t, found.wrong)
	require.Zero(t, found.late)
	require.False(t, s.logged("msg=failed") || s.logged("msg=parked"), "an outage is nobody's error")
	w.checkLogs()
}

// traffic changes people and notifies about them until what it is to do has been
// done. What cannot be published is published later.
func (w *world) traffic(do func()) {
	w.t.Helper()
	const people, pause = 200, 20 * time.Millisecond
	random := rand.New(rand.NewPCG(1, uint64(len(w.register.snapshot()))))
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var outbox []string
		for {
			select {
			case <-done:
				ended <- w.notifyAtLast(w.t.Context(), outbox...)
				return
			case <-time.After(pause):
			}
			id := w.person(random.IntN(people))
			if err := w.register.change(id, random); err != nil {
				ended <- err
				return
			}
			outbox = append(outbox, id)
			if w.notify(outbox...) == nil {
				outbox = nil
			}
		}
	}()
	defer func() {
		close(done)
		require.NoError(w.t, <-ended)
	}()
	do()
}

// checkAttempts checks that no entity has paid for an outage.
func (w *world) checkAttempts() {
	w.t.Helper()
	require.Empty(w.t, w.rows(work.Parked))
	for _, state := range []work.State{work.Idle, work.Waiting, work.Due, work.Running} {
		for _, row := range w.rows(state) {
			require.Zero(w.t, row.Attempts)
		}
	}
}
