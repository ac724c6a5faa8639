//go:build integration

package processtest

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
)

// TestAPausedProcess has a process stand still at the worst moments, until
// another has done its work, and then go on.
func TestAPausedProcess(t *testing.T) {
	w := newWorld(t)
	for n, test := range []struct {
		name         string
		stopAt       string
		conditional  bool
		late         int // writes of the process that stood still, at most: it may notice before it sends
		refused, bad int // of those, if there are any
	}{
		{name: "before it asks whether it may write", stopAt: beforeAsking},
		{name: "after it asked, target with conditions", stopAt: afterAsking, conditional: true, late: 1, refused: 1},
		{name: "after it asked, target without", stopAt: afterAsking, late: 1, bad: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.t = t
			w.target.forgetLog()
			id := w.person(n)
			p := program{Lease: 2 * time.Second, Workers: 4, Conditional: test.conditional}
			require.NoError(t, w.register.put(id))
			require.NoError(t, w.notify(id))
			halting := p
			halting.StopAt = test.stopAt
			paused := w.start(halting)
			paused.awaitHalt()

			require.NoError(t, w.register.put(id)) // no notification: it is the lease that wakes the other
			other := w.start(p)
			w.await("the other process takes over", time.Minute, w.settled)
			require.NoError(t, paused.signal(syscall.SIGCONT))
			w.await("the process goes on", time.Minute, func() bool {
				return paused.logged("lease lost")
			})
			w.await("it marks the person again, and the target is right", time.Minute, func() bool {
				row, _, err := w.store.Get(t.Context(), flow, entity.Key{Type: "persons", ID: id})
				return err == nil && row.Cause.Kind == "lost lease" && w.settled()
			})
			require.NoError(t, paused.stop())
			require.NoError(t, other.stop())
			require.True(t, w.settled(), "it stays so")

			found := w.target.review()
			require.Empty(t, found.wrong)
			require.LessOrEqual(t, found.late, test.late)
			require.Equal(t, min(found.late, test.refused), found.refused)
			require.Equal(t, min(found.late, test.bad), found.stale)
			w.checkLogs()
		})
	}
}

// TestAProcessPausedInATransaction has a process stand still while it holds rows
// of the work store locked. Others wait for it, but not for long.
func TestAProcessPausedInATransaction(t *testing.T) {
	w := newWorld(t)
	p := program{Lease: 2 * time.Second, Workers: 4, Conditional: true, FanOut: true}
	locked, free := w.person(1), w.person(2)
	require.NoError(t, w.register.put(locked))
	require.NoError(t, w.notify(locked))
	halting := p
	halting.StopAt = beforeCommit
	paused := w.start(halting)
	paused.awaitHalt()

	other := w.start(p)
	w.await("the other process consumes", time.Minute, func() bool { return other.logged("msg=consuming") })
	require.NoError(t, w.register.put(locked))
	require.NoError(t, w.register.put(free))
	require.NoError(t, w.notify(locked, locked)) // the broker gives one to each process
	time.Sleep(time.Second)                      // so that the other waits for the row
	require.NoError(t, w.notify(free, free))
	begun := time.Now()
	w.await("the other process does all the work", time.Minute, w.target.right)
	t.Logf("right after %v", time.Since(begun).Round(time.Millisecond))

	require.NoError(t, paused.signal(syscall.SIGCONT))
	w.quiet()
	require.NoError(t, paused.stop())
	require.NoError(t, other.stop())
	require.True(t, w.settled(), "it stays so")
	require.Zero(t, w.queued())
	require.Empty(t, w.target.review().wrong)
	w.checkLogs()
}
